from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import BadImage
from emulator.loader.multiboot1 import GraphicsRequest
from emulator.loader.multiboot2 import HeaderTag, Multiboot2Header, find_header
from emulator.loader.segments import LoadAddresses
from tests.unit.loader.multiboot2_builder import END, header, tag

BARE = header()


@pytest.mark.parametrize("offset", [0, 8, 4096, 32768 - len(BARE)])
def test_finds_the_header(offset: int) -> None:
    assert find_header(bytes(offset) + BARE, "k") == Multiboot2Header(offset, ())


@pytest.mark.parametrize(
    "data",
    [b"", BARE[:15], bytes(4) + BARE, bytes(32768) + BARE, header(error=1)],
    ids=["empty", "cut", "unaligned", "after 32768", "checksum"],
)
def test_finds_none(data: bytes) -> None:
    assert find_header(data, "k") is None


def test_reads_all_tags() -> None:
    data = header(
        tag(1, 1, 6, 21),
        tag(2, 0x100010, 0x100000, 0x102000, 0x103000),
        tag(3, 0x100040),
        tag(4, 3),
        tag(5, 1024, 768, 32),
        tag(6),
        tag(7),
        tag(8, 1),
        tag(9, 1),
        tag(10, 0x100000, 0x200000, 4096, 1),
    )
    assert find_header(bytes(16) + data, "k") == Multiboot2Header(
        16,
        tuple(HeaderTag(kind) for kind in range(1, 11)),
        LoadAddresses(16, 0x100010, 0x100000, 0x102000, 0x103000),
        0x100040,
        GraphicsRequest(1024, 768, 32),
    )


def test_a_file_may_be_loaded_from_its_beginning() -> None:
    found = find_header(header(tag(2, 0x100010, 0xFFFFFFFF, 0, 0)), "k")
    assert found is not None
    assert found.addresses == LoadAddresses(0, 0x100010, None, 0, 0)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (header(architecture=4), "is for architecture 4, not for the i386 (0)"),
        (header(tag(11)), "requires the unknown tag 11"),
        (header(tag(1, 6, 22)), "requires the unknown information tag 22"),
        (header(tag(3)), "has a tag 3 of 8 bytes at 0x00000010"),
        (header(tag(2, 1, 2)), "has a tag 2 of 16 bytes at 0x00000010"),
        (header(tag(5, 1, 2)), "has a tag 5 of 16 bytes at 0x00000010"),
        (header(struct.pack("<HHI", 4, 0, 7)), "has a tag 4 of 7 bytes at 0x00000010"),
        (header(struct.pack("<HHI", 6, 0, 64)), "has a tag 6 of 64 bytes at 0x00000010"),
        (header(tag(6), end=b""), "has no end tag"),
    ],
)
def test_refuses(data: bytes, problem: str) -> None:
    with pytest.raises(BadImage) as caught:
        find_header(data, "k.bin")
    assert str(caught.value) == f"k.bin: the Multiboot 2 header at 0x00000000 {problem}"


def test_what_is_optional_may_be_unknown() -> None:
    found = find_header(header(tag(99, optional=True), tag(1, 99, optional=True), tag(6)), "k")
    assert found == Multiboot2Header(0, (HeaderTag.INFORMATION, HeaderTag.MODULE_ALIGNMENT))


@given(st.binary(max_size=80), st.booleans())
def test_anything_after_the_checksum(body: bytes, ended: bool) -> None:
    data = header(body + bytes(-len(body) % 8), end=END if ended else b"")
    with contextlib.suppress(BadImage):
        assert find_header(data, "k") is not None
