"""Sections of debug information that are compressed in the file.

zstd is decompressed by pyarrow, which traces need anyway.

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
_ZLIB, _ZSTD = 1, 2
_LARGEST: Final = 1 << 30  # bytes


def section_content(data: bytes, section: SectionHeader) -> bytes:
    """Return the bytes of a section, decompressed; none where they are damaged, or compressed in another way than with zlib or zstd.

    Args:
        data: The whole file.
        section: One of its sections.
    """
    content = data[section.offset : section.offset + section.size]
    if section.flags & COMPRESSED_SECTION:
        kind, size = _HEADER.unpack_from(content)[:2] if len(content) >= _HEADER.size else (0, 0)
        inflate = {_ZLIB: _inflated, _ZSTD: _inflated_zstd}.get(kind)
        return b"" if inflate is None or size > _LARGEST else inflate(content[_HEADER.size :], size)
    if section.name.startswith(".zdebug"):
        magic, size = _GNU_HEADER.unpack_from(content) if len(content) >= _GNU_HEADER.size else (b"", 0)
        is_known = magic == b"ZLIB" and size <= _LARGEST
        return _inflated(content[_GNU_HEADER.size :], size) if is_known else b""
    return content


def _inflated(content: bytes, size: int) -> bytes:
    import zlib

    try:
        inflated = zlib.decompressobj().decompress(content, size or 1)
    except zlib.error:
        return b""
    return inflated if len(inflated) == size else b""


def _inflated_zstd(content: bytes, size: int) -> bytes:
    import pyarrow as pa  # slow to import

    try:
        return bytes(pa.Codec("zstd").decompress(content, decompressed_size=size, asbytes=True))
    except (OSError, ValueError):  # pyarrow's own are both
        return b""
