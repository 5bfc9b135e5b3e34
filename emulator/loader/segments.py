"""What of a kernel's file goes where in memory."""

from __future__ import annotations

from enum import IntFlag
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import BadImage
from emulator.loader.elf.headers import LOADED_SEGMENT, check_inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.elf.headers import ElfHeaders, ProgramHeader

_FOUR_GIB = 1 << 32


class SegmentFlags(IntFlag):
    """What a segment's memory is for (p_flags)."""

    X = 1
    W = 2
    R = 4


_ANYTHING = SegmentFlags.X | SegmentFlags.W | SegmentFlags.R


class Segment(NamedTuple):
    """A piece of the kernel in memory.

    Attributes:
        physical: Where it is loaded.
        virtual: Where it is linked.
        size: Bytes in memory, > 0. `[physical, physical + size)` never wraps and meets no other segment.
        data: The bytes of the file, at most *size*; the rest is zero.
        flags: What the memory is for.
    """

    physical: int
    virtual: int
    size: int
    data: bytes
    flags: SegmentFlags

    @property
    def end(self) -> int:
        """First physical address after the segment."""
        return self.physical + self.size

    def __str__(self) -> str:
        return f"the segment 0x{self.physical:08x}-0x{self.end:08x}"


class LoadAddresses(NamedTuple):
    """Where a Multiboot header says that its file is loaded, whatever the file's format. All addresses are physical.

    Attributes:
        offset: Of the header in the file.
        header: Where the header is to lie.
        load: Where the first byte that is loaded is to lie; None: it is the file's first.
        load_end: End of what is loaded; 0: the file's end.
        bss_end: End of the memory that is cleared after it; 0: there is none.
    """

    offset: int
    header: int
    load: int | None
    load_end: int
    bss_end: int


def elf_segments(headers: ElfHeaders, data: bytes, path: str) -> tuple[Segment, ...]:
    """Return the loadable segments of an ELF file in order of physical addresses.

    Raises:
        BadImage: There are none, or they cannot be loaded.
    """
    loaded = _load(headers, data, path)
    segments = tuple(sorted(loaded, key=lambda segment: segment.physical))
    if not segments:
        raise BadImage(path, "has no loadable segments (PT_LOAD)")
    for lower, upper in pairwise(segments):
        if lower.end > upper.physical:
            raise BadImage(path, f"{lower} overlaps {upper}", value=upper.physical)
    return segments


def header_lies_there(headers: ElfHeaders, addresses: LoadAddresses) -> bool:
    """Say whether an ELF file's own headers put the Multiboot header where it says it lies."""
    return any(
        header.kind == LOADED_SEGMENT
        and header.offset <= addresses.offset < header.offset + header.file_size
        and header.physical + addresses.offset - header.offset == addresses.header
        for header in headers.program_headers()
    )


def linked_at(headers: ElfHeaders, offset: int) -> int | None:
    """Return the virtual address of a byte of an ELF file; None: it is not loaded."""
    for header in headers.program_headers():
        if header.kind == LOADED_SEGMENT and header.offset <= offset < header.offset + header.file_size:
            return offset - header.offset + header.virtual
    return None


def flat_segment(addresses: LoadAddresses, data: bytes, path: str, linked: int | None) -> Segment:
    """Return the one segment that a Multiboot header's addresses describe.

    Args:
        addresses: From the header.
        data: The whole file.
        path: Its name, for messages.
        linked: Virtual address of the header, if anything tells it; else the physical ones are taken for linked.

    Raises:
        BadImage: The addresses contradict each other, or the file is shorter.
    """
    load = addresses.header - addresses.offset if addresses.load is None else addresses.load
    start = addresses.offset - (addresses.header - load)
    if load < 0 or not 0 <= start <= addresses.offset:
        raise _bad_addresses(addresses, path, "the header does not lie in what is loaded")
    size = addresses.load_end - load if addresses.load_end else len(data) - start
    end = max(load + size, addresses.bss_end)
    if size <= addresses.header - load or end > _FOUR_GIB or 0 < addresses.bss_end < load + size:
        raise _bad_addresses(addresses, path, "an end lies before a beginning, or past 4 GiB")
    check_inside(data, path, "what the Multiboot header says is loaded", start, size)
    virtual = load if linked is None else linked - (addresses.header - load)
    if not 0 <= virtual <= _FOUR_GIB - (end - load):
        virtual = load
    return Segment(load, virtual, end - load, data[start : start + size], _ANYTHING)


def raw_segment(data: bytes, load: int, path: str, linked: int | None = None) -> Segment:
    """Return the one segment of a file that is loaded as it is.

    Args:
        data: The whole file.
        load: Where to, physical.
        path: Its name, for messages.
        linked: Virtual address of its first byte, if anything tells it.

    Raises:
        BadImage: It is empty, or does not end before 4 GiB.
    """
    if not data:
        raise BadImage(path, "is empty")
    if load + len(data) > _FOUR_GIB:
        raise BadImage(
            path, f"is {len(data)} bytes long, and loaded at 0x{load:08x} wraps past 4 GiB", value=load
        )
    return Segment(load, load if linked is None else linked, len(data), data, _ANYTHING)


def _bad_addresses(addresses: LoadAddresses, path: str, problem: str) -> BadImage:
    load = "-" if addresses.load is None else f"0x{addresses.load:08x}"
    return BadImage(
        path,
        f"the Multiboot header at 0x{addresses.offset:08x} has addresses that cannot be: {problem} (header "
        f"0x{addresses.header:08x}, load {load}, load end 0x{addresses.load_end:08x}, bss end 0x{addresses.bss_end:08x})",
        value=addresses.header,
    )


def _load(headers: ElfHeaders, data: bytes, path: str) -> Iterator[Segment]:
    for header in headers.program_headers():
        if header.kind != LOADED_SEGMENT:
            continue
        _check_header(header, data, path)
        if header.memory_size:
            yield Segment(
                header.physical,
                header.virtual,
                header.memory_size,
                data[header.offset : header.offset + header.file_size],
                SegmentFlags(header.flags & 7),
            )


def _check_header(header: ProgramHeader, data: bytes, path: str) -> None:
    what = f"segment {header.number} at 0x{header.physical:08x}"
    if header.file_size > header.memory_size:
        raise BadImage(
            path,
            f"{what} has {header.file_size} bytes in the file but only {header.memory_size} in memory",
            value=header.file_size,
        )
    for address in (header.physical, header.virtual):
        if address + header.memory_size > _FOUR_GIB:
            raise BadImage(
                path,
                f"segment {header.number} at 0x{address:08x} is 0x{header.memory_size:x} bytes long and wraps past 4 GiB",
                value=header.memory_size,
            )
    check_inside(data, path, what, header.offset, header.file_size)
