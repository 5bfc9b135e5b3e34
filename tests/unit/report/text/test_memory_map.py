from __future__ import annotations

import pytest

from emulator.guest.memory_map.memory_map import MemoryMap
from emulator.guest.memory_map.regions import Region, RegionKind
from emulator.report.text.memory_map import draw_heap, draw_memory
from emulator.report.text.style import Style
from tests.unit.report.examples import RAM, REGIONS, frames, heap, memory_map

PLAIN = Style(80)
BIG = (0x100000, 0x100000 + (64 << 20))


def drawn(what: MemoryMap, style: Style = PLAIN) -> str:
    return "\n".join(draw_memory(what, style))


def test_every_frame_has_a_cell_where_there_is_room() -> None:
    assert drawn(memory_map()) == (
        "Memory 0x00100000-0x00140000, 256 KiB; a cell is 4 KiB\n"
        "0x00100000 IIBHH##.........#...............................................\n"
        "\n"
        "I    image     0x00100000-0x00102800    10 KiB\n"
        "B    bitmap    0x00102800-0x00102808       8 B\n"
        "H    heap      0x00103000-0x00105000     8 KiB\n"
        "R    reserved  0x00102808-0x00103000     2 KiB\n"
        "-+*# allocated 3 frames                 12 KiB\n"
        ".    free      56 frames               224 KiB"
    )


def test_a_narrow_terminal_gets_shorter_rows_and_sizes_below() -> None:
    text = drawn(memory_map(), Style(40, unicode=True, room=40))
    assert text == (
        "Memory 0x00100000-0x00140000, 256 KiB\n"
        "a cell is 4 KiB\n"
        "0x00100000 IIBHH██·········\n"
        "0x00110000 █···············\n"
        "0x00120000 ················\n"
        "0x00130000 ················\n"
        "\n"
        "I    image     0x00100000-0x00102800\n"
        "               10 KiB\n"
        "B    bitmap    0x00102800-0x00102808\n"
        "               8 B\n"
        "H    heap      0x00103000-0x00105000\n"
        "               8 KiB\n"
        "R    reserved  0x00102808-0x00103000\n"
        "               2 KiB\n"
        "░▒▓█ allocated 3 frames\n"
        "               12 KiB\n"
        "·    free      56 frames\n"
        "               224 KiB"
    )
    assert max(map(len, text.splitlines())) <= 40


def test_large_ram_shows_shares_of_cells_and_the_kernel_close_up() -> None:
    used = "#####" + "." * 11 + "#" * 16 + "#" * 8 + "." * 8 + "##" + "." * 14 + "." * 16320
    large = MemoryMap(BIG, REGIONS, frames(0x100, used), reserved=5)
    assert drawn(large).splitlines()[:6] == [
        "Memory 0x00100000-0x04100000, 64 MiB; a cell is 64 KiB",
        "0x00100000 B#+-............................................................",
        *(f"0x{0x100000 + row * 0x400000:08x} {'.' * 64}" for row in range(1, 5)),
    ]
    assert drawn(large).splitlines()[17:20] == [
        "",
        "Close-up 0x00100000-0x00105000, 20 KiB; a cell is 4 KiB",
        "0x00100000 IIBHH",
    ]


def test_rows_of_unmanaged_ram_are_left_out_in_the_middle() -> None:
    assert drawn(MemoryMap(BIG, REGIONS[:1])).splitlines()[1:5] == [
        "0x00100000 I" + ":" * 63,
        "0x00500000 " + ":" * 64,
        "           (13 more of these rows)",
        "0x03d00000 " + ":" * 64,
    ]


def test_the_window_may_begin_and_end_anywhere() -> None:
    odd = MemoryMap(RAM, (), frames(0x103, "##.#"))
    assert drawn(odd).splitlines() == [
        "Memory 0x00100000-0x00140000, 256 KiB; a cell is 4 KiB",
        "0x00100000 :::##.#" + ":" * 57,
        "",
        ":    unmanaged 2 areas                 240 KiB",
        "-+*# allocated 3 frames                 12 KiB",
        ".    free      1 frame                   4 KiB",
    ]


@pytest.mark.parametrize("window", [(0x0, "#" * 8), (0x50000, "#" * 8)], ids=["below", "above"])
def test_a_window_outside_ram_shows_nothing_of_it(window: tuple[int, str]) -> None:
    assert drawn(MemoryMap(RAM, (), frames(*window))).splitlines()[1] == "0x00100000 " + ":" * 64


def test_small_areas_show_before_large_ones_in_a_cell() -> None:
    page = MemoryMap(
        (0x100000, 0x101000),
        (
            Region(0x100000, 0x100010, RegionKind.IMAGE),
            Region(0x100010, 0x100020, RegionKind.HEAP),
            Region(0x100020, 0x101000, RegionKind.RESERVED),
        ),
    )
    assert drawn(page).splitlines()[1] == "0x00100000 H"


def test_each_kind_has_its_own_colour() -> None:
    lines = list(draw_memory(memory_map(), Style(80, colour=True, unicode=True)))
    assert lines[1] == (
        "0x00100000 \x1b[97;44mII\x1b[0m\x1b[97;45mB\x1b[0m\x1b[30;43mHH\x1b[0m\x1b[32m██\x1b[0m"
        "\x1b[2m·········\x1b[0m\x1b[32m█\x1b[0m\x1b[2m" + "·" * 47 + "\x1b[0m"
    )
    assert lines[3] == "\x1b[97;44mI\x1b[0m    image     0x00100000-0x00102800    10 KiB"


def test_the_heap_is_drawn_by_how_much_of_each_cell_is_in_use() -> None:
    assert list(draw_heap(heap(), PLAIN)) == [
        "Heap 0x00103000-0x00105000, 8 KiB; a cell is 64 B",
        "0x00103000 " + "#" * 64,
        "0x00104000 " + "#" * 8 + "." * 56,
    ]
    assert list(draw_heap(heap(), Style(40)))[2:] == [
        "0x00103000 " + "#" * 16,
        "0x00104000 ##" + "." * 14,
    ]


def test_a_block_counts_with_its_header_and_only_where_it_lies() -> None:
    sparse = heap()._replace(blocks=(heap().blocks[1]._replace(header=0x103010, size=24),))
    assert list(draw_heap(sparse, PLAIN))[1].startswith("0x00103000 +..")


def test_a_heap_that_is_one_used_block_is_full_to_its_last_and_shorter_cell() -> None:
    block = heap().blocks[0]._replace(size=0x1000)
    full = heap()._replace(end=0x104008, blocks=(block,))
    assert list(draw_heap(full, PLAIN)) == [
        "Heap 0x00103000-0x00104008, 4 KiB; a cell is 64 B",
        "0x00103000 " + "#" * 64,
        "0x00104000 #",
    ]
    exact = heap()._replace(end=0x104000, blocks=(block._replace(size=0xFF8),))
    assert list(draw_heap(exact, PLAIN))[1:] == ["0x00103000 " + "#" * 64, "0x00103800 " + "#" * 64]
