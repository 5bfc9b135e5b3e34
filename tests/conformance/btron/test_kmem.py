"""Spec 2.3: the contracts of the byte layer, and the bytes it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.btron.subjects import KERNEL, PAGE, WINDOW

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest

E_PAR = -33
BASE = KERNEL + WINDOW
GROWTH = 40960
END = BASE + GROWTH
JUNK = 0xEEEEEEEE


def allocate(guest: Guest, *sizes: int) -> list[int]:
    return [guest.call("kmem_alloc", size) for size in sizes]


def free(guest: Guest, *areas: tuple[int, int]) -> None:
    for address, size in areas:
        assert guest.er("kmem_free", address, size) == 0


@pytest.fixture
def grown(guest: Guest) -> Guest:
    """Return a kernel whose byte layer has grown once, and is all free."""
    free(guest, (guest.call("kmem_alloc", 8), 8))
    assert guest.free_list() == [(BASE, GROWTH)]
    return guest


def test_init_forgets_everything_and_clears_nothing(grown: Guest) -> None:
    assert grown.er("kmem_init") == 0
    assert (grown.get("kmem_free_list"), grown.get("kmem_extent_count")) == (0, 0)
    assert grown.words(grown.symbols["kmem_extents"], 2) == (BASE, GROWTH)


# kmem_alloc


def test_the_first_request_takes_ten_pages_and_carves_from_their_end(guest: Guest) -> None:
    assert guest.call("kmem_alloc", 100) == END - 104
    assert guest.free_list() == [(BASE, GROWTH - 104)]
    assert guest.extents() == [(BASE, GROWTH)]
    assert guest.call("pmem_free_pages") == 54
    assert guest.words(BASE, 3) == (0, GROWTH - 104, JUNK)
    assert guest.words(END - 104, 2) == (JUNK, JUNK)


@pytest.mark.parametrize(
    ("size", "taken"), [(1, 8), (7, 8), (8, 8), (9, 16), (4096, 4096), (GROWTH - 8, GROWTH - 8)]
)
def test_sizes_are_rounded_up_to_8(grown: Guest, size: int, taken: int) -> None:
    assert grown.call("kmem_alloc", size) == END - taken
    assert grown.free_list() == [(BASE, GROWTH - taken)]


def test_an_exact_fit_is_unlinked(grown: Guest) -> None:
    assert grown.call("kmem_alloc", GROWTH - 7) == BASE
    assert grown.get("kmem_free_list") == 0
    assert grown.words(BASE, 2) == (0, GROWTH)


def test_an_exact_fit_inside_the_list_is_unlinked(grown: Guest) -> None:
    c, _, b, _, a = allocate(grown, 32, 8, 64, 8, 32)
    free(grown, (a, 32), (b, 64), (c, 32))
    assert a == BASE + GROWTH - 144
    before = grown.free_list()[0]
    assert before == (BASE, GROWTH - 112)  # a merged with what was free below it
    free_area = grown.call("kmem_alloc", GROWTH - 112)
    assert free_area == BASE
    assert grown.call("kmem_alloc", 64) == b
    assert grown.free_list() == [(c, 32)]


def test_first_fit_in_address_order(grown: Guest) -> None:
    rest = grown.call("kmem_alloc", GROWTH)
    pieces = [(rest + 1000, 104), (rest + 2000, 48), (rest + 3000, 200)]
    free(grown, pieces[2], pieces[0], pieces[1])
    assert grown.free_list() == pieces
    assert grown.call("kmem_alloc", 48) == rest + 1056
    assert grown.call("kmem_alloc", 56) == rest + 1000
    assert grown.call("kmem_alloc", 56) == rest + 3144
    assert grown.call("kmem_alloc", 40) == rest + 2008
    assert grown.free_list() == [(rest + 2000, 8), (rest + 3000, 144)]


@pytest.mark.parametrize(
    "size", [0, -1, -8, -0x80000000, 0x7FFFFFF9, 0x7FFFFFFF, 0x7FFFFFF8, 0x7FFFF000, 0x10000000]
)
def test_nothing_and_too_much_are_null(grown: Guest, size: int) -> None:
    before = grown.state()
    assert grown.call("kmem_alloc", size) == 0
    assert grown.state() == before


@pytest.mark.parametrize(
    ("size", "pages"), [(GROWTH, 10), (GROWTH + 1, 11), (12 * PAGE, 12), (54 * PAGE, 54)]
)
def test_a_large_request_grows_by_its_own_size(guest: Guest, size: int, pages: int) -> None:
    address = guest.call("kmem_alloc", size)
    taken = (size + 7) // 8 * 8
    assert address == BASE + pages * PAGE - taken
    assert guest.extents() == [(BASE, pages * PAGE)]
    assert sum(size for _, size in guest.free_list()) == pages * PAGE - taken


def test_growth_that_touches_a_free_area_merges_before_the_request_is_served(grown: Guest) -> None:
    assert grown.call("kmem_alloc", GROWTH - 64) == BASE + 64
    assert grown.call("kmem_alloc", 128) == BASE + 64 + GROWTH - 64 + GROWTH - 128
    assert grown.free_list() == [(BASE, 64), (END, GROWTH - 128)]
    assert grown.extents() == [(BASE, 2 * GROWTH)]


def test_pages_run_out(guest: Guest) -> None:
    assert guest.call("pmem_alloc", 55 * PAGE) == BASE
    before = guest.state()
    assert guest.call("kmem_alloc", 8) == 0
    assert guest.state() == before


# Extents.


def test_extents_are_ascending_and_merge_when_they_touch(guest: Guest) -> None:
    """Pages are made free so that growth lands below, above and between what the layer owns."""
    assert guest.call("pmem_alloc", 64 * PAGE) == BASE
    steps = [
        (20, [(20, 10)]),
        (40, [(20, 10), (40, 10)]),
        (0, [(0, 10), (20, 10), (40, 10)]),
        (50, [(0, 10), (20, 10), (40, 20)]),
        (10, [(0, 30), (40, 20)]),
        (30, [(0, 60)]),
    ]
    for first, expected in steps:
        assert guest.er("pmem_free", BASE + PAGE * first, 10 * PAGE) == 0
        assert guest.call("kmem_alloc", GROWTH) == BASE + PAGE * first
        assert guest.extents() == [(BASE + PAGE * start, PAGE * size) for start, size in expected]
    stale = guest.words(guest.symbols["kmem_extents"] + 8, 4)
    assert stale == (BASE + 40 * PAGE, 20 * PAGE, BASE + 40 * PAGE, 20 * PAGE)
    assert guest.get("kmem_free_list") == 0


@pytest.mark.parametrize(
    "stale",
    [
        pytest.param((0, 0), id="nothing"),
        pytest.param((BASE - PAGE, PAGE), id="what would touch from below"),
        pytest.param((BASE + GROWTH, PAGE), id="what would touch from above"),
    ],
)
@pytest.mark.parametrize("count", [0, 1])
def test_what_lies_after_the_extents_is_none(guest: Guest, stale: tuple[int, int], count: int) -> None:
    extents = [(KERNEL + 0x1000, PAGE)][:count]
    for index, extent in enumerate([*extents, stale]):
        guest.poke(guest.symbols["kmem_extents"] + 8 * index, *extent)
    guest.set("kmem_extent_count", count)
    assert guest.call("kmem_alloc", 8) == BASE + GROWTH - 8
    assert guest.extents() == [*extents, (BASE, GROWTH)]


def test_growth_below_an_extent_joins_it(guest: Guest) -> None:
    guest.poke(guest.symbols["kmem_extents"], BASE + GROWTH, PAGE)
    guest.set("kmem_extent_count", 1)
    assert guest.call("kmem_alloc", 8) == BASE + GROWTH - 8
    assert guest.extents() == [(BASE, GROWTH + PAGE)]


def test_nothing_is_freed_into_what_lies_after_the_extents(guest: Guest) -> None:
    guest.poke(guest.symbols["kmem_extents"], BASE, PAGE)
    before = guest.state()
    assert guest.er("kmem_free", BASE, 8) == E_PAR
    assert guest.state() == before


def test_an_area_may_reach_over_what_were_two_extents(guest: Guest) -> None:
    first, second = allocate(guest, GROWTH, GROWTH)
    assert second == first + GROWTH
    free(guest, (first + 8, 2 * GROWTH - 16))
    assert guest.free_list() == [(first + 8, 2 * GROWTH - 16)]


def test_a_65th_extent_is_refused_and_its_pages_go_back(bare: Guest) -> None:
    bare.boot(512)
    assert bare.call("pmem_alloc", 512 * PAGE) == BASE
    extents = [(BASE + 8 * i, 4) for i in range(64)]  # below where growth lands, and touching nothing
    bare.set("kmem_extent_count", 64)
    for index, extent in enumerate(extents):
        bare.poke(bare.symbols["kmem_extents"] + 8 * index, *extent)
    assert bare.er("pmem_free", BASE + 100 * PAGE, 10 * PAGE) == 0
    before = bare.state()
    assert bare.call("kmem_alloc", 8) == 0
    assert bare.state() == before
    bare.set("kmem_extent_count", 63)
    assert bare.call("kmem_alloc", 8) == BASE + 110 * PAGE - 8
    assert bare.extents() == [*extents[:63], (BASE + 100 * PAGE, GROWTH)]


def test_with_64_extents_growth_that_touches_one_still_works(bare: Guest) -> None:
    bare.boot(512)
    bare.set("kmem_extent_count", 64)
    for index in range(63):
        bare.poke(bare.symbols["kmem_extents"] + 8 * index, KERNEL + 0x1000 + 8 * index, 4)
    bare.poke(bare.symbols["kmem_extents"] + 8 * 63, BASE - PAGE, PAGE)
    assert bare.call("kmem_alloc", GROWTH) == BASE
    assert bare.extents()[63] == (BASE - PAGE, PAGE + GROWTH)


# kmem_free

A, B, C = BASE + 64, BASE + 96, BASE + 128
MERGES = [
    pytest.param([(A, 32), (C, 32)], [(A, 32), (C, 32)], id="apart"),
    pytest.param([(A, 32), (B, 32)], [(A, 64)], id="with the one before"),
    pytest.param([(B, 32), (A, 32)], [(A, 64)], id="with the next"),
    pytest.param([(C, 32), (A, 32), (B, 32)], [(A, 96)], id="with both"),
    pytest.param([(A, 25), (C, 8), (B, 31)], [(A, 72)], id="sizes are rounded"),
    pytest.param([(BASE, 64), (A, GROWTH - 64)], [(BASE, GROWTH)], id="all"),
]


@pytest.mark.parametrize(("freed", "expected"), MERGES)
def test_areas_are_kept_in_order_and_merged(
    guest: Guest, freed: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    assert guest.call("kmem_alloc", GROWTH) == BASE
    free(guest, *freed)
    assert guest.free_list() == expected


@pytest.mark.parametrize("low_first", [False, True])
def test_areas_of_every_size_are_merged(guest: Guest, low_first: bool) -> None:
    assert guest.call("kmem_alloc", GROWTH) == BASE
    start = BASE
    for size in range(8, 240, 8):
        pair = [(start, size), (start + size, 240 - size)]
        free(guest, *(pair if low_first else pair[::-1]))
        assert guest.free_list() == [(start, 240)]
        guest.set("kmem_free_list", 0)
        start += 240


def test_headers_that_a_merge_swallows_stay_in_memory(guest: Guest) -> None:
    assert guest.call("kmem_alloc", GROWTH) == BASE
    guest.memory.write(WINDOW, b"\xaa" * GROWTH)
    free(guest, (C, 32), (A, 32), (B, 32))
    junk = (0xAAAAAAAA,) * 6
    assert guest.words(A, 8) == (0, 96, *junk)
    assert guest.words(B, 8) == (0, 64, *junk)
    assert guest.words(C, 8) == (0, 32, *junk)


def test_everything_freed_is_one_area(grown: Guest) -> None:
    sizes = list(range(1, 200, 7))
    areas = list(zip(allocate(grown, *sizes), sizes, strict=True))
    free(grown, *areas[::2], *areas[1::2])
    assert grown.free_list() == [(BASE, GROWTH)]


BAD_FREES = [
    pytest.param(A, 0, id="nothing"),
    pytest.param(A, -8, id="a negative size"),
    pytest.param(A, 0x7FFFFFF9, id="a size whose rounding wraps"),
    pytest.param(A, 0x7FFFFFF8, id="the largest size"),
    pytest.param(0, 8, id="NULL"),
    pytest.param(A + 4, 8, id="unaligned"),
    pytest.param(A - KERNEL, 8, id="a physical address"),
    pytest.param(BASE - 8, 8, id="below the extent"),
    pytest.param(BASE - 8, 16, id="begins below the extent"),
    pytest.param(END - 8, 16, id="ends above the extent"),
    pytest.param(END, 8, id="above the extent"),
    pytest.param(0xFFFFFFF8, 8, id="the last bytes"),
    pytest.param(0xFFFFFFF8, 16, id="wraps"),
    pytest.param(B, 32, id="a double free"),
    pytest.param(B + 8, 8, id="inside a free area"),
    pytest.param(A, 40, id="runs into a free area"),
    pytest.param(B + 24, 16, id="begins in a free area"),
    pytest.param(A, 96, id="holds a free area"),
]


@pytest.mark.parametrize(("address", "size"), BAD_FREES)
def test_bad_areas_are_refused(guest: Guest, address: int, size: int) -> None:
    assert guest.call("kmem_alloc", GROWTH) == BASE
    free(guest, (B, 32))
    before = guest.state()
    assert guest.er("kmem_free", address, size) == E_PAR
    assert guest.state() == before


def test_nothing_can_be_freed_before_the_layer_owns_anything(guest: Guest) -> None:
    before = guest.state()
    assert guest.er("kmem_free", BASE, 8) == E_PAR
    assert guest.state() == before


# Lists that the guest has damaged. Free: A and C, 32 bytes each.

BROKEN_ENTRIES = [
    pytest.param(C + 4, None, id="unaligned"),
    pytest.param(A, None, id="turns back"),
    pytest.param(A - 8, (0, 8), id="below the one before"),
    pytest.param(END, (0, 8), id="outside the extent"),
    pytest.param(C - KERNEL, None, id="a physical address"),
    pytest.param(0xFFFFFFF8, None, id="far away"),
    pytest.param(C, (0, 0), id="size 0"),
    pytest.param(C, (0, -8), id="a negative size"),
    pytest.param(C, (0, 36), id="size not a multiple of 8"),
    pytest.param(C, (0, GROWTH), id="size beyond the extent"),
]


@pytest.fixture
def damaged(guest: Guest) -> Guest:
    assert guest.call("kmem_alloc", GROWTH) == BASE
    free(guest, (A, 32), (C, 32))
    return guest


@pytest.mark.parametrize(("link", "entry"), BROKEN_ENTRIES)
def test_a_broken_list_gives_and_takes_nothing_and_does_not_grow(
    damaged: Guest, link: int, entry: tuple[int, int] | None
) -> None:
    damaged.poke(A, link)
    if entry:
        damaged.poke(link, *entry)
    before = damaged.state()
    assert damaged.call("kmem_alloc", 40) == 0
    assert damaged.er("kmem_free", C + 64, 8) == E_PAR
    assert damaged.state() == before
    assert damaged.call("kmem_alloc", 32) == A  # what lies before the damage is still good


@pytest.mark.parametrize("head", [4, END, WINDOW, 0xFFFFFFF8])
def test_a_broken_head_gives_and_takes_nothing(damaged: Guest, head: int) -> None:
    damaged.set("kmem_free_list", head)
    before = damaged.state()
    assert damaged.call("kmem_alloc", 8) == 0
    assert damaged.er("kmem_free", B, 8) == E_PAR
    assert damaged.state() == before


def test_a_free_before_the_damage_is_served(damaged: Guest) -> None:
    damaged.poke(C, 0x41414141)
    free(damaged, (B, 8))
    assert damaged.words(A, 2) == (C, 40)
