"""Values that models and audits hand to the rooms that show them.

Theory. A byte that two runs disagree on, or a word that breaks an invariant, means little by its address. It belongs to
a variable of the kernel, to an entry of a table, to a block of an allocator, or to a bitmap. A `Location` says which,
as fields; `kernel_model.text` alone turns it into words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel_model.structs import StructLayout


class LocationKind(Enum):
    """What the bytes of a location belong to."""

    VARIABLE = "variable"
    """A global variable: all of it, an element of an array, or a member of a struct."""

    PAGE = "page"
    """The entry of a page in a table that has one for each page of RAM."""

    BLOCK = "block"
    """A block of an allocator, live or free: a member of its header, or its body."""

    AREA = "area"
    """A free area of an allocator without headers: a member of what is written into it, or its body."""

    BITMAP = "bitmap"
    """Some bytes of the bitmap of frames."""

    UNREADABLE = "unreadable"
    """Memory of an allocator that comes after a header that cannot be one, so that no block is known there."""


@dataclass(frozen=True, slots=True)
class Location:
    """What some bytes of a guest's memory are.

    Attributes:
        kind: What they belong to.
        object: The variable (``memmap``, ``tcb_table``), the allocator (``heap``, ``mpl``, ``kmem``) or ``bitmap``.
        start: Physical address of the first byte of the member, the element, the body, or of what was asked for.
        end: First physical address after it.
        number: Which one of several allocators of this kind, such as the id of a memory pool; None: there is one only.
        index: The element of an array, the page of an entry, or the address of a block's or area's header as the
            kernel writes it; None: neither.
        field: The member of a struct or header; "" for a whole variable, a body and a bitmap. Where nothing is readable,
            what is broken before it: ``header`` or ``record``.
        byte: In a body, the byte that was asked for, counted from the end of the header, or None for all of it; in a
            bitmap, the first one. None elsewhere.
        frames: The frames that bytes of a bitmap stand for; empty elsewhere.
    """

    kind: LocationKind
    object: str
    start: int
    end: int
    number: int | None = None
    index: int | None = None
    field: str = ""
    byte: int | None = None
    frames: range = range(0)

    @property
    def is_body(self) -> bool:
        """Whether it is memory for the allocator's users, of which the allocator itself keeps nothing."""
        return self.kind in (LocationKind.BLOCK, LocationKind.AREA) and not self.field


def part_of_block(block: Location, header: StructLayout, layout: StructLayout, address: int) -> Location:
    """Return the member or the body that a byte of a block or free area belongs to.

    Args:
        block: All of it.
        header: What comes before the body.
        layout: The header and, of free memory, what is written into the body.
        address: Physical address of the byte.
    """
    field = layout.field_at(address - block.start)
    if field is None:
        return replace(block, start=block.start + layout.size, byte=address - block.start - header.size)
    start = block.start + field.offset
    return replace(block, start=start, end=start + field.size, field=field.name)
