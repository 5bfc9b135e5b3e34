"""How a kernel's file lies in memory, and where it is entered: what its format, its Multiboot header and the user say.

Without a user's word the Multiboot header counts, then the ELF headers. Of two Multiboot headers the first protocol's counts, as for QEMU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from emulator.errors import BadImage
from emulator.loader import multiboot1
from emulator.loader.containers import refuse_foreign
from emulator.loader.elf.headers import MAGIC, ElfHeaders
from emulator.loader.segments import (
    Segment,
    elf_segments,
    flat_segment,
    header_lies_there,
    linked_at,
    raw_segment,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.loader.multiboot1 import MultibootHeader
    from emulator.loader.multiboot2 import Multiboot2Header

Protocol = Literal["multiboot1", "multiboot2"]


class LoadOptions(NamedTuple):
    """What a user says about a kernel's file.

    Attributes:
        load: Where the whole file is loaded, physical; None: the file says it.
        entry: The first instruction, physical; None: the file says it, or it is the first byte of a raw one.
        protocol: The boot protocol; None: Multiboot 1 for a kernel with a header of that, else Multiboot 2.
    """

    load: int | None = None
    entry: int | None = None
    protocol: Protocol | None = None


PLAIN = LoadOptions()


class Layout(NamedTuple):
    """A kernel's file in memory.

    Attributes:
        segments: In order of physical addresses, at least one.
        entry: Address of the first instruction, as linked.
        physical_entry: The same, physical. It lies in a segment.
        multiboot: The header of the boot protocol by which the kernel is started; None: it has none.
        headers: Those of an ELF file.
    """

    segments: tuple[Segment, ...]
    entry: int
    physical_entry: int
    multiboot: MultibootHeader | Multiboot2Header | None
    headers: ElfHeaders | None


def lay_out(data: bytes, path: str, options: LoadOptions, linked: Sequence[Segment]) -> Layout:
    """Return how a kernel's file lies in memory.

    Args:
        data: The whole file.
        path: Its name, for messages.
        options: What the user says.
        linked: Segments of another file, which tell where this one is linked if its own format does not.

    Raises:
        BadImage: It cannot be loaded.
        ValueError: There is no such protocol.
    """
    if options.protocol not in {None, *get_args(Protocol)}:
        raise ValueError(f"{options.protocol!r} is no boot protocol")
    is_elf = data.startswith(MAGIC)
    headers = ElfHeaders(data, path) if is_elf and options.load is None else None
    multiboot = _header(data, path, options.protocol)
    addresses = None if multiboot is None else multiboot.addresses
    if options.load is not None:
        segments: tuple[Segment, ...] = (
            raw_segment(data, options.load, path, _linked(linked, options.load)),
        )
    elif headers is not None and (addresses is None or header_lies_there(headers, addresses)):
        segments = elf_segments(headers, data, path)
    elif addresses is not None:
        virtual = _linked(linked, addresses.header)
        if virtual is None and headers is not None:
            virtual = linked_at(headers, addresses.offset)
        segments = (flat_segment(addresses, data, path, virtual),)
    else:
        raise _no_kernel(data, path, multiboot)
    chosen = options.load if options.entry is None else options.entry
    if chosen is None and multiboot is not None:
        chosen = multiboot.entry
    entry, physical = _entry(segments, chosen, headers, path)
    return Layout(segments, entry, physical, multiboot, headers)


def _header(data: bytes, path: str, protocol: Protocol | None) -> MultibootHeader | Multiboot2Header | None:
    first = None if protocol == "multiboot2" else multiboot1.find_header(data, path)
    if first is not None:
        return first
    from emulator.loader import multiboot2  # hardly any kernel has only this

    second = None if protocol == "multiboot1" else multiboot2.find_header(data, path)
    if protocol is not None and second is None:
        raise BadImage(path, f"has no Multiboot {protocol[-1]} header")
    return second


def _no_kernel(data: bytes, path: str, multiboot: object) -> BadImage:
    """Return why a file that is no ELF file is no kernel."""
    if multiboot is not None:
        return BadImage(path, "is no ELF file, and its Multiboot header has no load addresses")
    refuse_foreign(data, path)
    try:
        ElfHeaders(data, path)
    except BadImage as error:
        return error
    raise AssertionError(path)  # it would be an ELF file


def _linked(segments: Sequence[Segment], physical: int) -> int | None:
    for segment in segments:
        if segment.physical <= physical < segment.end:
            return physical - segment.physical + segment.virtual
    return None


def _entry(
    segments: tuple[Segment, ...], chosen: int | None, headers: ElfHeaders | None, path: str
) -> tuple[int, int]:
    """Return the linked and the physical address of the first instruction."""
    address = chosen if chosen is not None else segments[0].physical if headers is None else headers.entry
    # The linker records a virtual entry, unless the linker script says otherwise.
    for segment in segments if chosen is None else ():
        if segment.virtual <= address < segment.virtual + segment.size:
            return address, address - segment.virtual + segment.physical
    for segment in segments:
        if segment.physical <= address < segment.end:
            return address if chosen is None else address - segment.physical + segment.virtual, address
    raise BadImage(path, f"the entry point 0x{address:08x} is in no loaded segment", value=address)
