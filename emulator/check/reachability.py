"""Which live blocks can still be reached: a conservative scan of memory, as Valgrind and the kernel's kmemleak do it.

Theory. Whatever looks like a pointer to a block, to its start or into it, counts as one. Roots are the kernel's data,
the live part of the stack, and the registers. From a block that can be reached, all its words are looked at in turn.

Frames are known by numbers as well: a word of the kernel's data that is the number of a block's first frame counts, too.

Shortcomings. A number that happens to look like a pointer hides a leak. What other tasks keep only on stacks that are
blocks themselves is seen as long as something points to these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.guest_words import GuestWords, Words
    from emulator.check.live_blocks import LiveBlocks
    from emulator.trace.columns import Flags

_PAGE_BITS: Final = np.uint32(12)


class Reachability:
    """The result of a scan.

    Args:
        live: All live blocks.
        memory: That of the machine at the end.
        framed: By area: its blocks are known by frame numbers.

    Attributes:
        reached: By block: something that lives points to it.
        pointer: By reached block: where the first pointer to it is: an address, or a register's name.
        lost_pointer: By block that was not reached: address of a pointer to it in another such block.
    """

    def __init__(self, live: LiveBlocks, memory: GuestWords, framed: Sequence[bool]) -> None:
        self._live = live
        self._memory = memory
        self.reached: Flags = np.zeros(len(live.start), np.bool_)
        self.pointer: dict[int, int | str] = {}
        self.lost_pointer: dict[int, int] = {}
        if len(live.start):
            self._scan_registers()
            for words in (*memory.globals(), memory.stack()):
                self._scan(words)
            self._scan_frame_numbers(np.array(framed, np.bool_))
            self._scan_lost()

    def _scan_registers(self) -> None:
        for name, value in self._memory.registers.items():
            _, targets = self._live.hit(np.array([value], np.uint32))
            for block in targets.tolist():
                self._reach(block, f"register {name}")

    def _scan(self, words: Words) -> None:
        """Follow all pointers from some words, and from the blocks that they lead to."""
        waiting = [words]
        while waiting:
            here = waiting.pop()
            for address, block in self._pointers(here):
                if self._reach(block, address):
                    waiting.append(self._inside(block))

    def _scan_frame_numbers(self, framed: Flags) -> None:
        candidates = np.flatnonzero(framed[self._live.area] & ~self.reached)
        if not len(candidates):
            return
        numbers = (self._live.start[candidates] >> _PAGE_BITS).astype(np.uint32)
        for words in self._memory.globals():
            for position in np.flatnonzero(np.isin(words.values, numbers)).tolist():
                block = int(candidates[np.searchsorted(numbers, words.values[position])])
                if self._reach(block, words.address + 4 * position):
                    self._scan(self._inside(block))

    def _scan_lost(self) -> None:
        for lost in np.flatnonzero(~self.reached).tolist():
            for address, block in self._pointers(self._inside(lost)):
                if block != lost and not self.reached[block]:
                    self.lost_pointer.setdefault(block, address)

    def _pointers(self, words: Words) -> list[tuple[int, int]]:
        positions, targets = self._live.hit(words.values)
        return list(zip((words.address + 4 * positions).tolist(), targets.tolist(), strict=True))

    def _inside(self, block: int) -> Words:
        return self._memory.read(int(self._live.start[block]), int(self._live.end[block]))

    def _reach(self, block: int, pointer: int | str) -> bool:
        """Note that a block is reached; return whether it was not before."""
        if self.reached[block]:
            return False
        self.reached[block] = True
        self.pointer[block] = pointer
        if isinstance(pointer, str):
            self._scan(self._inside(block))
        return True
