"""Multiboot 2: the header by which a kernel asks to be booted, as a list of tags.

Source: Specification of Multiboot 2 (GNU), section 3.1; which tags may be unknown, as in GRUB 2.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from emulator.errors import BadImage
from emulator.loader.multiboot1 import GraphicsRequest
from emulator.loader.segments import LoadAddresses
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = 0xE85250D6
_MAGIC_BYTES = _MAGIC.to_bytes(4, "little")
_HEADER = struct.Struct("<IIII")  # magic, architecture, length of all, checksum
_TAG = struct.Struct("<HHI")  # type, flags, size with these
_SEARCHED = 32768  # the header lies wholly in so many bytes at the file's beginning
_ALIGNMENT = 8
_I386 = 0
_OPTIONAL = 1
_FROM_THE_FILES_BEGINNING = 0xFFFFFFFF  # as a load address
_LAST_INFORMATION_TAG = 21


class HeaderTag(IntEnum):
    """What a kernel asks for, or says about itself."""

    END = 0
    INFORMATION = 1  # tags of information that it needs
    ADDRESSES = 2
    ENTRY = 3
    CONSOLE = 4  # a text console is there
    FRAME_BUFFER = 5  # a preference of width, height and depth
    MODULE_ALIGNMENT = 6  # modules always begin on pages
    EFI_BOOT_SERVICES = 7  # without EFI this and the next two have no meaning
    EFI_I386_ENTRY = 8
    EFI_AMD64_ENTRY = 9
    RELOCATABLE = 10  # it may be loaded elsewhere; it is loaded where it is linked


_KNOWN = frozenset(map(int, HeaderTag))
_SIZES = {
    HeaderTag.ADDRESSES: 24,
    HeaderTag.ENTRY: 12,
    HeaderTag.CONSOLE: 12,
    HeaderTag.FRAME_BUFFER: 20,
    HeaderTag.RELOCATABLE: 24,
}


class Multiboot2Header(NamedTuple):
    """A valid Multiboot 2 header.

    Attributes:
        offset: Where it begins in the file.
        tags: The kinds of its tags in their order, without the end; unknown optional ones are left out.
        addresses: Where the file is loaded; None: its own format says it.
        entry: Physical address of the first instruction; None: as above.
        graphics: The graphics mode that the kernel would like; None: it has asked for none.
    """

    offset: int
    tags: tuple[HeaderTag, ...]
    addresses: LoadAddresses | None = None
    entry: int | None = None
    graphics: GraphicsRequest | None = None

    @property
    def version(self) -> Literal[1, 2]:
        """Of the protocol."""
        return 2


def find_header(data: bytes, path: str) -> Multiboot2Header | None:
    """Look for a Multiboot 2 header.

    Args:
        data: The kernel's file.
        path: Its name, for messages.

    Returns:
        The first one with a right checksum, or None.

    Raises:
        BadImage: It is for another CPU, is damaged, or requires something that Multiboot 2 does not define.
    """
    searched = data[:_SEARCHED]
    offset = searched.find(_MAGIC_BYTES)
    while 0 <= offset <= len(searched) - _HEADER.size:
        words = _HEADER.unpack_from(searched, offset)
        if offset % _ALIGNMENT == 0 and sum(words) & WORD_MAX == 0:
            return _read(searched, offset, path)
        offset = searched.find(_MAGIC_BYTES, offset + 1)
    return None


def _read(searched: bytes, offset: int, path: str) -> Multiboot2Header:
    _, architecture, size, _ = _HEADER.unpack_from(searched, offset)
    if architecture != _I386:
        raise _bad(path, offset, f"is for architecture {architecture}, not for the i386 (0)", architecture)
    kinds: list[HeaderTag] = []
    addresses = entry = graphics = None
    for kind, optional, body in _tags(searched[offset : offset + size], offset, path):
        if kind not in _KNOWN:
            if not optional:
                raise _bad(path, offset, f"requires the unknown tag {kind}", kind)
            continue
        kinds.append(HeaderTag(kind))
        if kind == HeaderTag.INFORMATION and not optional:
            _check_information(body, offset, path)
        elif kind == HeaderTag.ADDRESSES:
            header, load, load_end, bss_end = struct.unpack_from("<IIII", body)
            addresses = LoadAddresses(
                offset, header, None if load == _FROM_THE_FILES_BEGINNING else load, load_end, bss_end
            )
        elif kind == HeaderTag.ENTRY:
            (entry,) = struct.unpack_from("<I", body)
        elif kind == HeaderTag.FRAME_BUFFER:
            graphics = GraphicsRequest(*struct.unpack_from("<III", body))
    return Multiboot2Header(offset, tuple(kinds), addresses, entry, graphics)


def _tags(header: bytes, offset: int, path: str) -> Iterator[tuple[int, bool, bytes]]:
    """Yield kind, whether it is optional, and contents of each tag up to the end tag."""
    at = _HEADER.size
    while at + _TAG.size <= len(header):
        kind, flags, size = _TAG.unpack_from(header, at)
        if size < max(_TAG.size, _SIZES.get(kind, 0)) or at + size > len(header):
            raise _bad(path, offset, f"has a tag {kind} of {size} bytes at 0x{offset + at:08x}", size)
        if kind == HeaderTag.END:
            return
        yield kind, bool(flags & _OPTIONAL), header[at + _TAG.size : at + size]
        at += size + -size % _ALIGNMENT
    raise _bad(path, offset, "has no end tag", None)


def _check_information(body: bytes, offset: int, path: str) -> None:
    for (kind,) in struct.iter_unpack("<I", body[: len(body) // 4 * 4]):
        if kind > _LAST_INFORMATION_TAG:
            raise _bad(path, offset, f"requires the unknown information tag {kind}", kind)


def _bad(path: str, offset: int, problem: str, value: int | None) -> BadImage:
    return BadImage(path, f"the Multiboot 2 header at 0x{offset:08x} {problem}", value=value)
