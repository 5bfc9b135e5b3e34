"""Memory as the leak search reads it."""

from __future__ import annotations

from time import process_time
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from emulator.check.leaks.guest_words import GuestWords, Part
from emulator.check.leaks.live_blocks import LiveBlocks

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

PAGE = 4096
UNMAPPED = 3


def paged() -> GuestWords:
    """Return memory in which one page is not mapped, and each byte is the number of its page."""

    def read(address: int, size: int) -> bytes:
        assert address // PAGE == (address + size - 1) // PAGE
        return b"" if address // PAGE == UNMAPPED else bytes([address // PAGE]) * size

    registers = SimpleNamespace(cr0=1 << 31)
    return GuestWords(cast("Machine", SimpleNamespace(registers=lambda: registers, read_linear=read)))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (PAGE + 1, PAGE + 7, [(PAGE + 1, b"\1" * 6)]),
        (2 * PAGE - 2, 2 * PAGE + 3, [(2 * PAGE - 2, b"\1\1\2\2\2")]),
        (3 * PAGE - 2, 4 * PAGE + 3, [(3 * PAGE - 2, b"\2\2"), (4 * PAGE, b"\4\4\4")]),
        (3 * PAGE, 4 * PAGE, []),
    ],
)
def test_what_is_not_mapped_is_left_out(start: int, end: int, expected: list[tuple[int, bytes]]) -> None:
    assert [part[:2] for part in paged().read(start, end)] == expected


def test_much_memory_is_read_in_linear_time() -> None:
    registers = SimpleNamespace(cr0=1 << 31)
    machine = SimpleNamespace(registers=lambda: registers, read_linear=lambda _, size: bytes(size))
    before = process_time()
    (part,) = GuestWords(cast("Machine", machine)).read(0, 4096 * PAGE)
    assert len(part.data) == 4096 * PAGE
    assert process_time() - before < 1  # a copy of what is there for each page takes six seconds


@pytest.mark.parametrize("address", [0x1000, 0x1001, 0x1002, 0x1003])
@pytest.mark.parametrize("size", [0, 3, 4, 7, 8, 11])
def test_words_at_every_offset(address: int, size: int) -> None:
    part = Part(address, bytes(range(size)))
    found: dict[int, int] = {}
    for offset in range(4):
        start, words = part.words(offset)
        assert start % 4 == offset
        found |= {start + 4 * index: value for index, value in enumerate(words.tolist())}
    assert found == {
        address + at: int.from_bytes(part.data[at : at + 4], "little") for at in range(max(size - 3, 0))
    }


def live(*spans: tuple[int, int]) -> LiveBlocks:
    start, end = (np.array(column, np.int64) for column in zip(*spans, strict=True))
    none = np.zeros(len(start), np.bool_)
    calls = 1 + np.arange(len(start))
    return LiveBlocks(
        *(start, end, ~none, np.zeros_like(start), np.arange(len(start)), none, start // PAGE, 0 * start),
        *(~none, calls),
    )


def test_blocks_by_their_ends() -> None:
    blocks = live((16, 64), (64, 80), (96, 100))
    positions, found = blocks.ending_at(np.array([15, 16, 64, 65, 80, 100, 101, 0xFFFFFFFF], np.uint32))
    assert (positions.tolist(), found.tolist()) == ([4, 5], [1, 2]), "at 64 the next one begins"


def test_what_holds_a_word() -> None:
    blocks = live((16, 64), (96, 100))
    assert [blocks.holder(at, 4) for at in (12, 15, 16, 60, 61, 64, 96, 97, 200)] == [
        *[None, None, 0, 0, None, None, 1, None, None]
    ]


def test_blocks_on_neighbouring_pages_are_read_at_once() -> None:
    blocks = live(
        (16, 64), (PAGE, PAGE + 8), (3 * PAGE, 5 * PAGE), (4 * PAGE, 4 * PAGE + 8), (6 * PAGE, 6 * PAGE + 1)
    )
    assert list(blocks.runs()) == [(16, PAGE + 8), (3 * PAGE, 5 * PAGE), (6 * PAGE, 6 * PAGE + 1)]
