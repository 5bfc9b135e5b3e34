"""Knows live pages by the entries of page tables.

A kernel in the higher half knows a page by the address where it has it mapped; the page tables that map it for a process
hold its physical address. So a word that is such an entry, with its present bit, counts as a pointer to the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from emulator.check.leaks.guest_words import GuestWords
    from emulator.check.leaks.live_blocks import LiveBlocks
    from emulator.trace.table import I64, U32

PRESENT = 1


class PageEntries(NamedTuple):
    """The pages of live blocks, in order of their frames.

    Attributes:
        frame: The number of each page's frame.
        block: The position of the block in which it lies, among the live blocks.
    """

    frame: U32
    block: I64

    def hit(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that are entries for these pages; the result is like that of `LiveBlocks.hit`."""
        if not len(self.frame):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        present = np.flatnonzero(words & PRESENT)
        frames = words[present] // PAGE_SIZE
        target = np.minimum(np.searchsorted(self.frame, frames), len(self.frame) - 1)
        equal = self.frame[target] == frames
        return present[equal], self.block[target[equal]]


def page_entries(live: LiveBlocks, memory: GuestWords) -> PageEntries:
    """Return the pages of those live blocks that are whole pages and are not mapped at their physical addresses.

    Of a block of unknown size it is the first page.
    """
    size = live.end - live.start
    whole = (live.start % PAGE_SIZE == 0) & ((size % PAGE_SIZE == 0) | (size == 1))
    found = [
        (physical // PAGE_SIZE, block)
        for block in np.flatnonzero(whole).tolist()
        for page in range(int(live.start[block]), int(live.end[block]), PAGE_SIZE)
        if (physical := memory.physical(page)) not in {None, page}
    ]
    frames, blocks = np.array(sorted(found), np.int64).reshape(-1, 2).T
    return PageEntries(frames.astype(np.uint32), blocks)
