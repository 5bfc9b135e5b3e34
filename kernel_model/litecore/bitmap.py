"""Searches a bitmap without examining single bits.

Theory. Bit ``i % 8`` of byte ``i / 8`` stands for item *i*, 0 = free, 1 = in use, and the unused bits of the last
byte are set. Read as one little-endian number, bit *i* of the number is item *i*. Two facts make searches fast:

* comparing a piece of the bitmap with as many 0xFF bytes is one ``memcmp``, so the first free item of a
  nearly full bitmap is found at memory speed;
* with ``free`` the complement of the number, ``free & free >> 1`` has a bit where two free items begin, and
  applying that to its own result doubles the length: a run of *count* needs about log2(count) steps.

All functions take a read-only ``B`` view (`kernel_model.memory.Memory.view`) of the whole bitmap.

Source: spec 1.2 ("Speed"); LiteCore memory document, "TASKS", contiguous frames.
"""

from __future__ import annotations

import re
from typing import Final

_CHUNK_BYTES: Final = 32 * 1024
"""Compared at once: large enough to hide the cost of the call, and its twin of 0xFF stays near the first-level cache."""

_NEAR_BYTES: Final = 512
"""Up to here a byte-wise match beats one more comparison."""

_FIRST_WINDOW_BYTES: Final = 256
_WINDOW_GROWTH: Final = 8

_all_used: Final = (b"\xff" * _CHUNK_BYTES).startswith  # a memcmp; true for any piece of this or less
_first_clear: Final = re.compile(b"\xff*+[^\xff]").match


def first_free_byte(bitmap: memoryview) -> int:
    """Return the index of the first byte with a clear bit, or the bitmap's size when all bits are set."""
    near = _first_clear(bitmap, 0, _NEAR_BYTES)
    if near:
        return near.end() - 1
    start, size = 0, _CHUNK_BYTES
    while _all_used(bitmap[start : start + size]):
        start += size
        if start >= len(bitmap):
            return len(bitmap)
    while size > _NEAR_BYTES:  # the clear bit is in the `size` bytes from `start`: halve them
        size //= 2
        if _all_used(bitmap[start : start + size]):
            start += size
    near = _first_clear(bitmap, start, start + size)
    return near.end() - 1 if near else len(bitmap)


def lowest_clear_bit(byte: int) -> int:
    """Return the number (0 to 7) of the lowest clear bit of *byte*, which is not 0xFF."""
    return (~byte & (byte + 1)).bit_length() - 1


def lowest_run(bitmap: memoryview, count: int) -> int | None:
    """Return the first item of the lowest run of *count* free items, or None.

    The search window begins at the first free item and grows until it holds a run. A run inside a window is
    the lowest of all: one that only begins in the window would begin after it.

    Args:
        bitmap: The whole bitmap.
        count: Items in the run, 1 or more.
    """
    start = first_free_byte(bitmap)
    size = max(_FIRST_WINDOW_BYTES, count // 4)
    while count <= 8 * (len(bitmap) - start):
        item = _run_in_number(bitmap[start : start + size], count)
        if item is not None:
            return 8 * start + item
        if start + size >= len(bitmap):
            break
        size *= _WINDOW_GROWTH
    return None


def _run_in_number(piece: memoryview, count: int) -> int | None:
    """Return the first bit of the lowest run of *count* clear bits of *piece*, or None."""
    bits = 8 * len(piece)
    starts = int.from_bytes(piece, "little") ^ ((1 << bits) - 1)  # bit i: a run of `length` begins at i
    length = 1
    while length < count and starts:
        step = min(length, count - length)
        starts &= starts >> step
        length += step
    return (starts & -starts).bit_length() - 1 if starts else None


def count_free(bitmap: memoryview) -> int:
    """Return the number of clear bits."""
    return 8 * len(bitmap) - int.from_bytes(bitmap, "little").bit_count()
