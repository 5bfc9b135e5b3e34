"""Page directory and page tables: which frame each page of the address space shows.

Theory. Two levels, as the CPU has them: entry ``virtual >> 22`` of the directory leads to a table, entry ``virtual >> 12 & 1023``
of the table to a frame. Both are frames of the managed window, and the window is mapped to itself, so C code reaches them at
their physical addresses, and so do models.

The identity map (the first MiB without page 0, the kernel up to the end of its heap, the managed window) is made by `Paging.init`
and never changes. So its pages are always mapped, its tables never empty, and a page that is mapped besides brings its table along
and takes it away again. A directory entry lets users in while a page for users is below it.

Shortcomings. The identity map is computed from memmap and heap where it matters, as in C: a ``memory_init`` after
``paging_init`` makes it another one. Pages of 4 MiB do not exist; the C code does not switch them on.

Source: spec 1.4, task 3; Intel SDM volume 3, 4.3 ("32-bit paging").
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.frames import FRAME_BYTES
from kernel_model.litecore.memmap import InvalidFree
from kernel_model.litecore.spinlock import SpinLock
from kernel_model.page_tables import PAGE_BYTES, PRESENT, USER, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.cpu import Cpu
    from kernel_model.litecore.memmap import Memmap
    from kernel_model.memory import Memory

_ENTRIES: Final = 1024  # of a directory and of a table
_OFFSET_MASK: Final = PAGE_BYTES - 1
_INDEX_MASK: Final = 4 * (_ENTRIES - 1)
_FRAME_MASK: Final = 0xFFFF_F000
_WORD_MASK: Final = 0xFFFF_FFFF
_UNKNOWN_FLAGS: Final = ~(PRESENT | WRITABLE | USER)
_TABLE_COVERS: Final = _ENTRIES * PAGE_BYTES
_NO_ENTRIES: Final = bytes(FRAME_BYTES)
_USER_IN_ALL: Final = int.from_bytes(pack("<I", USER) * _ENTRIES, "little")
"""A table as one number, all of whose entries have USER alone."""


class PagingAddresses(NamedTuple):
    """Addresses of C globals: ``page_directory``, ``paging_lock`` and ``heap_end``."""

    directory: int
    lock: int
    heap_end: int


class Paging:
    """Virtual memory on the page directory and tables in guest memory.

    Args:
        memory: Guest memory.
        addresses: Where the globals lie.
        memmap: Gives frames for directory and tables.
        cpu: Has to forget the pages that are unmapped.

    All calls raise `kernel_model.audit.BrokenStructure` where the page directory leads out of memory.
    """

    def __init__(self, memory: Memory, addresses: PagingAddresses, memmap: Memmap, cpu: Cpu) -> None:
        self._memory = memory
        self._load = memory.load_u32  # bound once: every page passes here
        self._store = memory.store_u32
        self.addresses = addresses
        self._directory_at = addresses.directory
        self._lock = SpinLock(memory, addresses.lock)
        self._memmap = memmap
        self._cpu = cpu

    # What the guest calls.

    def init(self) -> bool:
        """Make a page directory with the identity map. C: ``paging_init``.

        Returns:
            Whether it is there now; False with nothing taken if there was one before or frames run out.
        """
        with self._lock:
            if self._load(self._directory_at):
                return False
            directory = self._take_table()
            if directory is None:
                return False
            if not all(self._map_to_itself(directory, *span) for span in self._identity()):
                for entry in self._memory.view(directory, FRAME_BYTES).cast("I").tolist():
                    if entry & PRESENT:
                        self._give_table(entry)
                self._give_table(directory)
                return False
            self._store(self._directory_at, directory)
            return True

    def map_page(self, physical: int, virtual: int, flags: int) -> bool:
        """Let the page at *virtual* show the frame at *physical*. C: ``map_page``.

        Args:
            physical: Page-aligned address, of anything.
            virtual: Page-aligned address. Pages of the identity map are mapped already.
            flags: PRESENT, and WRITABLE and USER if wanted.

        Returns:
            Whether it does now; False with nothing changed where an argument is not as above, there is no page directory, the
            page is mapped already, or there is no frame for a table.
        """
        if (physical | virtual) & _OFFSET_MASK or flags & _UNKNOWN_FLAGS or not flags & PRESENT:
            return False
        with self._lock:
            above, in_directory, at, entry = self._look_up(virtual)
            if entry & PRESENT or not above:
                return False
            linked = in_directory
            if not at:
                table = self._take_table()
                if table is None:
                    return False
                linked = table | PRESENT | WRITABLE
                at = _entry_at(table, virtual)
            linked |= flags & USER
            self._store(at, physical | flags)
            if linked != in_directory:
                self._store(above, linked)
            return True

    def unmap_page(self, virtual: int) -> bool:
        """Let the page at *virtual* show nothing; its table goes back to the memmap if it was its last page. C: ``unmap_page``.

        Returns:
            Whether it showed something; False with nothing changed for an address that is not page aligned, or of the identity map.
        """
        with self._lock:
            if virtual & _OFFSET_MASK or self._is_identity(virtual):
                return False
            above, in_directory, at, entry = self._look_up(virtual)
            if not entry & PRESENT:
                return False
            table = in_directory & _FRAME_MASK
            others = int.from_bytes(self._memory.view(table, FRAME_BYTES), "little") ^ entry << 8 * (
                at - table
            )
            self._store(at, 0)
            if not others:
                self._store(above, 0)
            elif in_directory & USER and not others & _USER_IN_ALL:
                self._store(above, in_directory & ~USER)
            self._cpu.forget_translation(virtual)
            if not others:
                self._give_table(in_directory)
            return True

    def physical(self, virtual: int) -> int | None:
        """Return the physical address that *virtual* shows, None where nothing is mapped. C: ``virt_to_phys``."""
        with self._lock:
            entry = self._look_up(virtual)[3]
            return entry & _FRAME_MASK | virtual & _OFFSET_MASK if entry & PRESENT else None

    # Readers: no lock, no change.

    def directory(self) -> int:
        """Return the address of the page directory; 0 before `init`. C: ``page_directory``."""
        return self._load(self._directory_at)

    def tables(self) -> Iterator[tuple[int, int]]:
        """Yield the tables, as index of the directory entry and address. The entries are believed."""
        directory = self.directory()
        if directory:
            for index, entry in enumerate(self._memory.view(directory, FRAME_BYTES).cast("I").tolist()):
                if entry & PRESENT:
                    yield index, entry & _FRAME_MASK

    # What they share.

    def _look_up(self, virtual: int) -> tuple[int, int, int, int]:
        """Return address and value of the directory entry, and of the table entry, of a page.

        What is not there has address and value 0: all four without a directory, the last two without a table.
        """
        directory = self._load(self._directory_at)
        if not directory:
            return 0, 0, 0, 0
        above = directory + (virtual >> 20 & _INDEX_MASK)
        try:
            in_directory = self._load(above)
            if not in_directory & PRESENT:
                return above, in_directory, 0, 0
            at = _entry_at(in_directory & _FRAME_MASK, virtual)
            return above, in_directory, at, self._load(at)
        except IndexError as error:
            from kernel_model.litecore.paging_damage import outside_memory  # only damage needs it

            raise outside_memory(self._memory, self.addresses, virtual) from error

    def _take_table(self) -> int | None:
        """Return the address of a frame of zeroes, or None. Frame 0 cannot be one: in C its address is NULL."""
        frame = self._memmap.alloc_frame()
        if not frame:
            if frame is not None:
                self._memmap.free_frames(frame, 1)
            return None
        address = frame * FRAME_BYTES
        try:
            self._memory.write(address, _NO_ENTRIES)
        except IndexError as error:
            from kernel_model.litecore.paging_damage import window_outside_memory  # only damage needs it

            self._memmap.free_frames(frame, 1)
            raise window_outside_memory(self._memmap, frame) from error
        return address

    def _give_table(self, address: int) -> None:
        """Give a frame back as C does, which does not ask whether it was in use."""
        try:
            self._memmap.free_frames(address // FRAME_BYTES, 1)
        except InvalidFree:
            return

    def _kernel_end(self) -> int:
        """Return the end of the kernel's own memory: image, bitmap and heap."""
        fields = self._memmap.fields()
        return max(self._load(self.addresses.heap_end), fields.bitmap + fields.bitmap_bytes & _WORD_MASK)

    def _identity(self) -> tuple[tuple[int, int], ...]:
        """Return the ranges that are mapped to themselves."""
        fields = self._memmap.fields()
        return (PAGE_BYTES, self._kernel_end()), (fields.start_addr or PAGE_BYTES, fields.end_addr)

    def _is_identity(self, virtual: int) -> bool:
        return any(start <= virtual < end for start, end in self._identity())

    def _map_to_itself(self, directory: int, start: int, end: int) -> bool:
        """Map the pages that ``[start, end)`` touches to themselves; False when frames run out."""
        while start < end:
            stop = min(end, (start // _TABLE_COVERS + 1) * _TABLE_COVERS)
            above = directory + (start >> 20 & _INDEX_MASK)
            table = self._load(above) & _FRAME_MASK or self._take_table()
            if table is None:
                return False
            entries = [page | PRESENT | WRITABLE for page in range(start, stop, PAGE_BYTES)]
            self._memory.write(_entry_at(table, start), pack(f"<{len(entries)}I", *entries))
            self._store(above, table | PRESENT | WRITABLE)
            start = stop
        return True


def _entry_at(table: int, virtual: int) -> int:
    """Return the address of a page's entry in its table."""
    return table + (virtual >> 10 & _INDEX_MASK)
