"""A disk: contents that never change, and over them the sectors that the guest has written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTOR_SIZE = 512


class DiskContents(Protocol):
    """What a disk holds before the guest writes to it."""

    @property
    def sectors(self) -> int:
        """How many sectors there are, 1 or more; it never changes."""

    def read(self, first: int, count: int) -> bytes:
        """Return *count* sectors from number *first* on, all of them on the disk; always the same bytes."""


class Disk:
    """A disk of one machine.

    Args:
        contents: What it holds at first.

    Attributes:
        sectors: How many it has.
    """

    def __init__(self, contents: DiskContents) -> None:
        self.sectors = contents.sectors
        self._contents = contents
        self._written: dict[int, bytes] = {}
        self._is_shared = False  # with a state that was saved: to be copied before it is changed

    def read(self, first: int, count: int) -> bytes:
        """Return *count* sectors from number *first* on, all of them on the disk."""
        numbers = range(first, first + count)
        written = self._written
        if written and all(number in written for number in numbers):
            return b"".join(written[number] for number in numbers)
        data = self._contents.read(first, count)
        if not written or written.keys().isdisjoint(numbers):
            return data
        return b"".join(
            written.get(number, data[start : start + SECTOR_SIZE])
            for number, start in zip(numbers, range(0, len(data), SECTOR_SIZE), strict=True)
        )

    def write(self, first: int, data: bytes) -> None:
        """Write whole sectors from number *first* on, all of them on the disk."""
        if self._is_shared:
            self._written, self._is_shared = dict(self._written), False
        for start in range(0, len(data), SECTOR_SIZE):
            self._written[first + start // SECTOR_SIZE] = data[start : start + SECTOR_SIZE]

    def save(self) -> Mapping[int, bytes]:
        """Return the sectors written so far. That costs nothing; the next write copies the table, not the sectors."""
        self._is_shared = True
        return self._written

    def restore(self, state: Mapping[int, bytes]) -> None:
        """Go back to a state that `save` returned."""
        assert isinstance(state, dict)  # noqa: S101 - as `save` made it
        self._written, self._is_shared = state, True
