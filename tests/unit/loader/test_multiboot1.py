from __future__ import annotations

import struct

import pytest

from emulator.errors import BadImage
from emulator.loader.multiboot1 import GraphicsRequest, HeaderFlags, MultibootHeader, find_header, late_header
from emulator.loader.segments import LoadAddresses

MAGIC = 0x1BADB002


def header(flags: int = 3, error: int = 0) -> bytes:
    return struct.pack("<III", MAGIC, flags, -(MAGIC + flags) + error & 0xFFFFFFFF)


@pytest.mark.parametrize("offset", [0, 4, 4096, 8192 - 12])
def test_finds_the_header(offset: int) -> None:
    found = find_header(bytes(offset) + header(), "k.elf")
    assert found == MultibootHeader(offset, HeaderFlags.PAGE_ALIGN | HeaderFlags.MEMORY_INFO)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        header()[:11],
        bytes(2) + header(),
        bytes(8192 - 8) + header() + bytes(100),
        bytes(8192) + header(),
        header(error=1),
    ],
    ids=["empty", "cut", "unaligned", "across 8192", "after 8192", "checksum"],
)
def test_finds_none(data: bytes) -> None:
    assert find_header(data, "k.elf") is None


@pytest.mark.parametrize("offset", [8192 - 8, 8192, 20000])
def test_a_header_that_no_boot_loader_finds(offset: int) -> None:
    data = bytes(offset) + header() + bytes(4)
    assert find_header(data, "k.elf") is None
    assert late_header(data) == offset
    assert late_header(bytes(offset) + header(error=1)) is None


def test_passes_over_what_is_no_header() -> None:
    data = header(error=1) + bytes(2) + header() + bytes(2) + header(flags=0)
    assert find_header(data, "k.elf") == MultibootHeader(28, HeaderFlags(0))


def test_unknown_required_flags_are_refused() -> None:
    with pytest.raises(BadImage) as caught:
        find_header(bytes(16) + header(flags=0x8009), "k.elf")
    assert str(caught.value) == (
        "k.elf: the Multiboot header at 0x00000010 requires unknown features: flags 0x00008009, unknown 0x8008"
    )
    assert caught.value.value == 0x8009


def test_unknown_optional_flags_are_not() -> None:
    found = find_header(header(flags=0xFFFE0007), "k.elf")
    assert found is not None
    assert HeaderFlags.VIDEO_MODE in found.flags
    assert (found.addresses, found.entry) == (None, None)


def test_load_addresses_follow_the_header() -> None:
    data = (
        bytes(8)
        + header(flags=0x10000)
        + struct.pack("<5I", 0x100008, 0x100000, 0x101000, 0x102000, 0x100020)
    )
    assert find_header(data, "k.bin") == MultibootHeader(
        8,
        HeaderFlags.ADDRESSES,
        LoadAddresses(8, 0x100008, 0x100000, 0x101000, 0x102000),
        0x100020,
    )


def test_load_addresses_that_are_missing() -> None:
    with pytest.raises(BadImage) as caught:
        find_header(header(flags=0x10000) + bytes(19), "k.bin")
    assert (
        str(caught.value)
        == "k.bin: truncated: the addresses of the Multiboot header at 0x00000000 are missing"
    )


@pytest.mark.parametrize(
    ("flags", "video", "graphics"),
    [
        (7, (0, 800, 600, 24), GraphicsRequest(800, 600, 24)),
        (3, (0, 800, 600, 24), None),
        (7, (1, 80, 25, 0), None),
        (7, (), None),  # the header ends before it
    ],
)
def test_a_graphics_mode_is_asked_for(
    flags: int, video: tuple[int, ...], graphics: GraphicsRequest | None
) -> None:
    found = find_header(header(flags=flags) + bytes(20) + struct.pack(f"<{len(video)}I", *video), "k.elf")
    assert found is not None
    assert found.graphics == graphics
