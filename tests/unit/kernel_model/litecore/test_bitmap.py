"""Bulk searches find what a search bit by bit finds."""

from __future__ import annotations

import random

import pytest

from kernel_model.litecore import bitmap as bits


def lowest_run_bit_by_bit(bitmap: bytes, count: int) -> int | None:
    length = 0
    for index in range(8 * len(bitmap)):
        length = 0 if bitmap[index // 8] >> index % 8 & 1 else length + 1
        if length == count:
            return index - count + 1
    return None


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024, 16384, 16385, 32768, 32769, 98304, 131072])
def test_a_full_bitmap_has_no_free_byte(size: int) -> None:
    assert bits.first_free_byte(memoryview(b"\xff" * size)) == size


SIZES = [1, 7, 511, 512, 513, 1000, 16384, 32767, 32768, 32769, 40000, 98304]


@pytest.mark.parametrize("size", SIZES)
def test_the_first_free_byte_is_found_wherever_it_is(size: int) -> None:
    positions = {
        0,
        size - 1,
        size // 2,
        size // 3,
        max(0, size - 513),
        min(size - 1, 512),
        min(size - 1, 32768),
    }
    for position in positions:
        bitmap = bytearray(b"\xff" * size)
        bitmap[position:] = bytes(size - position)  # everything after is free, too
        bitmap[position] = 0x7F
        assert bits.first_free_byte(memoryview(bitmap)) == position


def test_the_lowest_clear_bit_of_every_byte() -> None:
    for byte in range(255):
        expected = next(bit for bit in range(8) if not byte >> bit & 1)
        assert bits.lowest_clear_bit(byte) == expected


@pytest.mark.parametrize("seed", range(20))
def test_the_lowest_run_is_the_one_found_bit_by_bit(seed: int) -> None:
    source = random.Random(seed)
    size = source.choice([1, 2, 33, 300, 700])
    density = source.choice([0.3, 0.7, 0.95])
    bitmap = bytearray(size)
    for index in range(8 * size):
        bitmap[index // 8] |= (source.random() < density) << index % 8
    for count in (1, 2, 3, 5, 8, 9, 17, 64, 8 * size, 8 * size + 1):
        assert bits.lowest_run(memoryview(bitmap), count) == lowest_run_bit_by_bit(bytes(bitmap), count)


@pytest.mark.parametrize("start", [0, 1, 2047, 2048, 2049, 4000, 20000, 2**20 - 3000])
@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 1000, 2999])
def test_a_run_is_found_across_every_search_window(start: int, count: int) -> None:
    """Single free bits before the run make the window begin early."""
    number = (1 << 2**20) - 1 ^ ((1 << count) - 1 << start)
    decoys = range(0, start - 1, 5) if count > 1 else ()
    number &= ~sum(1 << bit for bit in decoys[:500])
    bitmap = number.to_bytes(2**17, "little")
    assert bits.lowest_run(memoryview(bitmap), count) == start


def test_free_bits_are_counted() -> None:
    assert bits.count_free(memoryview(b"\x00\xff\x0f\xfe")) == 8 + 0 + 4 + 1
    assert bits.count_free(memoryview(b"")) == 0
