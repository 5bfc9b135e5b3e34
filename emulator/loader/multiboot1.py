"""Multiboot 1: the header by which a kernel asks to be booted.

Source: Multiboot Specification 0.6.96, section 3.1.
"""

from __future__ import annotations

import struct
from enum import IntFlag
from typing import Literal, NamedTuple

from emulator.errors import BadImage
from emulator.loader.segments import LoadAddresses
from emulator.x86 import WORD_MAX

_MAGIC = 0x1BADB002
_MAGIC_BYTES = _MAGIC.to_bytes(4, "little")
_HEADER = struct.Struct("<III")  # magic, flags, checksum
_ADDRESSES = struct.Struct(
    "<5I"
)  # of the header, of what is loaded, its end, the end of what is cleared, the entry
_VIDEO = struct.Struct("<4I")  # kind, width, height, depth; after the addresses, whether these count or not
_GRAPHICS = 0  # kind of a video mode
_SEARCHED = 8192  # the header lies wholly in so many bytes at the file's beginning
_ALIGNMENT = 4
_REQUIRED = 0xFFFF  # bits that a loader which does not know them must refuse


class HeaderFlags(IntFlag):
    """What a kernel asks for."""

    PAGE_ALIGN = 1 << 0  # modules begin on page boundaries
    MEMORY_INFO = 1 << 1  # memory size and map
    VIDEO_MODE = 1 << 2  # a video mode
    ADDRESSES = (
        1 << 16
    )  # load addresses follow; they count where an ELF file's own headers say something else


_KNOWN_REQUIRED = HeaderFlags.PAGE_ALIGN | HeaderFlags.MEMORY_INFO | HeaderFlags.VIDEO_MODE


class GraphicsRequest(NamedTuple):
    """A graphics mode that a kernel would like. What is 0 does not matter to it.

    Attributes:
        width: In pixels.
        height: The same.
        depth: Bits of a pixel.
    """

    width: int
    height: int
    depth: int


class MultibootHeader(NamedTuple):
    """A valid Multiboot header.

    Attributes:
        offset: Where it begins in the file.
        flags: What the kernel asks for; may carry further optional bits.
        addresses: Where the file is loaded; None: its own format says it.
        entry: Physical address of the first instruction; None: as above.
        graphics: The graphics mode that the kernel would like; None: it wants text, or does not care.
    """

    offset: int
    flags: HeaderFlags
    addresses: LoadAddresses | None = None
    entry: int | None = None
    graphics: GraphicsRequest | None = None

    @property
    def version(self) -> Literal[1, 2]:
        """Of the protocol."""
        return 1


def find_header(data: bytes, path: str) -> MultibootHeader | None:
    """Search for a Multiboot header.

    Args:
        data: The kernel's file.
        path: Its name, for messages.

    Returns:
        The first one with a right checksum, or None.

    Raises:
        BadImage: The kernel requires something that Multiboot 1 does not define, or its addresses are missing.
    """
    searched = data[:_SEARCHED]
    offset = _valid_offset(searched)
    if offset is None:
        return None
    flags = _HEADER.unpack_from(searched, offset)[1]
    _check_flags(flags, offset, path)
    return _header(searched, offset, HeaderFlags(flags), path)


def late_header(data: bytes) -> int | None:
    """Return where in a file without a header, which boot loaders find, one lies after the part that they search."""
    return _valid_offset(data, _SEARCHED - _HEADER.size + 1)


def _valid_offset(searched: bytes, start: int = 0) -> int | None:
    offset = searched.find(_MAGIC_BYTES, start)
    while 0 <= offset <= len(searched) - _HEADER.size:
        if offset % _ALIGNMENT == 0 and sum(_HEADER.unpack_from(searched, offset)) & WORD_MAX == 0:
            return offset
        offset = searched.find(_MAGIC_BYTES, offset + 1)
    return None


def _header(searched: bytes, offset: int, flags: HeaderFlags, path: str) -> MultibootHeader:
    graphics = _graphics(searched, offset) if HeaderFlags.VIDEO_MODE in flags else None
    if HeaderFlags.ADDRESSES not in flags:
        return MultibootHeader(offset, flags, graphics=graphics)
    at = offset + _HEADER.size
    if at + _ADDRESSES.size > len(searched):
        raise BadImage(
            path, f"truncated: the addresses of the Multiboot header at 0x{offset:08x} are missing"
        )
    header, load, load_end, bss_end, entry = _ADDRESSES.unpack_from(searched, at)
    addresses = LoadAddresses(offset, header, load, load_end, bss_end)
    return MultibootHeader(offset, flags, addresses, entry, graphics)


def _graphics(searched: bytes, offset: int) -> GraphicsRequest | None:
    at = offset + _HEADER.size + _ADDRESSES.size
    if at + _VIDEO.size > len(searched):
        return None
    kind, width, height, depth = _VIDEO.unpack_from(searched, at)
    return GraphicsRequest(width, height, depth) if kind == _GRAPHICS else None


def _check_flags(flags: int, offset: int, path: str) -> None:
    unknown = flags & _REQUIRED & ~_KNOWN_REQUIRED
    if unknown:
        raise BadImage(
            path,
            f"the Multiboot header at 0x{offset:08x} requires unknown features: flags 0x{flags:08x}, unknown 0x{unknown:04x}",
            value=flags,
        )
