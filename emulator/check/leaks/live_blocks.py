"""Selects the blocks that are live at the end of a run, of all areas together.

Theory. An allocator of frames names them by number, and some allocators of pages name these by physical addresses. With
paging on, what points to such a block is a linear address. So the block is taken to lie where the kernel has it mapped: in its
direct map (`address_spaces`). Where it is not mapped there, it is read at its physical address.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.check.area import MAKING
from emulator.check.leaks.heap_memory import HeapMemory, Spans
from emulator.profile.functions import Result, Role
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.places import Places
from emulator.trace.queries.distinct import are_among, distinct, sorted_set
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.check.area import Area
    from emulator.check.leaks.guest_words import GuestWords
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import I64, U32, CallTable, Flags


class LiveBlocks(NamedTuple):
    """Live blocks in order of addresses; no two overlap unless the allocator is broken.

    Attributes:
        start: The address of each block.
        end: The address after it; one after *start* where its size is not known.
        is_sized: Whether its size is known.
        area: Position of its area among those given.
        row: Its position among the live blocks of that area.
        unmapped: Whether *start* is its physical address, and not a linear one.
        number: The word by which a kernel knows it that is no address in it: its first frame's number, or what its allocator answered; -1:
            there is none.
        header: Bytes of the allocator's own in front of it.
        interior: Whether a pointer into it holds it.
        born_call: The call that returned it.
    """

    start: I64
    end: I64
    is_sized: Flags
    area: I64
    row: I64
    unmapped: Flags
    number: I64
    header: I64
    interior: Flags
    born_call: I64

    def hit(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that point to the start of a block, or into one that such a pointer holds; the result is like that of `into`."""
        positions, target = self.into(words)
        holds = self.interior[target] | (words[positions] == self.start[target])
        return positions[holds], target[holds]

    def header_at(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that are the address of a block's header; the result is like that of `into`."""
        found = [
            (positions, target)
            for size in sorted_set(self.header[self.header > 0]).tolist()
            for positions, target in [self.start_at(words.astype(np.int64) + size)]
        ]
        none = (np.empty(0, np.int64), np.empty(0, np.int64))
        positions, target = (np.concatenate(each) for each in zip(none, *found, strict=True))
        is_header = words[positions] == self.start[target] - self.header[target]
        return positions[is_header], target[is_header]

    def into(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that point to the start of a block or into it.

        Returns:
            Positions of these words, and of the blocks that they point to.
        """
        if not len(self.start):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        near = np.flatnonzero((words >= self.start[0]) & (words < self.end.max()))
        values = words[near].astype(np.int64)
        target = np.searchsorted(self.start, values, side="right") - 1
        inside = values < self.end[target]
        return near[inside], target[inside]

    def start_at(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that are the address of a block; the result is like that of `into`."""
        positions, target = self.hit(words)
        starts = words[positions] == self.start[target]
        return positions[starts], target[starts]

    def ending_at(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that are the address after the end of a block of known size, where none begins; the result is like that of `into`."""
        known = np.flatnonzero(self.is_sized & ~are_among(self.end, self.start))
        order = known[np.argsort(self.end[known], kind="stable")]
        ends = self.end[order]
        near = (
            np.flatnonzero((words >= ends[0]) & (words <= ends[-1])) if len(ends) else np.empty(0, np.int64)
        )
        values = words[near].astype(np.int64)
        target = np.searchsorted(ends, values)
        equal = ends[target] == values
        return near[equal], order[target[equal]]

    def holder(self, address: int, size: int) -> int | None:
        """Return the block in which all of a piece of memory lies; None if there is none."""
        block = int(np.searchsorted(self.start, address, side="right")) - 1
        return block if block >= 0 and address + size <= self.end[block] else None

    def scan_end(self, block: int) -> int:
        """Return where the search for pointers in a block ends: after it, or, if its size is unknown, at the next one or a page further."""
        start, end = int(self.start[block]), int(self.end[block])
        following = int(self.start[block + 1]) if block + 1 < len(self.start) else start + PAGE_SIZE
        return end if self.is_sized[block] else max(min(following, start + PAGE_SIZE), end)

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield the parts of linear memory in which blocks lie; each page of them holds a part of one."""
        start, end = self.start[~self.unmapped], self.end[~self.unmapped]
        if not len(start):
            return
        ends = np.maximum.accumulate(end)
        are_far = start[1:] // PAGE_SIZE > (ends[:-1] - 1) // PAGE_SIZE + 1
        first = np.flatnonzero(np.concatenate(([True], are_far)))
        for low, high in pairwise([*first.tolist(), len(start)]):
            yield int(start[low]), int(ends[high - 1])


def located(area: Area, addresses: I64, memory: GuestWords) -> tuple[I64, Flags]:
    """Return where blocks of an area lie by the page tables of now, given where it says they do.

    Returns:
        Their linear addresses, and which are not mapped: of these it is the physical one.
    """
    if memory.spaces is None or not _are_physical(area, memory):
        return addresses, np.zeros(len(addresses), np.bool_)
    linear, unmapped = addresses.copy(), addresses < memory.size
    for start, end, offset in memory.spaces.direct_maps:
        inside = unmapped & (addresses + offset >= start) & (addresses + offset < end)
        linear[inside] += offset
        unmapped &= ~inside
    return linear, unmapped


def _are_physical(area: Area, memory: GuestWords) -> bool:
    """Return whether the blocks of an area are known by physical addresses, as far as they lie in memory."""
    if any(
        each.result is Result.FRAME or (area.pages and each.block) for _, each in area.functions(Role.ALLOC)
    ):
        return True
    live = area.live.address if area.pages else ()
    return any(at < memory.size and memory.physical(at) is None for at in map(int, live))


def live_blocks(areas: Sequence[Area], memory: GuestWords) -> tuple[LiveBlocks, HeapMemory]:
    """Return the blocks that are live at the end and hold no other area's blocks, and the memory that all blocks have had.

    What a heap has been made of, frames for example, belongs to the heap: it is live by design, and the blocks in it count
    one by one.

    Args:
        areas: All areas of a trace.
        memory: Of the machine at the end of the run.
    """
    none = np.empty(0, np.int64)
    flags = none.astype(np.bool_)
    parts = [(none, none, flags, none, none, flags, none, none, flags, none)]
    had = [(none, none, flags)]
    places = [_located_places(area, area.places, memory) for area in areas]
    for number, area in enumerate(areas):
        live = area.live
        start, unmapped = located(area, live.address.astype(np.int64), memory)
        end = start + np.maximum(live.size, 1)
        others = [each for other, each in enumerate(places) if other != number]
        is_heap = _are_heaps(Spans(start, end), live.born, others)
        had.append(_memory_had(area, is_heap, places[number], memory))
        is_block = ~is_heap
        rows, blocks = np.flatnonzero(is_block), live.where(is_block)
        rules, ones = area.rules, np.ones(len(rows), np.int64)
        parts.append(
            (
                start[is_block],
                end[is_block],
                blocks.size > 0,
                number * ones,
                rows,
                unmapped[is_block],
                _numbers(area, blocks),
                rules.header * ones,
                rules.interior * ones > 0,
                blocks.born_call.astype(np.int64),
            )
        )
    columns = [np.concatenate(each) for each in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    low, high, of_frames = (np.concatenate(each) for each in zip(*had, strict=True))
    linear, physical = (Spans.of(low[chosen], high[chosen]) for chosen in (~of_frames, of_frames))
    return LiveBlocks(*(column[order] for column in columns)), HeapMemory(linear, physical, memory)


class OwnRecords:
    """Tells what an allocator writes down of a block from what a program does.

    A block that was taken inside the call which returned another one is a part of that one: the record that the allocator keeps of it,
    or the memory under it. An address of the other block in there says nothing about whether anybody else still knows it, nor does it
    hold the block that ends there.

    Args:
        live: All live blocks.
        calls: All calls.
        arrays: The kernel's variables of more than a word.
    """

    def __init__(self, live: LiveBlocks, calls: CallTable, arrays: Spans) -> None:
        self._live = live
        self._arrays = arrays
        self._span = len(calls) + 1
        found = [np.empty(0, np.int64)]
        block, call = np.arange(len(live.start)), live.born_call
        while len(block):
            around = calls.take("parent", call - 1).astype(np.int64)
            block, call = block[around != 0], around[around != 0]
            found.append(block * self._span + call)
        self._inside = sorted_set(np.concatenate(found))

    def are_own(self, addresses: I64, words: np.ndarray) -> Flags:
        """Return which words lie in a block that was taken inside the call that returned the block whose addresses they are.

        Args:
            addresses: Of the words.
            words: Their values.
        """
        if not len(self._inside):
            return np.zeros(len(addresses), np.bool_)
        holder, is_held = self._block_at(addresses)
        target, is_address = self._block_at(words.astype(np.int64))
        keys = holder * self._span + self._live.born_call[target]
        return is_held & is_address & are_among(keys, self._inside)

    def may_be_links(self, addresses: I64, words: np.ndarray) -> Flags:
        """Return which words may be left over from a list of free blocks.

        They lie in a block, and are the address of another one of its area that was taken after it.
        """
        holder, is_held = self._block_at(addresses)
        target, is_address = self._block_at(words.astype(np.int64))
        live = self._live
        is_start = is_address & (live.start[target] == words)
        later = live.born_call[target] > live.born_call[holder]
        same = live.area[target] == live.area[holder]
        found: Flags = is_held & is_start & later & same
        return found

    def may_be_of_free(self, addresses: I64, words: np.ndarray) -> tuple[I64, I64]:
        """Return which words may be left over from an array of free blocks, as a stack of free pages is one, and the blocks that they point to.

        They lie in a variable of more than a word and in no block, at linear addresses, and are the address of a block.
        """
        _, is_held = self._block_at(addresses)
        target, is_address = self._block_at(words.astype(np.int64))
        is_start = is_address & (self._live.start[target] == words)
        found: Flags = is_start & ~is_held & self._arrays.cover(addresses)
        return np.flatnonzero(found), target[found]

    def _block_at(self, addresses: I64) -> tuple[I64, Flags]:
        """Return the position of the block that each address lies in, and whether there is one."""
        block = np.maximum(np.searchsorted(self._live.start, addresses, side="right") - 1, 0)
        return block, (self._live.start[block] <= addresses) & (addresses < self._live.end[block])


def _numbers(area: Area, blocks: Blocks) -> I64:
    """Return the words by which a kernel knows some blocks that are no addresses in them; see `LiveBlocks`."""
    calls = area.trace.calls
    numbers = np.full(len(blocks.born), -1)
    rows = blocks.born_call.astype(np.int64) - 1
    for code, function in area.functions(*MAKING):
        made = calls.take("function", rows) == code
        if function.result is Result.FRAME:
            numbers[made] = blocks.address[made] // PAGE_SIZE
        elif function.block:
            numbers[made] = calls.take("result", rows[made])
    return numbers


class _LocatedPlaces(NamedTuple):
    """Where blocks of an area were ever made, [start, end), by the page tables of now; see `Places`."""

    start: I64
    end: I64
    unmapped: Flags
    newest: U32


def _located_places(area: Area, places: Places, memory: GuestWords) -> _LocatedPlaces:
    start, unmapped = located(area, places.address, memory)
    return _LocatedPlaces(start, start + places.end - places.address, unmapped, places.newest)


def _memory_had(
    area: Area, heaps: Flags, places: _LocatedPlaces, memory: GuestWords
) -> tuple[I64, I64, Flags]:
    """Return the memory that the blocks of an area have had, but for some live ones; and which is known by physical addresses only."""
    if heaps.any():
        others = np.ones(len(area.blocks.born), np.bool_)
        others[np.flatnonzero(area.blocks.died == NEVER)[heaps]] = False
        places = _located_places(area, Places.of(area.blocks.where(others)), memory)
    return places.start, places.end, places.unmapped


def _are_heaps(live: Spans, born: U32, others: Sequence[_LocatedPlaces]) -> Flags:
    """Return which blocks have had blocks of other areas allocated inside them, since they were allocated themselves.

    Args:
        live: The blocks; of unknown size: at least what begins where they do.
        born: Events of their births.
        others: Where these blocks were made.
    """
    result = np.zeros(len(born), np.bool_)
    for other in others if len(born) else ():
        addresses, by_address = distinct(other.start)
        newest = np.zeros(len(addresses), np.uint32)
        np.maximum.at(newest, by_address, other.newest)
        first, stop = np.searchsorted(addresses, live.start), np.searchsorted(addresses, live.end)
        for position in np.flatnonzero(first < stop).tolist():
            result[position] |= bool(newest[first[position] : stop[position]].max() > born[position])
    return result
