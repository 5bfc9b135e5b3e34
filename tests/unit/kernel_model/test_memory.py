"""ByteMemory and Overlay keep the Memory protocol."""

from __future__ import annotations

import pytest

from kernel_model.memory import MAX_WORDS, ByteMemory, Memory, OutsideMemory, Overlay

START = 0x1000
SIZE = 0x100


@pytest.fixture(params=["ByteMemory", "Overlay"])
def memory(request: pytest.FixtureRequest) -> Memory:
    base = ByteMemory(START, SIZE)
    return base if request.param == "ByteMemory" else Overlay(base)


def test_memory_is_zero_at_first(memory: Memory) -> None:
    assert memory.read(START, SIZE) == bytes(SIZE)


def test_words_are_little_endian(memory: Memory) -> None:
    memory.store_u32(START, 0x11223344)
    assert memory.read(START, 5) == b"\x44\x33\x22\x11\x00"
    assert memory.load_u8(START) == 0x44
    assert memory.load_u32(START) == 0x11223344


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_words_may_lie_anywhere(memory: Memory, shift: int) -> None:
    memory.store_u32(START + shift, 0xFFFFFFFF)
    memory.store_words(START + 16 + shift, (1, 0x80000000))
    assert memory.load_u32(START + shift) == 0xFFFFFFFF
    assert memory.load_words(START + 16 + shift, 2) == (1, 0x80000000)


def test_words_in_bulk_are_the_words_one_by_one(memory: Memory) -> None:
    values = tuple(range(100, 100 + MAX_WORDS))
    memory.store_words(START + 8, values)
    assert memory.load_words(START + 8, MAX_WORDS) == values
    assert tuple(memory.load_u32(START + 8 + 4 * i) for i in range(MAX_WORDS)) == values


def test_view_shows_bytes_and_cannot_be_written(memory: Memory) -> None:
    memory.write(START + 3, b"abc")
    view = memory.view(START + 2, 5)
    assert bytes(view) == b"\0abc\0"
    assert view.readonly
    assert (view.format, view.itemsize) == ("B", 1)


def test_a_view_can_be_cast_to_words(memory: Memory) -> None:
    memory.store_words(START, (7, 8))
    assert memory.view(START, 8).cast("I").tolist() == [7, 8]


@pytest.mark.parametrize("address", [START - 1, START + SIZE - 3, START + SIZE, 0])
def test_an_access_outside_raises_and_changes_nothing(memory: Memory, address: int) -> None:
    with pytest.raises(OutsideMemory) as error:
        memory.store_u32(address, 0xFFFFFFFF)
    assert (error.value.address, error.value.size) == (address, 4)
    for access in (
        lambda: memory.load_u32(address),
        lambda: memory.load_words(address, 2),
        lambda: memory.store_words(address, (1, 2)),
        lambda: memory.read(address, 4),
        lambda: memory.view(address, 4),
        lambda: memory.write(address, b"1234"),
    ):
        with pytest.raises(OutsideMemory):
            access()
    assert memory.read(START, SIZE) == bytes(SIZE)


def test_a_byte_outside_raises(memory: Memory) -> None:
    with pytest.raises(OutsideMemory, match=r"^no memory at 0x00001100 \(access of 1 bytes\)$"):
        memory.load_u8(START + SIZE)
    with pytest.raises(OutsideMemory):
        memory.store_u8(START + SIZE, 1)


def test_an_overlay_leaves_its_base_alone_and_hides_nothing_else() -> None:
    base = ByteMemory(START, SIZE)
    base.store_words(START, (0x11111111, 0x22222222))
    overlay = Overlay(base)
    overlay.store_u8(START + 5, 0xAB)
    assert overlay.load_words(START, 2) == (0x11111111, 0x2222AB22)
    assert overlay.load_u32(START + 2) == 0xAB221111
    assert bytes(overlay.view(START + 4, 4)) == b"\x22\xab\x22\x22"
    assert base.load_words(START, 2) == (0x11111111, 0x22222222)
    base.store_u8(START, 0x99)
    assert overlay.load_u8(START) == 0x99


def test_an_overlay_lists_exactly_the_bytes_written() -> None:
    base = ByteMemory(START, SIZE)
    overlay = Overlay(base)
    assert overlay.changes() == {}
    overlay.store_u32(START + 8, 0x01020304)
    overlay.store_u8(START + 12, 0)  # the value it had: written all the same
    overlay.write(START + 0x40, b"\xff\xfe")
    assert overlay.changes() == {
        START + 8: 4,
        START + 9: 3,
        START + 10: 2,
        START + 11: 1,
        START + 12: 0,
        START + 0x40: 0xFF,
        START + 0x41: 0xFE,
    }
    assert set(overlay.changes()) == {*range(START + 8, START + 13), *range(START + 0x40, START + 0x42)}


def test_a_cleared_overlay_shows_the_base() -> None:
    overlay = Overlay(ByteMemory(START, SIZE))
    overlay.store_u32(START, 1)
    overlay.clear()
    assert overlay.changes() == {}
    assert overlay.load_u32(START) == 0


def test_overlays_stack() -> None:
    first = Overlay(ByteMemory(START, SIZE))
    first.store_u32(START, 1)
    second = Overlay(first)
    second.store_u32(START, 2)
    assert (first.load_u32(START), second.load_u32(START)) == (1, 2)
