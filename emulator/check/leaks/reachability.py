"""Which live blocks can still be reached: a conservative scan of memory, as Valgrind and the kernel's kmemleak do it.

Theory. Whatever looks like a pointer to a block, to its start or into it, counts as one. Roots are the kernel's data, the
live part of the stack, the registers, the tables that the CPU uses, and RAM that no allocator has handed out (`heap_memory`). From a block that can be reached, all its words are scanned in turn. What an allocator
writes down of a block, in memory that it took while it made the block, holds nothing (`live_blocks.OwnRecords`).

The address after a block's end holds it, too, if a program has written it and not an allocator (`word_writers`), and so does its
own address where it is no multiple of 4, as in a packed structure, unless numbers beside each other make it up
(0x20 after a zero is 0x00200000). What is left over of these proves nothing, nor does what an allocator wrote of a block while it was free, as into a stack of free pages: such blocks, and what only they point to, are *doubtful*.

Page tables are walked (`address_spaces`): what they map, outside the kernel's direct map, can be reached, and so can the frames
that they lie in. Whole pages are known by their physical addresses too, in words that may be entries (`page_entries`).
Frames are known by numbers as well, and so is whatever a profile computes the block from, such as the address of a `struct page`. A pointer to a
block's header counts if no allocator has written it.

Shortcomings. A number that happens to look like a pointer hides a leak. What other tasks keep only on stacks that are
blocks themselves is seen as long as something points to these. Pointers into a block of unknown size are not recognised; those
that it holds are looked for up to the next block, in a page at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.leaks.page_entries import page_entries
from emulator.trace.queries.distinct import are_among
from emulator.x86 import WORD_SIZE
from kernel_model.page_tables import PRESENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from emulator.check.leaks.evidence import Evidence
    from emulator.check.leaks.guest_words import GuestWords, Part
    from emulator.check.leaks.heap_memory import HeapMemory
    from emulator.check.leaks.live_blocks import LiveBlocks, OwnRecords
    from emulator.trace.table import I64, Flags

    Hit = Callable[[np.ndarray], tuple[I64, I64]]

_PAGE_BITS: Final = 12


class Pointer(NamedTuple):
    """A pointer to a block.

    Attributes:
        location: An address, or the name of a register.
        is_end: Whether it is the address after the block's end.
        is_of_free: Whether the allocator wrote it while the block was free.
    """

    location: int | str
    is_end: bool = False
    is_of_free: bool = False


class Reachability:
    """Which live blocks something points to; the scan is made at once.

    Args:
        live: All live blocks.
        heap: The memory that blocks have had.
        memory: The memory of the machine at the end of the run.
        records: What allocators write down themselves, which holds nothing.
        evidence: Weighs what may hold a block, or be there by chance.
        of_free: Words of the kernel's data that prove nothing, for their allocator wrote them while the block was free: the address of each, and the block.

    Attributes:
        reached: By block: whether it can be reached from the roots.
        pointer: By reached block: the first pointer to it that was found.
        doubtful: By block that was not reached: what may hold it, in the roots, in a reached block, or in another such block.
        lost_pointer: By block that is neither reached nor doubtful: a pointer to it in another such block.
    """

    def __init__(
        self,
        live: LiveBlocks,
        heap: HeapMemory,
        memory: GuestWords,
        records: OwnRecords,
        evidence: Evidence,
        of_free: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._live = live
        self._heap = heap
        self._records = records
        self._evidence = evidence
        self._of_free = of_free
        self._memory = memory
        self._spaces = memory.walker()
        self._entries = page_entries(live, memory)
        self._directories = self._entries.directories(self._spaces)
        self._waiting: list[Part] = []
        self._seeks_links = True
        self._links: list[tuple[int, int]] = []
        self._left_over: set[int] = set()
        self.reached: Flags = np.zeros(len(live.start), np.bool_)
        self.pointer: dict[int, Pointer] = {}
        self.doubtful: dict[int, Pointer] = {}
        self.lost_pointer: dict[int, Pointer] = {}
        if len(live.start):
            self._scan_roots()
            self._scan_rest()
            self._scan_answers()
            self._scan_directories()
            self._scan_weak()
            self._scan_links()
            self._scan_doubtful()
            self._scan_lost()

    def _hit(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that point to a block that is not reached, by an address or as an entry of a page table; see `LiveBlocks.hit`.

        To a block at address 0, as allocators of frames hand it out, all empty memory points.
        """
        by_address, by_entry = self._live.hit(words), self._entries.hit(words)
        positions, targets = (np.concatenate(each) for each in zip(by_address, by_entry, strict=True))
        unreached = ~self.reached[targets]
        return positions[unreached], targets[unreached]

    def _scan_roots(self) -> None:
        """Follow the registers, the address space in use, the kernel's data and the stack."""
        for name, block in self._in_registers(self._hit):
            self._reach(block, Pointer(f"register {name}"))
        for name, address in self._memory.tables:
            if (holder := self._live.holder(address, 1)) is not None:
                self._reach(holder, Pointer(f"the CPU, for {name}"))
        if self._spaces is not None:
            self._follow(self._spaces.current)
        self._waiting += [*self._memory.globals(), *self._stack()]
        self._scan()

    def _stack(self) -> Iterator[Part]:
        """Return the stack: where it is a block, no more than that."""
        block = self._live.holder(self._memory.stack_pointer, 1)
        return self._memory.stack(None if block is None else self._live.scan_end(block))

    def _scan(self) -> None:
        """Follow all pointers in the memory that waits for it, and in the blocks that they lead to."""
        while self._waiting:
            part = self._waiting.pop()
            if self._seeks_links:
                self._links += self._pointers(part, 0, self._hit, links=True)
            for address, block in self._pointers(part, 0, self._hit):
                self._reach(block, Pointer(address))

    def _scan_rest(self) -> None:
        """Follow the RAM that belongs neither to the kernel's image nor to a block; numbers there are no pointers to odd addresses."""

        def hit(words: np.ndarray) -> tuple[I64, I64]:
            positions, targets = self._hit(words)
            even = words[positions] % WORD_SIZE == 0
            return positions[even], targets[even]

        for part in self._memory.rest() if not self.reached.all() else ():
            for address, block in self._pointers(part, 0, hit):
                self._reach(block, Pointer(f"the word at 0x{address:08x}, which is in no block"))
        self._scan()

    def _follow(self, directory: int) -> None:
        """Reach what an address space uses: the frames of its tables, and those that it maps."""
        if self._spaces is None:
            return
        known = set(self._spaces.tables)
        pages = self._spaces.walk(directory)
        for block in self._entries.of_frames(self._spaces.tables - known).tolist():
            self._reach(block, Pointer(f"the page directory at 0x{directory:08x}"))
        position, blocks = self._entries.mapped(pages)
        for linear, block in zip(pages.linear[position].tolist(), blocks.tolist(), strict=True):
            self._reach(block, Pointer(f"the page table entry of 0x{linear:08x}"))

    def _scan_answers(self) -> None:
        """Follow the words by which kernels know blocks that are no addresses in them."""
        candidates = np.flatnonzero((self._live.number >= 0) & ~self.reached)
        self._scan_numbers(
            dict(zip(self._live.number[candidates].tolist(), candidates.tolist(), strict=True))
        )

    def _scan_directories(self) -> None:
        """Follow the page directories that are known by the numbers of their frames, wherever these are."""
        block_of = {
            page >> _PAGE_BITS: block
            for block, pages in self._directories.items()
            for page in pages
            if not self.reached[block]
        }
        self._scan_numbers(block_of)

    def _scan_numbers(self, block_of: Mapping[int, int]) -> None:
        """Follow words of the roots, and of blocks that are reached, that are one of some numbers, each of which stands for a block."""
        numbers = np.array(sorted(block_of), np.uint32)

        def hit(words: np.ndarray) -> tuple[I64, I64]:
            positions = np.flatnonzero(np.isin(words, numbers))
            return positions, np.array([block_of[each] for each in words[positions].tolist()], np.int64)

        count = -1
        while block_of and count != (count := int(self.reached.sum())):
            for address, block in list(self._to_unreached(hit)):
                if address % WORD_SIZE == 0:
                    self._reach(block, Pointer(address))
            self._scan()

    def _scan_weak(self) -> None:
        """Follow pointers to blocks at odd addresses, as packed structures have them, and what a program keeps of their ends."""
        count = -1
        while count != (count := int(self.reached.sum())):
            for address, block in self._evidence.pointers(list(self._to_unreached(self._live.start_at))):
                self._reach(block, Pointer(address))
            self._scan()
            for address, block in self._evidence.of_programs(list(self._to_unreached(self._live.header_at))):
                self._reach(block, Pointer(address))
            for address, block in self._evidence.of_programs(list(self._to_unreached(self._live.ending_at))):
                self._reach(block, Pointer(address, is_end=True))
            self._scan()

    def _scan_links(self) -> None:
        """Follow the words that may be left over from a list of free blocks, without those that are."""
        reached, pointer, links = self.reached.copy(), dict(self.pointer), list(self._links)
        asked = [link for link in self._follow_links() if not reached[link[1]]]
        self._left_over = self._evidence.left_over(asked)
        if self._left_over:
            self.reached, self.pointer, self._links = reached, pointer, links
            self._follow_links()
        self._seeks_links = False
        self._scan_weak()

    def _follow_links(self) -> list[tuple[int, int]]:
        """Follow all these words but those that are known to be left over; return all."""
        followed = []
        while self._links:
            links, self._links = self._links, []
            followed += links
            for address, block in links:
                if address not in self._left_over:
                    self._reach(block, Pointer(address))
            self._scan()
        return followed

    def _scan_doubtful(self) -> None:
        """Find the blocks that are held in a way that proves nothing, and those that they point to."""
        weak = (self._live.into, self._live.header_at)
        found = [(block, Pointer(address)) for hit in weak for address, block in self._to_unreached(hit)]
        found += [
            (block, Pointer(address, is_end=True))
            for address, block in self._to_unreached(self._live.ending_at)
        ]
        found += [
            (block, Pointer(f"register {name}", is_end=True))
            for name, block in self._in_registers(self._live.ending_at)
        ]
        found += [
            (block, Pointer(address, is_of_free=True))
            for address, block in self._of_free
            if not self.reached[block]
        ]
        waiting = found[::-1]
        while waiting:
            block, pointer = waiting.pop()
            if block not in self.doubtful:
                self.doubtful[block] = pointer
                inside = self._everywhere(self._inside(block), self._hit)
                waiting += [(other, Pointer(address)) for address, other in inside]

    def _scan_lost(self) -> None:
        rest = [block for block in np.flatnonzero(~self.reached).tolist() if block not in self.doubtful]
        for lost in rest:
            for address, block in self._everywhere(self._inside(lost), self._hit):
                if block != lost and not self.reached[block] and block not in self.doubtful:
                    self.lost_pointer.setdefault(block, Pointer(address))

    def _in_registers(self, hit: Hit) -> Iterator[tuple[str, int]]:
        for name, value in self._memory.registers.items():
            for block in hit(np.array([value], np.uint32))[1].tolist():
                if not self.reached[block]:
                    yield name, block

    def _pointers(self, part: Part, offset: int, hit: Hit, *, links: bool = False) -> list[tuple[int, int]]:
        """Return the pointers in a part of memory, without entries of page tables that are followed as such, and an allocator's own.

        Args:
            part: The memory.
            offset: That of their addresses from multiples of 4.
            hit: Finds them among words.
            links: Return those that may be left over from a list of free blocks, instead of the others.
        """
        start, words = part.words(offset)
        positions, targets = hit(words)
        addresses = start + WORD_SIZE * positions
        others = ~self._records.are_own(addresses, words[positions])
        others &= ~self._memory.are_stack_tops(addresses, physical=part.physical)
        if part.is_root:
            others &= ~self._heap.covers(addresses, physical=part.physical)
            others &= ~self._memory.are_constants(addresses, words[positions])
            if self._of_free and not (part.physical and self._memory.paging):
                others &= ~are_among(addresses, [address for address, _ in self._of_free])
        if self._seeks_links:
            others &= self._records.may_be_links(addresses, words[positions]) == links
        elif self._left_over:
            others &= ~are_among(addresses, list(self._left_over))
        positions, targets, addresses = positions[others], targets[others], addresses[others]
        if self._spaces is not None:
            pages, page_of = np.unique(addresses >> _PAGE_BITS, return_inverse=True)
            in_table = np.array([self._is_table(page, part) for page in pages.tolist()], np.bool_)[page_of]
            data = ~(in_table & (words[positions] & PRESENT != 0))
            addresses, targets = addresses[data], targets[data]
        return list(zip(addresses.tolist(), targets.tolist(), strict=True))

    def _is_table(self, page: int, part: Part) -> bool:
        """Return whether a page of some memory is a page table that was walked."""
        physical = page << _PAGE_BITS if part.physical else self._memory.physical(page << _PAGE_BITS)
        return (
            self._spaces is not None
            and physical is not None
            and physical >> _PAGE_BITS in self._spaces.tables
        )

    def _to_unreached(self, hit: Hit) -> Iterator[tuple[int, int]]:
        """Yield the pointers to blocks that are not reached, at any address of the roots and of reached blocks."""
        if self.reached.all():
            return
        yield from self._everywhere([*self._memory.plain_globals(), *self._stack()], hit)
        for block in np.flatnonzero(self._live.unmapped & self.reached).tolist():
            yield from self._everywhere(self._inside(block), hit)
        for start, end in self._live.runs():
            for address, block in self._everywhere(self._memory.read(start, end), hit):
                owner = self._live.holder(address, WORD_SIZE)
                if owner is not None and self.reached[owner]:
                    yield address, block

    def _everywhere(self, parts: Iterable[Part], hit: Hit) -> Iterator[tuple[int, int]]:
        """Yield the pointers to blocks that are not reached, at all addresses of some memory, multiples of 4 first."""
        for part in parts:
            for offset in range(WORD_SIZE):
                for address, block in self._pointers(part, offset, hit):
                    if not self.reached[block]:
                        yield address, block

    def _inside(self, block: int) -> Iterator[Part]:
        read = self._memory.read_physical if self._live.unmapped[block] else self._memory.read
        return read(int(self._live.start[block]), self._live.scan_end(block))

    def _reach(self, block: int, pointer: Pointer) -> None:
        """Mark a block as reached, if it was not before, and let what it holds be followed."""
        if self.reached[block]:
            return
        self.reached[block] = True
        self.pointer[block] = pointer
        for directory in self._directories.get(block, ()):
            self._follow(directory)
        self._waiting += self._inside(block)
