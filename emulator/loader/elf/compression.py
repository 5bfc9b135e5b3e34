"""Sections of debug information that are compressed in the file.

Source: ELF gABI, "Section Compression" (SHF_COMPRESSED); GNU binutils, for .zdebug sections.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emulator.loader.elf.headers import SectionHeader

COMPRESSED_SECTION: Final = 0x800
"""SHF_COMPRESSED: a header and compressed bytes take the place of the section's."""

_HEADER: Final = struct.Struct("<III")  # ch_type, ch_size, ch_addralign
_GNU_HEADER: Final = struct.Struct(">4sQ")  # "ZLIB", size
_ZLIB: Final = 1
_LARGEST: Final = 1 << 30  # bytes


def section_content(data: bytes, section: SectionHeader) -> bytes:
    """Return the bytes of a section, decompressed; none where they are damaged, or compressed in another way than with zlib.

    Args:
        data: The whole file.
        section: One of its sections.
    """
    content = data[section.offset : section.offset + section.size]
    if section.flags & COMPRESSED_SECTION:
        kind, size = _HEADER.unpack_from(content)[:2] if len(content) >= _HEADER.size else (0, 0)
        return _inflated(content[_HEADER.size :], size) if kind == _ZLIB else b""
    if section.name.startswith(".zdebug"):
        magic, size = _GNU_HEADER.unpack_from(content) if len(content) >= _GNU_HEADER.size else (b"", 0)
        return _inflated(content[_GNU_HEADER.size :], size) if magic == b"ZLIB" else b""
    return content


def _inflated(content: bytes, size: int) -> bytes:
    import zlib

    if size > _LARGEST:
        return b""
    try:
        inflated = zlib.decompressobj().decompress(content, size or 1)
    except zlib.error:
        return b""
    return inflated if len(inflated) == size else b""
