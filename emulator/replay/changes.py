"""Find the bytes of memory that have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.stack import dead_stack
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.machine.machine import Machine


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


def find_changes(machine: Machine, before: Mapping[int, bytes]) -> list[Change]:
    """Compare pages with what they are now.

    Args:
        machine: Stands still.
        before: Address of a page -> its bytes then, as `Travel.noting_writes` has them.

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
