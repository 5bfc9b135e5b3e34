"""Who wrote a word last, and who touched it first.

The core keeps only the last write to a watched word. So the run is searched piece by piece, from one snapshot to the next,
and pieces in which the word's page was not written at all are left out. What a model writes instead of the kernel's
own code is no write of the kernel's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.debug.writer import Writer
from emulator.guest.backtrace import backtrace
from emulator.guest.disassembler import instruction_at, source_text
from emulator.guest.memory import physical_of
from emulator.guest.symbolizer import Symbolizer
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.debug.timeline import Place, Timeline
    from emulator.guest.locator import Places
    from emulator.machine.core_types import LastWrite
    from emulator.machine.machine import Machine

_OUTSIDERS_MAX = 32


def last_writer(timeline: Timeline, places: Places, address: int, size: int = WORD_SIZE) -> Writer | None:
    """Return the last write to some bytes before the place where the machine stands.

    Args:
        timeline: It stands where it stood before afterwards.
        places: Names addresses of its machine.
        address: As the kernel writes it, or physical.
        size: Bytes, 1 to 4.

    Raises:
        ValueError: There is no memory at *address*.
        Cancelled: The timeline stands somewhere.
    """
    machine = timeline.machine
    physical = _physical(machine, address)
    size = min(size, len(machine.memory) - physical)
    where = timeline.place
    found = None
    for start, end in timeline.pieces_that_wrote(physical, size):
        write = _write_between(timeline, physical, size, start, end)
        if write is not None:
            text = instruction_at(machine, write.eip, write.pc)
            found = write, text
            break
    timeline.go_to_place(where)
    if found is None:
        return None
    name = places.name(physical, physical + 1, backtrace(machine)).name
    return _writer(machine, physical, size, name, *found)


def _physical(machine: Machine, address: int) -> int:
    physical = physical_of(machine, address)
    if physical is None:
        raise ValueError(f"there is no memory at 0x{address:08x}")
    return physical


def _write_between(timeline: Timeline, physical: int, size: int, start: int, end: Place) -> LastWrite | None:
    timeline.go_to(start)
    with timeline.machine.observers.watch(physical, size) as watchpoint:
        timeline.go_to_place(end)
        return watchpoint.last_write()


def _writer(machine: Machine, physical: int, size: int, name: str, write: LastWrite, text: str) -> Writer:
    line = machine.image.source_line(write.eip)
    before, after = (value.to_bytes(WORD_SIZE, "little")[:size] for value in (write.before, write.after))
    stack = Symbolizer(machine.image).backtrace(write.eip, write.callers)
    source = source_text(machine.image, line) if line is not None else ""
    return Writer(physical, name, write.event, write.eip, text, source, stack, before, after)


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
    where = timeline.place
    physical = _physical(timeline.machine, address)
    of_block = timeline.search.first_with_block_at(address)
    timeline.go_to(timeline.event_count if of_block is None else timeline.calls.call(of_block).entered)
    numbers = [number for number in (of_block, _first_writing_call(timeline, physical)) if number]
    if not numbers:
        timeline.go_to_place(where)
        raise ValueError(f"no call has touched 0x{address:08x}")
    call = timeline.calls.call(min(numbers))
    timeline.go_to(call.left or call.entered)


def _first_writing_call(timeline: Timeline, physical: int) -> int | None:
    """The number of the first call up to here during which a byte was written."""
    outsiders = 0
    for start, end in reversed(timeline.pieces_that_wrote(physical, 1)):
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


def _first_write(timeline: Timeline, physical: int, start: int, end: Place) -> int | None:
    """The event behind which a byte is written first in a piece of the run, None if it is not."""
    if start > end.event:
        return None
    write = _write_between(timeline, physical, 1, start, end)
    if write is None:
        return None
    event = write.event
    none_before = start  # nothing is written between the start and this event
    while none_before < event:
        middle = (none_before + event + 1) // 2
        write = _write_between(timeline, physical, 1, start, end._replace(event=middle, at_end=False))
        if write is None:
            none_before = middle
        else:
            event = write.event
    return event


def _call_around(timeline: Timeline, event: int) -> int:
    """The number of the call that is running behind an event, 0 for none."""
    call = timeline.call_of(event)
    if call is None:
        return 0
    return call.number if call.entered == event else call.parent
