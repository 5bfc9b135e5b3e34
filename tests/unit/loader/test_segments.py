"""Segments from the addresses of Multiboot headers, and raw ones; those of ELF files: test_image.py."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import BadImage
from emulator.loader.segments import LoadAddresses, SegmentFlags, flat_segment, raw_segment

DATA = bytes(range(64)) * 2
ALL = SegmentFlags.R | SegmentFlags.W | SegmentFlags.X


def flat(*addresses: int | None, linked: int | None = None) -> tuple[int, int, int, bytes]:
    offset, header, load, load_end, bss_end = addresses
    assert None not in (offset, header, load_end, bss_end)
    given_ = LoadAddresses(offset or 0, header or 0, load, load_end or 0, bss_end or 0)
    segment = flat_segment(given_, DATA, "k.bin", linked)
    assert segment.flags == ALL
    return segment.physical, segment.virtual, segment.size, segment.data


def test_the_header_tells_where_the_file_lies() -> None:
    assert flat(16, 0x100008, 0x100000, 0x100020, 0x100040) == (0x100000, 0x100000, 0x40, DATA[8:40])


def test_without_an_end_all_of_the_file_is_loaded() -> None:
    assert flat(16, 0x100008, 0x100000, 0, 0) == (0x100000, 0x100000, 120, DATA[8:])


def test_without_a_beginning_too() -> None:
    assert flat(16, 0x100010, None, 0, 0x100100) == (0x100000, 0x100000, 0x100, DATA)


def test_it_may_be_linked_elsewhere() -> None:
    assert flat(16, 0x100008, 0x100000, 0, 0, linked=0xC0100008)[:2] == (0x100000, 0xC0100000)
    assert flat(16, 0x100008, 0x100000, 0, 0, linked=4)[:2] == (0x100000, 0x100000)


@pytest.mark.parametrize(
    ("addresses", "problem"),
    [
        ((16, 0x100000, 0x100008, 0, 0), "the header does not lie in what is loaded"),
        ((16, 0x100020, 0x100000, 0, 0), "the header does not lie in what is loaded"),
        ((16, 0x8, None, 0, 0), "the header does not lie in what is loaded"),
        ((16, 0x100008, 0x100000, 0x100000, 0), "an end lies before a beginning, or past 4 GiB"),
        ((16, 0x100008, 0x100000, 0x100020, 0x10001F), "an end lies before a beginning, or past 4 GiB"),
        ((16, 0xFFFFFFF8, 0xFFFFFFF0, 0, 0), "an end lies before a beginning, or past 4 GiB"),
    ],
)
def test_addresses_that_cannot_be(addresses: tuple[int | None, ...], problem: str) -> None:
    with pytest.raises(
        BadImage,
        match=rf"^k.bin: the Multiboot header at 0x00000010 has addresses that cannot be: {problem} \(",
    ):
        flat(*addresses)


def test_a_file_that_is_too_short() -> None:
    with pytest.raises(
        BadImage, match=r"^k.bin: truncated: what the Multiboot header says is loaded takes bytes 0x"
    ):
        flat(16, 0x100008, 0x100000, 0x100100, 0)


WORDS = st.integers(0, 0x100) | st.integers(0, 0xFFFFFFFF)


@given(st.integers(0, 100), WORDS, st.none() | WORDS, WORDS, WORDS, st.none() | WORDS)
def test_any_addresses(
    offset: int, header: int, load: int | None, load_end: int, bss_end: int, linked: int | None
) -> None:
    with contextlib.suppress(BadImage):
        physical, virtual, size, data = flat(offset, header, load, load_end, bss_end, linked=linked)
        assert size > 0
        assert 0 < len(data) <= size
        assert 0 <= physical <= header < physical + size <= 1 << 32
        assert 0 <= virtual <= (1 << 32) - size
        assert data[header - physical :] == DATA[offset:][: len(data) - (header - physical)]


def test_a_raw_file_is_loaded_as_it_is() -> None:
    assert raw_segment(DATA, 0x7C00, "boot") == (0x7C00, 0x7C00, 128, DATA, ALL)
    assert raw_segment(DATA, 0x7C00, "boot", 0xC0007C00).virtual == 0xC0007C00


def test_a_raw_file_that_cannot_be_loaded() -> None:
    with pytest.raises(BadImage, match=r"^boot: is empty$"):
        raw_segment(b"", 0x7C00, "boot")
    with pytest.raises(
        BadImage, match=r"^boot: is 128 bytes long, and loaded at 0xffffff81 wraps past 4 GiB$"
    ):
        raw_segment(DATA, 0xFFFFFF81, "boot")
