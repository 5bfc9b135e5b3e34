"""Struct layouts of the guest kernel, as data.

Theory. These layouts are the contract between the C code and the models: a layer may change hands in the
middle of a run, so both sides must agree on every offset. The models compute with the numbers given
here; a test compares them with the DWARF of the firmware.

Source: spec 1.2 (``memmap_t``), 1.3 (``struct block_header``), 1.4 (spin locks); 2.2 to 2.5 (BTRON/386).
"""

from __future__ import annotations

from typing import Final, NamedTuple

WORD: Final = 4
"""Bytes of each member."""


class StructLayout(NamedTuple):
    """A C struct of 32-bit words: its name in C, and the names of its members in address order."""

    name: str
    fields: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the struct."""
        return WORD * len(self.fields)

    def offset(self, name: str) -> int:
        """Return the offset of the member *name*. An unknown name is a `ValueError`."""
        return WORD * self.fields.index(name)

    def field_at(self, offset: int) -> str | None:
        """Return the member that the byte at *offset* belongs to, or None outside all members."""
        return self.fields[offset // WORD] if 0 <= offset < self.size else None


def _words(name: str, *fields: str) -> StructLayout:
    return StructLayout(name, fields)


MEMMAP: Final = _words("memmap_t", "start_addr", "end_addr", "start_frame", "max_frames", "bitmap")

BLOCK_HEADER: Final = _words("block_header", "size", "used")

FREE_BLOCK: Final = _words("free_block", "size", "used", "next")
"""A free block: its header and, in the first word of its body, the address of the next free header."""

SPINLOCK: Final = _words("spinlock_t", "locked")

VSPACE_RANGE: Final = _words("vspace_range", "start", "pages", "owner", "next")

# BTRON/386.

PMEM_ENTRY: Final = _words("pmem_entry", "flag", "refcount")
BOOT_RANGE: Final = _words("boot_range", "start", "end")

KMEM_ENTRY: Final = _words("kmem_entry", "next", "size")
"""The header of a free area. ``body``, which has no size, follows."""

KMEM_EXTENT: Final = _words("kmem_extent", "start", "size")

POOL_MPL: Final = _words(
    "pool_mpl", "exinf", "attr", "size", "area", "area_size", "free", "first_waiter", "exists"
)
POOL_MPF: Final = _words(
    "pool_mpf",
    *("exinf", "attr", "count", "block_size", "area", "area_size", "free", "first_waiter", "exists"),
    "free_count",
)
MPL_BLOCK: Final = _words("mpl_block", "size", "tag")
"""The record before each block of a pool."""

FREE_MPL_BLOCK: Final = _words("free_mpl_block", "size", "tag", "next")
"""A free block of a pool: its record and, in the first word of its body, the address of the next free record."""

TCB: Final = _words(
    "tcb",
    *("esp", "tskid", "state", "priority", "next", "prev"),
    *("wait_kind", "wait_id", "wait_size", "wait_out", "wercd", "wait_attr_unused"),
    *("deadline_lo", "has_deadline", "wakeups", "start", "exinf", "stack", "stack_size", "reserved"),
)

REGION: Final = _words("region", "start", "min_size", "max_size", "permission", "handle", "size")

SPACE_REGIONS: Final = 8
"""Length of the array ``regions`` that follows the word ``directory`` in a ``struct space``."""

SPACE_BYTES: Final = WORD + SPACE_REGIONS * REGION.size
"""Bytes of a ``struct space``."""

T_CMPL: Final = _words("T_CMPL", "exinf", "mplatr", "mplsz")
T_RMPL: Final = _words("T_RMPL", "exinf", "wtsk", "frsz", "maxsz")
T_CMPF: Final = _words("T_CMPF", "exinf", "mpfatr", "mpfcnt", "blfsz")
T_RMPF: Final = _words("T_RMPF", "exinf", "wtsk", "frbcnt")
T_REGION: Final = _words("T_REGION", "start_addr", "min_size", "max_size", "permission", "handle")
