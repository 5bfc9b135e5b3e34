"""Knows live pages by their frames, in entries of page tables and in words that hold their physical addresses.

A kernel in the higher half knows a page by the address where it has it mapped; the page tables that map it for a process
hold its physical address, and so may what describes the process, of its page directory. So a word that is such an entry, with
its present bit, or the physical address itself, counts as a pointer to the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.trace.queries.distinct import are_among
from emulator.x86 import PAGE_SIZE
from kernel_model.page_tables import PRESENT

if TYPE_CHECKING:
    from emulator.check.leaks.address_spaces import AddressSpaces, Pages
    from emulator.check.leaks.guest_words import GuestWords
    from emulator.check.leaks.live_blocks import LiveBlocks
    from emulator.trace.table import I64

_OFFSET: Final = PAGE_SIZE - 1


class PageEntries(NamedTuple):
    """The pages of live blocks, in order of their frames. Two blocks may have the same frame.

    Attributes:
        frame: The number of each page's frame.
        linear: The address that it has in its block.
        block: The position of the block in which it lies, among the live blocks.
    """

    frame: I64
    linear: I64
    block: I64

    def hit(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that are entries for these pages, or their physical addresses; the result is like that of `LiveBlocks.hit`.

        Pages that are mapped at their physical addresses are left out: such a word is a pointer into the block.
        """
        if not len(self.frame):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        low, high = int(self.frame[0]) * PAGE_SIZE, int(self.frame[-1]) * PAGE_SIZE | _OFFSET
        near = np.flatnonzero((words >= low) & (words <= high))  # hardly any: most of memory is zeros
        named = near[(words[near] & PRESENT != 0) | (words[near] & _OFFSET == 0)]
        position, row = self._pairs((words[named] // PAGE_SIZE).astype(np.int64))
        elsewhere = self.linear[row] != self.frame[row] * PAGE_SIZE
        return named[position[elsewhere]], self.block[row[elsewhere]]

    def mapped(self, pages: Pages) -> tuple[I64, I64]:
        """Find the pages mapped somewhere that are pages of blocks, and not where their blocks have them.

        Returns:
            Positions of these among the pages given, and of the blocks.
        """
        position, row = self._pairs(pages.frame)
        elsewhere = self.linear[row] != pages.linear[position]
        return position[elsewhere], self.block[row[elsewhere]]

    def of_frames(self, frames: set[int]) -> I64:
        """Return the positions of the blocks that have some frames."""
        return self.block[are_among(self.frame, list(frames))]

    def directories(self, spaces: AddressSpaces | None) -> dict[int, list[int]]:
        """Return the physical addresses of the pages that can be page directories, by the blocks that have them."""
        found: dict[int, list[int]] = {}
        for frame, block in zip(self.frame.tolist(), self.block.tolist(), strict=True):
            if spaces is not None and spaces.is_directory(frame * PAGE_SIZE):
                found.setdefault(block, []).append(frame * PAGE_SIZE)
        return found

    def _pairs(self, frames: I64) -> tuple[I64, I64]:
        """Return which of some frames are of which rows: a pair of positions for each."""
        first = np.searchsorted(self.frame, frames)
        count = np.searchsorted(self.frame, frames, side="right") - first
        position = np.repeat(np.arange(len(frames)), count)
        inside = np.arange(len(position)) - np.repeat(np.cumsum(count) - count, count)
        return position, np.repeat(first, count) + inside


def page_entries(live: LiveBlocks, memory: GuestWords) -> PageEntries:
    """Return the pages of those live blocks that are whole pages; none while paging is off.

    Of a block of unknown size it is the first page.
    """
    size = live.end - live.start
    whole = (live.start % PAGE_SIZE == 0) & ((size % PAGE_SIZE == 0) | (size == 1))
    found = [
        (physical // PAGE_SIZE, page, block)
        for block in (np.flatnonzero(whole).tolist() if memory.paging else ())
        for page in range(int(live.start[block]), int(live.end[block]), PAGE_SIZE)
        if (physical := page if live.unmapped[block] else memory.physical(page)) is not None
    ]
    frame, linear, block = np.array(sorted(found), np.int64).reshape(-1, 3).T
    return PageEntries(frame, linear, block)
