"""Spec 2.2: the contracts of the page layer, and the bytes it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.btron.subjects import KERNEL, PAGE, RAM_END, WINDOW

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest

E_NOMEM, E_PAR = -10, -33
FREE, USED, RESERVED = (0, 0), (1, 1), (2, 0)
FIRST = WINDOW // PAGE
BASE = KERNEL + WINDOW


def entries(guest: Guest, first: int, stop: int) -> list[tuple[int, ...]]:
    return [guest.page(number) for number in range(first, stop)]


# pmem_init


def test_init_frees_the_ram_and_reserves_the_rest(bare: Guest) -> None:
    bare.memory.write(bare.get("pmem_table") - KERNEL, b"\x55" * 8 * bare.get("pmem_pages"))
    bare.boot_map(
        [(0, 0xA0000), (0x100000, 0x110000), (WINDOW, RAM_END)],
        [(0, 0x100000), (0x102000, 0x104000), (WINDOW, WINDOW + PAGE)],
    )
    assert bare.er("pmem_init") == 0
    expected = [RESERVED] * (RAM_END // PAGE)
    expected[0x100:0x110] = [FREE, FREE, RESERVED, RESERVED, *[FREE] * 12]
    expected[FIRST + 1 :] = [FREE] * (RAM_END // PAGE - FIRST - 1)
    assert entries(bare, 0, RAM_END // PAGE) == expected
    assert bare.call("pmem_free_pages") == expected.count(FREE)


@pytest.mark.parametrize("end", [RAM_END + PAGE, 0x8000_0000, 0xFFFF_F000])
def test_ram_beyond_the_table_is_left_out(bare: Guest, end: int) -> None:
    bare.boot_map([(RAM_END - PAGE, end)], [(RAM_END, end)])
    after = bare.memory.read((bare.get("pmem_table") - KERNEL) + 8 * bare.get("pmem_pages"), 64)
    assert bare.er("pmem_init") == 0
    assert bare.call("pmem_free_pages") == 1
    assert bare.memory.read((bare.get("pmem_table") - KERNEL) + 8 * bare.get("pmem_pages"), 64) == after


@pytest.mark.parametrize(
    ("ranges", "reserved"),
    [
        pytest.param([], [], id="no RAM"),
        pytest.param([(WINDOW, WINDOW)], [], id="an empty range"),
        pytest.param([(RAM_END, WINDOW)], [], id="upside down"),
        pytest.param([(WINDOW, RAM_END)], [(0, RAM_END)], id="all reserved"),
        pytest.param([(RAM_END, RAM_END + PAGE)], [], id="beyond the table"),
    ],
)
def test_init_without_a_free_page_is_nomem(
    bare: Guest, ranges: list[tuple[int, int]], reserved: list[tuple[int, int]]
) -> None:
    bare.boot_map(ranges, reserved)
    assert bare.er("pmem_init") == E_NOMEM
    assert entries(bare, 0, RAM_END // PAGE) == [RESERVED] * (RAM_END // PAGE)
    assert bare.call("pmem_alloc", 1) == 0


def test_reserved_ranges_that_are_empty_reserve_nothing(bare: Guest) -> None:
    bare.boot_map([(WINDOW, WINDOW + 2 * PAGE)], [(WINDOW, WINDOW), (WINDOW + PAGE, WINDOW)])
    assert bare.er("pmem_init") == 0
    assert bare.call("pmem_free_pages") == 2


def test_sixteen_ranges_of_each_kind_are_possible(bare: Guest) -> None:
    ranges = [(WINDOW + 4 * PAGE * i, WINDOW + 4 * PAGE * i + 2 * PAGE) for i in range(16)]
    bare.boot_map(ranges, [(start, start + PAGE) for start, _ in ranges])
    assert bare.er("pmem_init") == 0
    assert bare.call("pmem_free_pages") == 16


# pmem_alloc


@pytest.mark.parametrize(
    ("size", "pages"), [(1, 1), (4095, 1), (4096, 1), (4097, 2), (40960, 10), (64 * PAGE, 64)]
)
def test_alloc_takes_the_lowest_run(guest: Guest, size: int, pages: int) -> None:
    window = guest.memory.read(WINDOW, RAM_END - WINDOW)
    assert guest.call("pmem_alloc", size) == BASE
    assert entries(guest, FIRST, FIRST + 64) == [USED] * pages + [FREE] * (64 - pages)
    assert guest.memory.read(WINDOW, RAM_END - WINDOW) == window


@pytest.mark.parametrize("size", [0, -1, -4096, -0x80000000, 64 * PAGE + 1, 0x7FFFF001, 0x7FFFFFFF])
def test_alloc_of_nothing_or_of_too_much_is_null(guest: Guest, size: int) -> None:
    before = guest.state()
    assert guest.call("pmem_alloc", size) == 0
    assert guest.state() == before


def test_alloc_skips_runs_that_are_too_short(guest: Guest) -> None:
    assert guest.call("pmem_alloc", 64 * PAGE) == BASE
    for first, count in ((2, 1), (5, 2), (9, 3), (20, 4)):
        assert guest.er("pmem_free", BASE + PAGE * first, PAGE * count) == 0
    got = [guest.call("pmem_alloc", PAGE * count) for count in (3, 4, 2, 2, 1, 1)]
    assert got == [BASE + PAGE * first if first else 0 for first in (9, 20, 5, 0, 2, 0)]
    assert guest.call("pmem_free_pages") == 0


def test_alloc_never_crosses_a_hole(bare: Guest) -> None:
    bare.boot_map([(WINDOW, WINDOW + 3 * PAGE), (WINDOW + 4 * PAGE, WINDOW + 8 * PAGE)], [])
    assert bare.er("pmem_init") == 0
    assert bare.call("pmem_alloc", 4 * PAGE) == BASE + 4 * PAGE
    assert bare.call("pmem_alloc", 4 * PAGE) == 0
    assert bare.call("pmem_alloc", 3 * PAGE) == BASE


@pytest.mark.parametrize("flag", [2, 3, 0x100, 0x10000, 0x1000000, 0x80000000])
def test_only_a_flag_of_0_is_free(guest: Guest, flag: int) -> None:
    guest.poke(guest.get("pmem_table") + 8 * FIRST, flag)
    assert guest.call("pmem_free_pages") == 63
    assert guest.call("pmem_alloc", 1) == BASE + PAGE


# pmem_free and pmem_share


def test_what_is_freed_is_as_it_was(guest: Guest) -> None:
    before = guest.state()
    regions = [(guest.call("pmem_alloc", size), size) for size in (1, 9000, 4096, 40960, 12288)]
    for region, size in regions[::2] + regions[1::2]:
        assert guest.er("pmem_free", region, size) == 0
    assert guest.state() == before
    assert guest.call("pmem_free_pages") == 64


def test_a_part_of_a_region_can_be_freed(guest: Guest) -> None:
    region = guest.call("pmem_alloc", 4 * PAGE)
    assert guest.er("pmem_free", region + PAGE, PAGE + 1) == 0
    assert entries(guest, FIRST, FIRST + 5) == [USED, FREE, FREE, USED, FREE]


def test_a_shared_page_is_free_when_its_last_owner_frees_it(guest: Guest) -> None:
    region = guest.call("pmem_alloc", 3 * PAGE)
    assert guest.er("pmem_share", region, 2 * PAGE) == 0
    assert guest.er("pmem_share", region + PAGE, 1) == 0
    assert entries(guest, FIRST, FIRST + 3) == [(1, 2), (1, 3), (1, 1)]
    assert guest.er("pmem_free", region, 3 * PAGE) == 0
    assert entries(guest, FIRST, FIRST + 3) == [(1, 1), (1, 2), FREE]
    assert guest.er("pmem_free", region, 3 * PAGE) == E_PAR
    assert guest.er("pmem_free", region, 2 * PAGE) == 0
    assert guest.er("pmem_free", region + PAGE, PAGE) == 0
    assert guest.call("pmem_free_pages") == 64


BAD_REGIONS = [
    pytest.param(BASE, 0, id="nothing"),
    pytest.param(BASE, -1, id="size -1"),
    pytest.param(BASE, -0x80000000, id="the most negative size"),
    pytest.param(BASE + 1, 1, id="off by one"),
    pytest.param(BASE + 0x800, PAGE, id="inside a page"),
    pytest.param(WINDOW, PAGE, id="a physical address"),
    pytest.param(0, PAGE, id="NULL"),
    pytest.param(BASE, 4 * PAGE + 1, id="the last page is free"),
    pytest.param(BASE - PAGE, 2 * PAGE, id="the first page is reserved"),
    pytest.param(BASE + 4 * PAGE, PAGE, id="free"),
    pytest.param(KERNEL, PAGE, id="page 0"),
    pytest.param(KERNEL + RAM_END - PAGE, 2 * PAGE, id="ends after the table"),
    pytest.param(KERNEL + RAM_END, PAGE, id="after the table"),
    pytest.param(0xFFFFF000, 2 * PAGE, id="wraps"),
    pytest.param(BASE, 0x7FFFFFFF, id="the largest size"),
    pytest.param(BASE + 5 * PAGE, PAGE, id="in use, but nobody's"),
    pytest.param(BASE + 6 * PAGE, PAGE, id="an unknown flag"),
]


@pytest.mark.parametrize("call", ["pmem_free", "pmem_share"])
@pytest.mark.parametrize(("region", "size"), BAD_REGIONS)
def test_bad_regions_are_refused(guest: Guest, call: str, region: int, size: int) -> None:
    assert guest.call("pmem_alloc", 4 * PAGE) == BASE
    guest.poke(guest.get("pmem_table") + 8 * (FIRST + 5), 1, 0, 3, 1)
    before = guest.state()
    assert guest.er(call, region, size) == E_PAR
    assert guest.state() == before


def test_owners_are_counted_up_to_the_largest_word(guest: Guest) -> None:
    region = guest.call("pmem_alloc", 2 * PAGE)
    guest.poke(guest.get("pmem_table") + 8 * (FIRST + 1), 1, 0xFFFFFFFE)
    assert guest.er("pmem_share", region, 2 * PAGE) == 0
    assert entries(guest, FIRST, FIRST + 2) == [(1, 2), (1, 0xFFFFFFFF)]
    before = guest.state()
    assert guest.er("pmem_share", region, 2 * PAGE) == E_PAR
    assert guest.state() == before
    assert guest.er("pmem_free", region, 2 * PAGE) == 0
    assert entries(guest, FIRST, FIRST + 2) == [(1, 1), (1, 0xFFFFFFFE)]


# The ends of the table.


def test_page_0_is_a_page_like_any_other(bare: Guest) -> None:
    bare.boot_map([(0, 3 * PAGE)], [])
    assert bare.er("pmem_init") == 0
    assert bare.call("pmem_free_pages") == 3
    assert bare.call("pmem_alloc", 2 * PAGE) == KERNEL
    assert bare.call("pmem_free_pages") == 1
    assert bare.er("pmem_share", KERNEL, PAGE) == bare.er("pmem_free", KERNEL, PAGE) == 0
    assert bare.page(0) == USED


@pytest.mark.parametrize("call", ["pmem_free", "pmem_share"])
def test_what_lies_after_the_table_is_no_page(bare: Guest, call: str) -> None:
    bare.boot_map([(RAM_END - 2 * PAGE, RAM_END)], [])
    assert bare.er("pmem_init") == 0
    region = bare.call("pmem_alloc", 2 * PAGE)
    assert region == KERNEL + RAM_END - 2 * PAGE
    after = bare.get("pmem_table") + 8 * bare.get("pmem_pages")
    bare.poke(after, *USED, *USED)
    before = bare.state()
    assert bare.er(call, region, 3 * PAGE) == E_PAR
    assert bare.er(call, region + 2 * PAGE, PAGE) == E_PAR
    assert (bare.state(), bare.words(after, 4)) == (before, (*USED, *USED))
    assert bare.er(call, region, 2 * PAGE) == 0
