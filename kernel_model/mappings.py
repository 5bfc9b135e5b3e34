"""What an address space maps, as values, and how they are read from the entries of its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.page_tables import (
    ACCESSED,
    ADDRESS,
    DIRTY,
    GLOBAL,
    NO_EXECUTE,
    PAGE_BYTES,
    PRESENT,
    USER,
    WRITABLE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kernel_model.page_tables import Problem, Slot, Tables

_RUN: Final = ADDRESS | NO_EXECUTE | WRITABLE | USER  # bits of an entry that have to go on as they began


class Mapping(NamedTuple):
    """How one page is mapped.

    Attributes:
        linear: Its first linear address.
        physical: Its first physical address.
        size: Bytes: 4 KiB; 4 MiB, or with PAE 2 MiB, for a large page.
        writable: Whether both levels grant writing.
        user: Whether both levels grant access from ring 3.
        no_execute: Whether a level forbids execution.
        accessed: The CPU has used the entry.
        dirty: The CPU has written through it.
        is_global: The entry's translations outlive a load of CR3, if CR4 says so.
        entry_at: Physical address of the entry that maps the page.
        entry: Its value.
    """

    linear: int
    physical: int
    size: int
    writable: bool
    user: bool
    no_execute: bool
    accessed: bool
    dirty: bool
    is_global: bool
    entry_at: int
    entry: int


class MappedRange(NamedTuple):
    """Pages side by side that are mapped with the same rights.

    Attributes:
        start: First linear address.
        end: Linear address after the last.
        physical: Physical address of the first byte; None where the frames do not follow each other.
        writable: See `Mapping.writable`.
        user: See `Mapping.user`.
        no_execute: See `Mapping.no_execute`.
        page_size: Bytes of each page.
    """

    start: int
    end: int
    physical: int | None
    writable: bool
    user: bool
    no_execute: bool = False
    page_size: int = PAGE_BYTES

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def permission(self) -> str:
        """Who may access it and how: ``u rw`` from ring 3, too, ``s r-`` from the others, only to read; ``s rw nx``: not to execute."""
        who, write = "u" if self.user else "s", "w" if self.writable else "-"
        return f"{who} r{write} nx" if self.no_execute else f"{who} r{write}"


class BadEntry(NamedTuple):
    """A present entry that maps nothing, or what is not there.

    Attributes:
        start: First linear address that it would map.
        end: Linear address after the last.
        entry_at: Its physical address; that of the directory where all of it is unreadable.
        entry: Its value.
        problem: What is wrong.
    """

    start: int
    end: int
    entry_at: int
    entry: int
    problem: Problem


class TableFrame(NamedTuple):
    """A frame that page tables take.

    Attributes:
        frame: Its physical address.
        start: First linear address that the table in it decides over; None: it is a directory, or the first level of three.
    """

    frame: int
    start: int | None


def mapping_in(slot: Slot, index: int, tables: Tables) -> Mapping | None:
    """Return how a page of a slot is mapped, or None where nothing is.

    Args:
        slot: Of these tables.
        index: Of the page, from 0; 0 for a large one.
        tables: Say how entries are read.
    """
    entry = slot.entries[index]
    if entry & tables.fatal != PRESENT:
        return None
    at, value = slot.entry_at, slot.entry
    if slot.table is not None:
        at, value = slot.table + index * tables.entry_bytes, entry
    return Mapping(
        slot.start + index * PAGE_BYTES,
        entry & ADDRESS,
        slot.page_size,
        writable=bool(entry & slot.rights & WRITABLE),
        user=bool(entry & slot.rights & USER),
        no_execute=bool((entry | slot.rights) & NO_EXECUTE),
        accessed=bool(entry & ACCESSED),
        dirty=bool(entry & DIRTY),
        is_global=bool(entry & GLOBAL),
        entry_at=at,
        entry=value,
    )


def ranges_in(slot: Slot, fatal: int) -> Iterator[MappedRange]:
    """Yield what a slot with a table maps, in pieces whose frames follow each other.

    Args:
        slot: It has a table.
        fatal: See `Tables.fatal`.
    """
    first, begin, expected = 0, slot.start, -1
    at, mask = slot.start, _RUN | fatal
    for entry in slot.entries:
        if entry & mask == expected:
            expected += PAGE_BYTES
        else:
            if first:
                yield range_of(slot, begin, at, first)
            first, begin, expected = 0, at, -1
            if entry & fatal == PRESENT:
                first, expected = entry, (entry & mask) + PAGE_BYTES
        at += PAGE_BYTES
    if first:
        yield range_of(slot, begin, at, first)


def range_of(slot: Slot, start: int, end: int, first: int) -> MappedRange:
    """Return pages of a slot, [start, end), whose frames follow each other from that of the entry *first* on."""
    return MappedRange(
        start,
        end,
        first & ADDRESS,
        writable=bool(first & slot.rights & WRITABLE),
        user=bool(first & slot.rights & USER),
        no_execute=bool((first | slot.rights) & NO_EXECUTE),
        page_size=slot.page_size,
    )


def joined(pieces: Iterable[MappedRange], *, contiguous: bool = False) -> Iterator[MappedRange]:
    """Join pieces with the same rights that follow each other.

    Args:
        pieces: By linear address.
        contiguous: Only where their frames follow each other, too.
    """
    current: MappedRange | None = None
    for piece in pieces:
        longer = None if current is None else _join(current, piece, contiguous=contiguous)
        if longer is None and current is not None:
            yield current
        current = longer or piece
    if current is not None:
        yield current


def _join(one: MappedRange, other: MappedRange, *, contiguous: bool) -> MappedRange | None:
    """Return two ranges as one; None where that is not possible."""
    if one.end != other.start or one[3:] != other[3:]:
        return None
    follows = one.physical is not None and one.physical + one.size == other.physical
    if contiguous and not follows:
        return None
    return one._replace(end=other.end, physical=one.physical if follows else None)
