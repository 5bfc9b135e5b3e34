"""Memory that is contiguous for the kernel, of frames from anywhere.

Theory. `Vmalloc` joins three allocators that know nothing of each other: a range of address space, a frame for each page of it,
and the page tables that put one under the other, page by page upwards. What fails half-way is undone in full. A range that is
freed stays taken until its last page is unmapped.

Shortcomings. A page that somebody has unmapped is skipped by `Vmalloc.free`, as in C.

Source: spec 1.4, task 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.litecore.memmap import InvalidFree
from kernel_model.litecore.vspace import Owner
from kernel_model.page_tables import PAGE_BYTES, PRESENT, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel_model.litecore.memmap import Memmap
    from kernel_model.litecore.paging import Paging
    from kernel_model.litecore.vspace import VirtualSpace


class Vmalloc:
    """``vmalloc`` and ``vfree`` on what the three allocators keep in guest memory.

    Args:
        vspace: Hands out address space.
        memmap: Hands out frames.
        paging: Maps them.
        report: Receives the console line of an invalid `free`, with its line end.
    """

    def __init__(
        self, vspace: VirtualSpace, memmap: Memmap, paging: Paging, report: Callable[[str], None]
    ) -> None:
        self._vspace = vspace
        self._memmap = memmap
        self._paging = paging
        self._report = report

    def alloc(self, size: int) -> int:
        """Take *size* bytes, rounded up to pages. C: ``vmalloc``.

        Returns:
            The first address; 0 with nothing changed for a size of 0, without a page directory, and when address space, heap or frames
            run out.
        """
        pages = -(-size // PAGE_BYTES)
        start = self._vspace.take(pages, Owner.VMALLOC)
        if not start:
            return 0
        mapped = 0
        try:
            while mapped < pages and self._map_new_frame(start + mapped * PAGE_BYTES):
                mapped += 1
        finally:  # a page directory that leads out of memory raises
            if mapped < pages:
                self._unmap_frames(start, mapped)
                self._vspace.give(start, Owner.VMALLOC)
        return start if mapped == pages else 0

    def free(self, pointer: int) -> None:
        """Give back what `alloc` returned. 0 is ignored. C: ``vfree``.

        A pointer that is nothing of the kind changes nothing but ``vspace_error_count``, and is reported.
        """
        if not pointer:
            return
        pages = self._vspace.close(pointer)
        if not pages:
            self._report(f"vfree: not allocated: 0x{pointer:08x}\n")
            return
        self._unmap_frames(pointer, pages)
        self._vspace.give(pointer, Owner.CLOSING)

    def _map_new_frame(self, virtual: int) -> bool:
        """Map a new frame at *virtual*; False with nothing changed where that is not possible."""
        frame = self._memmap.alloc_frame()
        if frame is None:
            return False
        mapped = False
        try:
            mapped = self._paging.map_page(frame * PAGE_BYTES, virtual, PRESENT | WRITABLE)
        finally:
            if not mapped:
                self._memmap.free_frames(frame, 1)
        return mapped

    def _unmap_frames(self, start: int, pages: int) -> None:
        """Unmap pages from *start* upwards and free their frames, as far as they are mapped."""
        for virtual in range(start, start + pages * PAGE_BYTES, PAGE_BYTES):
            physical = self._paging.physical(virtual)
            if physical is not None and self._paging.unmap_page(virtual):
                try:
                    self._memmap.free_frames(physical // PAGE_BYTES, 1)
                except InvalidFree:
                    continue  # C does not ask either
