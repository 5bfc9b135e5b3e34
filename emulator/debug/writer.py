"""Find the last write to some bytes, with the instruction and the backtrace of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.backtrace import backtrace
from emulator.guest.disassembler import source_text
from emulator.guest.memory import physical_address
from emulator.guest.symbolizer import Symbolizer
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.debug.kernel_debugger import Debugger
    from emulator.guest.locator import Locator
    from emulator.guest.symbolizer import Frame
    from emulator.machine.machine import Machine
    from kernel_model.audit import Location


class Writer(NamedTuple):
    """The last write to some bytes.

    Attributes:
        address: The first of the bytes, physical.
        location: What lies there; None: nothing is known of it.
        instructions: How many were executed before it.
        event: The event after which it happened; 0: before the first one.
        eip: Address of the instruction that wrote, linear.
        callers: Return addresses of the calls around it, innermost first.
        text: The instruction; or that a model has written that stands for a function.
        source: Its source line, as far as it is known.
        backtrace: The frame of the instruction itself first, then its callers.
        before: The bytes before the write.
        after: The bytes after it.
    """

    address: int
    location: Location | None
    instructions: int
    event: int
    eip: int
    callers: tuple[int, ...]
    text: str
    source: str
    backtrace: tuple[Frame, ...]
    before: bytes
    after: bytes


def last_writer(debugger: Debugger, locator: Locator, address: int, size: int = WORD_SIZE) -> Writer | None:
    """Return the last write to some bytes before where a machine stands, whoever has made it; it stands there again afterwards.

    Args:
        debugger: Of the machine.
        locator: Says what lies in its memory.
        address: As the kernel writes it, or physical.
        size: Bytes, 1 to 4.

    Raises:
        ValueError: There is no memory at *address*.
        Cancelled: The machine stands somewhere.
    """
    machine = debugger.machine
    physical = physical_address(machine, address)
    size = min(size, len(machine.memory) - physical)
    write = debugger.who(physical, size, physical=True)
    if write is None:
        return None
    location = locator.field_at(physical, physical + 1, backtrace(machine)).location
    symbolizer = Symbolizer(machine.image)
    text, source = write.text, ""
    if not text and is_modelled(machine, write.eip):
        text = f"the model of {symbolizer.instruction(write.eip).function}"
    elif (line := machine.image.source_line(write.eip)) is not None:
        source = source_text(machine.image, line)
    return Writer(
        physical,
        location,
        write.moment.instructions,
        write.event,
        write.eip,
        write.callers,
        text,
        source,
        symbolizer.backtrace(write.eip, write.callers),
        write.before,
        write.after,
    )


def is_modelled(machine: Machine, address: int) -> bool:
    """Return whether a model stands for the function that begins at an address, as it is linked: its first instruction is another one than in the kernel's file."""
    image = machine.image
    code = image.code(address, 1)
    return bool(code) and machine.memory.read(image.physical(address), len(code)) != code
