"""Find the bytes of memory that a call has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.stack import dead_stack
from emulator.guest.symbols import symbol
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.machine.machine import Machine
    from emulator.replay.timeline import Timeline
    from emulator.trace.table import Call


class Change(NamedTuple):
    """Neighbouring bytes that changed, or a word in which some did.

    Attributes:
        address: Of the first byte, physical.
        before: What they were.
        after: What they are; as many.
    """

    address: int
    before: bytes
    after: bytes


def changes_of_last_call(timeline: Timeline) -> list[Change]:
    """Return the bytes that the last call has changed, from its entry to its exit, without those below ESP.

    Empty where the machine does not stand at the exit of a call. A model that stands in for the function works
    right before the entry, so what happened since the event before counts, too.
    """
    where = timeline.position
    call = timeline.call_of(where.event)
    if call is None or call.left != where.event or where.at_end:
        return []
    timeline.go_to(call.entered - _is_modelled(timeline.machine, call))
    return find_changes(timeline.machine, timeline.pages_written_to(where.event))


def _is_modelled(machine: Machine, call: Call) -> bool:
    """Whether a function's first instruction is another one than in the kernel's file."""
    found = symbol(machine.image, call.function)
    if found is None:
        return False
    code = machine.image.code(found.address, 1)
    return machine.memory.read(machine.image.physical(found.address), len(code)) != code


def find_changes(machine: Machine, before: Mapping[int, bytes]) -> list[Change]:
    """Compare pages with what they are now.

    Args:
        machine: Stands still.
        before: Address of a page -> its bytes then, as `Replay.pages_written_to` returns them.

    Returns:
        All changes, by address; no byte of them is the same. Without those of the stack below ESP: what a call leaves there means nothing.
    """
    skip = dead_stack(machine)
    return [
        change
        for page in sorted(before)
        for change in _page_changes(page, before[page], machine.memory.read(page, PAGE_SIZE), skip)
    ]


def _page_changes(page: int, before: bytes, after: bytes, skip: range) -> Iterator[Change]:
    if before == after:
        return
    start = None
    for offset in range(PAGE_SIZE + 1):
        differs = offset < PAGE_SIZE and before[offset] != after[offset] and page + offset not in skip
        if differs and start is None:
            start = offset
        elif not differs and start is not None:
            yield Change(page + start, before[start:offset], after[start:offset])
            start = None
