"""Read the address spaces of a machine: that in CR3, those that the kernel's own tables name, and those that the run has used.

A hostile guest can map each page of 4 GiB somewhere else, in many spaces: there is a limit to how many pieces are read.

A directory that was used once may be gone, and its frame be something else. So it counts only if it still maps the page that was used first
after it had been loaded, to the same frame: a kernel could not go on in it otherwise.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.guest.memory_map.backing import backing_of
from emulator.guest.memory_map.regions import between
from emulator.guest.memory_map.sharing import with_sharing
from emulator.guest.memory_map.spaces import Backing, Space, SpaceRange, Spaces
from emulator.x86 import PAGE_SIZE
from kernel_model.mappings import joined
from kernel_model.page_tables import ACCESSED, DIRTY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.guest.memory_map.backing import Backed
    from emulator.guest.memory_map.regions import Span
    from emulator.machine.machine import Machine
    from kernel_model.address_space import AddressSpace
    from kernel_model.mappings import MappedRange
    from kernel_model.page_tables import Slot


PIECES_MAX: Final = 100_000
_PROBLEMS_MAX: Final = 1000


class NamedSpace(NamedTuple):
    """An address space that the kernel's own tables name.

    Attributes:
        directory: Physical address.
        name: Whose it is.
        uses: What ranges of linear addresses are for: first address, the one after the last, a name. By address, without overlaps.
    """

    directory: int
    name: str
    uses: tuple[tuple[int, int, str], ...] = ()


def read_spaces(machine: Machine, named: Iterable[NamedSpace] | None = None) -> Spaces:
    """Read the address spaces of a machine whose paging is on.

    Args:
        machine: Stopped.
        named: All that the kernel has, in its order; None: nothing is known of it.

    Raises:
        NotEmulated: The CPU is in 64-bit mode.
    """
    in_use = machine.cpu.page_directory()
    gone, others = 0, False
    if named is None:
        found, gone, others = _used(machine, in_use)
    else:
        found = list(named)
        if all(each.directory != in_use for each in found):
            found.insert(0, NamedSpace(in_use, ""))
    spaces = [machine.address_space(each.directory) for each in found]
    return spaces_of(spaces, found, in_use, backing_of(machine))._replace(gone=gone, others=others)


def spaces_of(
    spaces: Sequence[AddressSpace], names: Sequence[NamedSpace], in_use: int, backing: Sequence[Backed]
) -> Spaces:
    """Return address spaces as plain data.

    Args:
        spaces: To be read.
        names: Whose each is.
        in_use: Physical address of the directory in use.
        backing: What lies at physical addresses.
    """
    reader = _Reader(backing)
    pieces = [reader.pieces(space) for space in spaces]
    common = _common(pieces)
    ranges = [
        reader.ranges((piece for piece in own if piece not in common), each.uses)
        for own, each in zip(pieces, names, strict=True)
    ]
    everywhere = reader.ranges(sorted(common), ())
    numbered = [(number, each) for number, own in enumerate(ranges) for each in own]
    marked = iter(with_sharing([*numbered, *((None, each) for each in everywhere)]))
    ranges = [[next(marked) for _ in own] for own in ranges]
    described = (
        _described(space, each, tuple(own), in_use)
        for space, each, own in zip(spaces, names, ranges, strict=True)
    )
    return Spaces(tuple(described), tuple(marked), is_cut=reader.is_cut)


def _described(space: AddressSpace, named: NamedSpace, ranges: tuple[SpaceRange, ...], in_use: int) -> Space:
    return Space(
        named.directory,
        named.name,
        named.directory == in_use,
        ranges,
        tuple(each.frame for each in space.tables()),
        tuple(space.recursive()),
        tuple(islice(space.problems(), _PROBLEMS_MAX)),
    )


def _used(machine: Machine, in_use: int) -> tuple[list[NamedSpace], int, bool]:
    """Return the directories that were used and still are some; how many are none any more; whether there were others."""
    used, others = machine.cpu.used_directories()
    found = [NamedSpace(in_use, "")]
    gone = 0
    for each in used:
        if each.address != in_use:
            if machine.address_space(each.address).translate(each.linear) == each.physical:
                found.append(NamedSpace(each.address, ""))
            else:
                gone += 1
    return found, gone, others or not used


def _common(pieces: Sequence[Sequence[MappedRange]]) -> set[MappedRange]:
    """Return what all of two or more spaces map alike, for the supervisor."""
    if len(pieces) < 2:  # noqa: PLR2004 - one has nothing in common
        return set()
    first, *rest = pieces
    return {each for each in first if not each.user}.intersection(*rest)


class _Reader:
    """Reads the ranges of spaces, of which many have the same tables."""

    def __init__(self, backing: Sequence[Backed]) -> None:
        self._slots: dict[tuple[int, int, int | None, int], list[MappedRange]] = {}
        self._left = PIECES_MAX
        self._memory = backing
        self._starts = [each.start for each in backing]

    def pieces(self, space: AddressSpace) -> list[MappedRange]:
        """Return what a space maps, in pieces that end where the frames do not follow each other, and with each directory entry."""
        result: list[MappedRange] = []
        for slot in space.slots():
            if len(result) > self._left:
                break
            result += self._pieces_of(space, slot)
        result = result[: max(self._left, 0)]
        self._left -= len(result)
        return result

    @property
    def is_cut(self) -> bool:
        """Whether there were, or may have been, more pieces than are read."""
        return self._left <= 0

    def _pieces_of(self, space: AddressSpace, slot: Slot) -> list[MappedRange]:
        key = (slot.start, slot.entry & ~(ACCESSED | DIRTY), slot.table, slot.rights)
        if key not in self._slots:
            self._slots[key] = list(space.pieces(slot))
        return self._slots[key]

    def ranges(self, pieces: Iterable[MappedRange], uses: Sequence[tuple[int, int, str]]) -> list[SpaceRange]:
        """Return pieces in the form of ranges, and the parts of *uses* in which nothing is mapped."""
        cut = [
            part
            for piece in joined(pieces, contiguous=True)
            for use in _cut_by_use(piece, uses)
            for part in self._cut_by_backing(*use)
        ]
        result = list(_joined_ranges(cut))
        return sorted([*result, *_unmapped(uses, result)], key=lambda each: each.start)

    def _cut_by_backing(self, piece: MappedRange, use: str) -> Iterator[SpaceRange]:
        """Yield the parts of a piece that are backed by one thing each."""
        at = piece.start
        distance = piece.start - (piece.physical or 0)
        while at < piece.end:
            physical = at - distance
            _, end, backing, device = self._memory[bisect_right(self._starts, physical) - 1]
            stop = min(piece.end, end + distance)
            yield SpaceRange(
                at,
                stop,
                piece.writable,
                piece.user,
                piece.no_execute,
                piece.page_size,
                ((physical, stop - distance),),
                backing,
                use or device,
            )
            at = stop


def _cut_by_use(
    piece: MappedRange, uses: Sequence[tuple[int, int, str]]
) -> Iterator[tuple[MappedRange, str]]:
    """Yield the parts of a piece that are of one use each."""
    if not uses:
        yield piece, ""
        return
    at = piece.start
    bounds = [(start, end, name) for start, end, name in uses if start < piece.end and piece.start < end]
    for start, end, name in [*bounds, (piece.end, piece.end, "")]:
        for low, high, use in ((at, min(start, piece.end), ""), (max(start, at), min(end, piece.end), name)):
            if low < high:
                yield piece._replace(start=low, end=high, physical=_moved(piece, low)), use
        at = max(at, end)


def _moved(piece: MappedRange, start: int) -> int:
    return (piece.physical or 0) + start - piece.start


def _joined_ranges(parts: Iterable[SpaceRange]) -> Iterator[SpaceRange]:
    """Join neighbours that differ in nothing but where they are."""
    current: SpaceRange | None = None
    pieces: list[Span] = []
    for part in parts:
        if current is not None and current.end == part.start and _kind(current) == _kind(part):
            if pieces[-1][1] == part.pieces[0][0]:
                pieces[-1] = (pieces[-1][0], part.pieces[0][1])
            else:
                pieces += part.pieces
            current = current._replace(end=part.end)
            continue
        if current is not None:
            yield current._replace(pieces=tuple(pieces))
        current, pieces = part, [*part.pieces]
    if current is not None:
        yield current._replace(pieces=tuple(pieces))


def _kind(part: SpaceRange) -> tuple[object, ...]:
    return (part.writable, part.user, part.no_execute, part.page_size, part.backing, part.name)


def _unmapped(uses: Iterable[tuple[int, int, str]], ranges: Sequence[SpaceRange]) -> Iterator[SpaceRange]:
    """Yield the parts of uses that are in no range."""
    taken = [(each.start, each.end) for each in ranges]
    for start, end, name in uses:
        for low, high in between(taken, start, end):
            yield SpaceRange(low, high, False, False, False, PAGE_SIZE, (), Backing.UNMAPPED, name)  # noqa: FBT003 - no rights
