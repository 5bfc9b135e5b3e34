"""What an address space maps, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kernel_model.page_tables import PAGE_BYTES

if TYPE_CHECKING:
    from kernel_model.page_tables import Problem


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
