"""Compressed sections are read like others, and damaged ones are none."""

from __future__ import annotations

import struct
import zlib

import pyarrow as pa
import pytest

from emulator.loader.elf.compression import section_content
from emulator.loader.elf.headers import SectionHeader

TEXT = b"int main(void)" * 9
COMPRESSED = zlib.compress(TEXT)
GABI = struct.pack("<III", 1, len(TEXT), 1) + COMPRESSED
ZSTD = struct.pack("<III", 2, len(TEXT), 1) + pa.Codec("zstd").compress(TEXT, asbytes=True)
GNU = b"ZLIB" + struct.pack(">Q", len(TEXT)) + COMPRESSED


def content(data: bytes, name: str = ".debug_line", flags: int = 0x800) -> bytes:
    return section_content(b"head" + data, SectionHeader(name, 1, flags, 0, 4, len(data), 0))


def test_a_section_is_as_it_is_in_the_file() -> None:
    assert content(TEXT, flags=0) == TEXT


def test_a_compressed_section_is_decompressed() -> None:
    assert content(GABI) == TEXT
    assert content(GNU, ".zdebug_line", 0) == TEXT
    assert content(ZSTD) == TEXT


@pytest.mark.parametrize(
    "data",
    [
        GABI[:11],
        GABI[:-8],
        GABI[:20] + b"\xff" * 20,
        struct.pack("<III", 2, len(TEXT), 1) + COMPRESSED,  # is no zstd
        ZSTD[:-8],
        struct.pack("<III", 2, len(TEXT) + 1, 1) + ZSTD[12:],
        struct.pack("<III", 2, 0xFFFFFFFF, 1) + ZSTD[12:],
        struct.pack("<III", 3, len(TEXT), 1) + COMPRESSED,  # of no known kind
        struct.pack("<III", 1, len(TEXT) + 1, 1) + COMPRESSED,
        struct.pack("<III", 1, 0xFFFFFFFF, 1) + COMPRESSED,
    ],
)
def test_a_damaged_section_is_empty(data: bytes) -> None:
    assert content(data) == b""


@pytest.mark.parametrize("data", [GNU[:11], b"ZSTD" + GNU[4:], GNU[:-8]])
def test_a_damaged_section_of_the_older_kind_is_empty(data: bytes) -> None:
    assert content(data, ".zdebug_line", 0) == b""
