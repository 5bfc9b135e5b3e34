"""Find the last write to some bytes, and the call that touched them first.

The core keeps only a few writes to a watched word. So the run is searched piece by piece, from one checkpoint to the next,
and pieces in which the word's page was not written at all are left out. What a model writes instead of the kernel's
own code is no write of the kernel's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.memory import physical_of
from emulator.replay.engine import Position
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.machine.core.observed import LastWrite
    from emulator.machine.machine import Machine
    from emulator.replay.engine import Replay
    from emulator.replay.timeline import Timeline

_OUTSIDERS_MAX = 32


class Word(NamedTuple):
    """Some bytes of memory, 1 to 4, by the physical address of the first."""

    address: int
    size: int = WORD_SIZE


def last_write(replay: Replay, word: Word) -> LastWrite | None:
    """Return the last write to some bytes before where the machine stands.

    The machine stands somewhere after that write then, before the next one to these bytes.

    Raises:
        Cancelled: The machine stands somewhere.
    """
    for start, end in _pieces_that_wrote(replay, word):
        write = _write_between(replay, word, start, end)
        if write is not None:
            return write
    return None


def changes_to(replay: Replay, word: Word, position: Position) -> tuple[LastWrite, LastWrite] | None:
    """Go on to a position, and return the first and the last write on the way that changed some bytes; None: none did."""
    with replay.machine.observers.watch(*word) as watchpoint:
        replay.go_to_position(position)
        return watchpoint.changes()


def last_change_of_run(replay: Replay, word: Word) -> LastWrite | None:
    """Return the last write of the whole run that changed some bytes; the machine stands at the end of the run then.

    Args:
        replay: It stands at the start.
        word: The bytes.
    """
    with replay.machine.observers.watch(*word) as watchpoint:
        replay.run_to_end()
        changes = watchpoint.changes()
    return None if changes is None else changes[1]


def _write_between(replay: Replay, word: Word, start: int, end: Position) -> LastWrite | None:
    replay.go_to(start)
    with replay.machine.observers.watch(*word) as watchpoint:
        replay.go_to_position(end)
        return watchpoint.last_write()


def _pieces_that_wrote(replay: Replay, word: Word) -> list[tuple[int, Position]]:
    """Return pieces of the run up to here: all in which one of some bytes can have been written, newest first.

    Returns:
        The event after which each piece begins, and the position where it ends.
    """
    pieces = []
    end = replay.position
    ends = {word.address, word.address + word.size - 1}
    for checkpoint in reversed(replay.checkpoints):
        is_newest = checkpoint is replay.checkpoints[-1]
        if end.event > checkpoint.event or end.at_end:
            if is_newest or any(map(checkpoint.snapshot.page_written, ends)):
                pieces.append((checkpoint.event, end))
            end = Position(checkpoint.event)
    return pieces


def physical_address(machine: Machine, address: int) -> int:
    """Return the physical address of what the kernel calls *address*, or which is physical already.

    Raises:
        ValueError: There is no memory.
    """
    physical = physical_of(machine, address)
    if physical is None:
        if machine.address_space().is_paged:
            raise ValueError(f"0x{address:08x} is not mapped here, and is no physical address of memory")
        raise ValueError(f"there is no memory at 0x{address:08x}")
    return physical


def go_to_first_touch(timeline: Timeline, address: int) -> None:
    """Go to the exit of the first call that touched an address.

    A call touches the block that it takes or gives back, and what is written while it runs.

    Args:
        timeline: To move.
        address: As the kernel writes it, or physical.

    Raises:
        ValueError: There is no memory at *address*, or no such call; the timeline stands where it stood before.
        Cancelled: The timeline stands somewhere.
    """
    where = timeline.position
    physical = physical_address(timeline.machine, address)
    of_block = timeline.search.first_with_block_at(address)
    timeline.go_to(timeline.event_count if of_block is None else timeline.calls.call(of_block).entered)
    numbers = [number for number in (of_block, _first_writing_call(timeline, physical)) if number]
    if not numbers:
        timeline.go_to_position(where)
        raise ValueError(f"no call has touched 0x{address:08x}")
    call = timeline.calls.call(min(numbers))
    timeline.go_to(call.left or call.entered)


def _first_writing_call(timeline: Timeline, physical: int) -> int | None:
    """Return the number of the first call up to here during which a byte was written."""
    outsiders = 0
    for start, end in reversed(_pieces_that_wrote(timeline, Word(physical, 1))):
        begin = start
        while outsiders < _OUTSIDERS_MAX:
            event = _first_write(timeline, physical, begin, end)
            if event is None:
                break
            number = _call_around(timeline, event)
            if number:
                return number
            outsiders, begin = outsiders + 1, event + 1
    return None


def _first_write(timeline: Timeline, physical: int, start: int, end: Position) -> int | None:
    """Return the event after which a byte is written first in a piece of the run, None if it is not."""
    if start > end.event:
        return None
    write = _write_between(timeline, Word(physical, 1), start, end)
    if write is None:
        return None
    event = write.event
    none_before = start  # nothing is written between the start and this event
    while none_before < event:
        middle = (none_before + event + 1) // 2
        write = _write_between(timeline, Word(physical, 1), start, Position(middle))
        if write is None:
            none_before = middle
        else:
            event = write.event
    return event


def _call_around(timeline: Timeline, event: int) -> int:
    """Return the number of the call that is running after an event, 0 for none."""
    call = timeline.call_of(event)
    if call is None:
        return 0
    return call.number if call.entered == event else call.parent
