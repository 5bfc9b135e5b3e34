"""Address spaces at the end of a run, as plain data: what each maps, to what, and with whom it shares that."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from emulator.guest.memory_map.regions import Span
    from kernel_model.mappings import BadEntry


class Backing(Enum):
    """What lies at the physical addresses that a range is mapped to."""

    RAM = "ram"
    VIDEO = "video"  # video memory below 1 MiB
    ROM = "rom"
    DEVICE = "device"  # registers of a device, or the frame buffer
    NOTHING = "nothing"
    UNKNOWN = "unknown"  # an image of RAM does not say
    UNMAPPED = "unmapped"  # the kernel keeps the addresses, and no page is mapped


class Elsewhere(NamedTuple):
    """A range that has frames of another one.

    Attributes:
        space: Number of its address space, from 0; None: the part that all have.
        start: First linear address of the range.
    """

    space: int | None
    start: int


class SpaceRange(NamedTuple):
    """Linear addresses `[start, end)` of one kind.

    Attributes:
        start: First linear address.
        end: Linear address after the last.
        writable: See `kernel_model.mappings.Mapping`, as are the next three.
        user: Also from ring 3.
        no_execute: Not to be executed.
        page_size: Bytes.
        pieces: Physical ranges in order of linear addresses; none where nothing is mapped.
        backing: What lies there.
        name: What the kernel uses it for, where that is known.
        shared: Bytes whose frames are mapped elsewhere, too, apart from the direct map.
        elsewhere: Some of the ranges that do that.
        is_direct_map: It belongs to the pieces that map RAM with one distance for the kernel's own use.
    """

    start: int
    end: int
    writable: bool
    user: bool
    no_execute: bool
    page_size: int
    pieces: tuple[Span, ...]
    backing: Backing
    name: str = ""
    shared: int = 0
    elsewhere: tuple[Elsewhere, ...] = ()
    is_direct_map: bool = False

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def mapped(self) -> int:
        """Bytes that are mapped."""
        return sum(end - start for start, end in self.pieces)


class Space(NamedTuple):
    """One address space.

    Attributes:
        directory: Physical address of its page directory, as in CR3.
        name: Whose it is, where that is known: ``task 3``.
        in_use: CR3 holds it.
        ranges: What it maps, by linear address, without what all have.
        tables: Physical addresses of the frames of its directory and tables.
        recursive: Linear addresses at which a directory is mapped as a table.
        problems: Entries that map nothing although they are present.
    """

    directory: int
    name: str
    in_use: bool
    ranges: tuple[SpaceRange, ...]
    tables: tuple[int, ...]
    recursive: tuple[int, ...] = ()
    problems: tuple[BadEntry, ...] = ()


class Spaces(NamedTuple):
    """All address spaces that are known.

    Attributes:
        spaces: The one in use comes first, unless the kernel has an order.
        common: What all of two or more map alike for the supervisor.
        gone: Directories that the run used and that are none any more.
        is_cut: Not all that they map was read: it is in too many pieces.
        others: There were more than are remembered, or none is remembered besides the one in use.
    """

    spaces: tuple[Space, ...]
    common: tuple[SpaceRange, ...] = ()
    gone: int = 0
    others: bool = False
    is_cut: bool = False
