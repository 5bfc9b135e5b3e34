"""Find the last write to some bytes, with the instruction and the backtrace of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.backtrace import backtrace
from emulator.guest.disassembler import instruction_at, source_text
from emulator.guest.symbolizer import Symbolizer
from emulator.replay.last_write import Word, last_write, physical_address
from emulator.replay.newest_write import newest_write
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.guest.locator import Locator
    from emulator.guest.symbolizer import Frame
    from emulator.machine.core.observed import LastWrite
    from emulator.machine.machine import Machine
    from emulator.replay.engine import Replay
    from emulator.replay.newest_write import Write
    from emulator.replay.travel import Travel
    from kernel_model.audit import Location


class Writer(NamedTuple):
    """The last write to some bytes.

    Attributes:
        address: The first of the bytes, physical.
        location: What lies there; None: nothing is known of it.
        event: The event after which it happened.
        eip: Address of the instruction that wrote, linear.
        callers: Return addresses of the calls around it, innermost first.
        text: The instruction.
        source: Its source line, as far as it is known.
        backtrace: The frame of the instruction itself first, then its callers.
        before: The bytes before the write.
        after: The bytes after it.
    """

    address: int
    location: Location | None
    event: int
    eip: int
    callers: tuple[int, ...]
    text: str
    source: str
    backtrace: tuple[Frame, ...]
    before: bytes
    after: bytes


def last_writer(replay: Replay, locator: Locator, address: int, size: int = WORD_SIZE) -> Writer | None:
    """Return the last write to some bytes before where the machine stands.

    Args:
        replay: It stands where it stood before afterwards.
        locator: Says what lies in its machine's memory.
        address: As the kernel writes it, or physical.
        size: Bytes, 1 to 4.

    Raises:
        ValueError: There is no memory at *address*.
        Cancelled: The machine stands somewhere.
    """
    machine = replay.machine
    physical = physical_address(machine, address)
    word = Word(physical, min(size, len(machine.memory) - physical))
    where = replay.position
    write = last_write(replay, word)
    text = "" if write is None else instruction_at(machine, write.eip, write.pc)
    replay.go_to_position(where)
    if write is None:
        return None
    before, after = (
        value.to_bytes(WORD_SIZE, "little")[: word.size] for value in (write.before, write.after)
    )
    return _writer(machine, locator, word, write, text, (before, after))


def newest_writer(travel: Travel, locator: Locator, address: int) -> Writer | None:
    """Return the last write to a word before where a machine stands, whoever has made it; it stands there again afterwards.

    Args:
        travel: The machine.
        locator: Says what lies in its memory.
        address: As the kernel writes it, or physical.

    Raises:
        ValueError: There is no memory at *address*.
        Cancelled: The machine stands somewhere.
    """
    machine = travel.machine
    physical = physical_address(machine, address)
    word = Word(physical, min(WORD_SIZE, len(machine.memory) - physical))
    write = newest_write(travel, [range(physical, physical + word.size)])
    if write is None:
        return None
    return _writer(machine, locator, word, write, write.text, (write.before, write.after))


def _writer(
    machine: Machine,
    locator: Locator,
    word: Word,
    write: LastWrite | Write,
    text: str,
    change: tuple[bytes, bytes],
) -> Writer:
    location = locator.field_at(word.address, word.address + 1, backtrace(machine)).location
    line = machine.image.source_line(write.eip)
    stack = Symbolizer(machine.image).backtrace(write.eip, write.callers)
    source = source_text(machine.image, line) if line is not None else ""
    return Writer(word.address, location, write.event, write.eip, write.callers, text, source, stack, *change)
