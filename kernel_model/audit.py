"""What models and audits report of a guest's memory: locations and defects, as values.

Theory. A byte that two runs disagree on, or a word that breaks an invariant, means little by its address. It belongs to
a variable of the kernel, to an entry of a table, to a block of an allocator, or to a bitmap. A `Location` says which, as
fields. An `Audit` distrusts the memory: it checks the invariants of some structures and reports a `Defect` for each that
does not hold. `kernel_model.text` alone turns both into words.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from kernel_model.structs import WORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel_model.structs import StructLayout


class LocationKind(Enum):
    """What the bytes of a location belong to."""

    VARIABLE = "variable"
    """A global variable: all of it, an element of an array, or a member of a struct."""

    PADDING = "padding"
    """A byte between the members of a global variable."""

    STACK = "stack"
    """The part of a stack that a call of a function uses."""

    PAGE = "page"
    """The entry of a page in a table that has one for each page of RAM."""

    BLOCK = "block"
    """A block of an allocator, live or free: a member of its header, or its body."""

    AREA = "area"
    """A free area of an allocator without headers: a member of what is written into it, or its body."""

    ENTRY = "entry"
    """An entry of a page directory or page table."""

    BITMAP = "bitmap"
    """Some bytes of the bitmap of frames."""

    UNREADABLE = "unreadable"
    """Memory of an allocator that comes after a header that cannot be one, so that no block is known there."""


class Location(NamedTuple):
    """What some bytes of a guest's memory are.

    Attributes:
        kind: What they belong to.
        object: The variable (``memmap``, ``tcb_table``), the function that uses a stack, the allocator (``heap``, ``mpl``,
            ``kmem``), ``bitmap``, ``page directory`` or ``page table``.
        start: Physical address of the first byte of the member, the element, the body, or of what was asked for.
        end: First physical address after it.
        number: Which one of several allocators of this kind, such as the id of a memory pool, or the task whose page tables they are;
            None: there is one only.
        item: Which element of an array, which page of a table, of a block or free area the address of its header as
            the kernel writes it, or of an entry the first linear address that it maps; None: none of these.
        field: The member of a struct or header, or the way to one inside others (``modules[3].start``); "" for a whole
            variable, a body and a bitmap. Where nothing is readable, what is broken before it: ``header`` or ``record``.
        byte: In a body, the byte that was asked for, counted from the end of the header, or None for all of it; in a
            bitmap, the first one; of a variable without a known type, where the word begins. None elsewhere.
        frames: The frames that bytes of a bitmap stand for; empty elsewhere.
    """

    kind: LocationKind
    object: str
    start: int
    end: int
    number: int | None = None
    item: int | None = None
    field: str = ""
    byte: int | None = None
    frames: range = range(0)

    @property
    def is_body(self) -> bool:
        """Whether it is memory for the allocator's users, of which the allocator itself keeps nothing."""
        return self.kind in (LocationKind.BLOCK, LocationKind.AREA) and not self.field

    def member(self, layout: StructLayout, name: str) -> Location:
        """Return the location of a member of the struct or header that begins where this location begins."""
        start = self.start + layout.offset(name)
        return self._replace(start=start, end=start + WORD, field=name)

    def part_at(self, address: int, header: StructLayout, layout: StructLayout) -> Location:
        """Return the member or the body that a byte of this block or free area belongs to.

        Args:
            address: Physical address of the byte.
            header: What comes before the body.
            layout: The header and, of free memory, what is written into the body.
        """
        field = layout.field_at(address - self.start)
        if field is not None:
            return self.member(layout, field)
        return self._replace(start=self.start + layout.size, byte=address - self.start - header.size)


def variable(name: str, address: int, size: int = WORD, *, item: int | None = None) -> Location:
    """Return the location of a global variable, or of an element of one that is an array."""
    return Location(LocationKind.VARIABLE, name, address, address + size, item=item)


def table_entry(
    linear: int, address: int, task: int | None = None, *, of_directory: bool = False
) -> Location:
    """Return the location of the entry that maps a linear address in a page table, or in a page directory."""
    name = "page directory" if of_directory else "page table"
    return Location(LocationKind.ENTRY, name, address, address + WORD, task, linear)


class Invariant(NamedTuple):
    """A rule that a structure keeps while nobody is in the middle of changing it.

    Attributes:
        code: Its name, unique and stable.
        violation: What is wrong where it does not hold: a format string for the values of a `Defect`.
        names_word: Whether *violation* says by itself which word of memory it is about.
        of_free_list: Whether it is about the way through the free memory. A write to a block that was freed before is likely
            to break it.
        of_mapping: Whether it is about what page tables map, and not about an allocator's own structures.
    """

    code: str
    violation: str
    names_word: bool = False
    of_free_list: bool = False
    of_mapping: bool = False


class Defect(NamedTuple):
    """A word of memory that breaks an invariant.

    Attributes:
        invariant: Which one.
        area: The area of the kernel's profile whose memory the structure manages; "" if it is none.
        location: The word; in a bitmap, the byte.
        value: What is found there.
        values: What completes the invariant's `Invariant.violation`.
    """

    invariant: Invariant
    area: str
    location: Location
    value: int
    values: tuple[int | str, ...] = ()

    @property
    def address(self) -> int:
        """Physical address of the word."""
        return self.location.start


class BrokenStructure(IndexError):
    """A model meets a word with which its C twin could not go on in a way that means anything. Nothing was written.

    Attributes:
        defect: The word, and what is wrong with it.
    """

    def __init__(self, defect: Defect) -> None:
        from kernel_model.text import defect_text  # only damage needs it

        super().__init__(defect_text(defect))
        self.defect = defect


class Audit(NamedTuple):
    """A check of the invariants of some structures of one kernel, as they lie in its memory. Nothing is written.

    Attributes:
        structure: What is checked, such as ``heap``.
        areas: The areas of the kernel's profile that defects belong to.
        defects: Returns the words that break an invariant, in the order found; [] if all invariants hold. In the middle of a
            change of the structures some do not hold rightly: the caller has to know that there is none. It raises
            `IndexError` where the structures lead out of memory.
    """

    structure: str
    areas: tuple[str, ...]
    defects: Callable[[], list[Defect]]
