"""Spec 2.5: what regions hold: pages mapped, unmapped and shared; and what is left when none is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.btron.subjects import KERNEL, PAGE
from tests.conformance.btron.user_space import (
    BARE,
    DATA,
    E_ID,
    E_NOEXS,
    E_NOMEM,
    E_OBJ,
    E_OK,
    E_PAR,
    EXEC,
    HANDLER,
    NOBODY,
    READ,
    STACK,
    START,
    TEXT,
    USER,
    USER_END,
    WRITE,
    A,
    B,
    entries,
    kernel_address,
    mapped,
    pages_of,
    refused,
    region,
    tables,
)

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest

ALL = READ | WRITE | EXEC | USER


# vmap_reg


@pytest.mark.parametrize(
    ("start", "size", "pages"),
    [
        (START, PAGE, range(1)),
        (START, 1, range(1)),
        (START + PAGE - 1, 1, range(1)),
        (START + PAGE - 1, 2, range(2)),
        (START + PAGE, PAGE, range(1, 2)),
        (START + PAGE + 1, 2 * PAGE, range(1, 4)),
        (START, 4 * PAGE, range(4)),
        (START + 4 * PAGE - 1, 1, range(3, 4)),
    ],
)
@pytest.mark.parametrize(
    ("access", "bits"), [(READ, 1), (WRITE, 3), (EXEC | USER, 5), (ALL, 7), (READ | STACK, 1)]
)
def test_the_pages_touched_are_mapped_and_clear(
    spaces: Guest, start: int, size: int, pages: range, access: int, bits: int
) -> None:
    region(spaces, permission=ALL | STACK)
    free = spaces.call("pmem_free_pages")
    assert spaces.er("vmap_reg", A, start, size, access) == E_OK
    found = entries(spaces, A)
    assert list(found) == [START + number * PAGE for number in pages]
    assert {word & 0xFFF for word in found.values()} == {bits}
    assert all(set(spaces.words_of_page(word & -PAGE)) == {0} for word in found.values())
    assert [spaces.page(frame) for frame in pages_of(spaces, A)] == [(1, 1)] * len(pages)
    assert spaces.space(A)["size0"] == len(pages) * PAGE
    assert free - spaces.call("pmem_free_pages") == len(pages) + len(tables(spaces, A))


def test_the_lowest_pages_are_taken_each_table_before_its_first_page(spaces: Guest) -> None:
    region(spaces)
    assert spaces.er("vmap_reg", A, START, 3 * PAGE, DATA) == E_OK
    first = pages_of(spaces, A)[0]
    directory = spaces.words_of_page(spaces.space(A)["directory"])
    assert [directory[0] >> 12, directory[1] >> 12] == [first - 1, first + 1]
    assert pages_of(spaces, A) == [first, first + 2, first + 3]


def test_a_region_is_filled_bit_by_bit(spaces: Guest) -> None:
    region(spaces)
    for number in (2, 0, 3, 1):
        assert spaces.er("vmap_reg", A, START + number * PAGE, PAGE, DATA) == E_OK
    assert len(entries(spaces, A)) == 4
    assert spaces.space(A)["size0"] == 4 * PAGE


@pytest.mark.parametrize(
    ("start", "size"),
    [
        (START, 4 * PAGE + 1),
        (START + 3 * PAGE + 1, PAGE),
        (START - 1, 1),
        (START - 1, 2),
        (START - PAGE, 6 * PAGE),
        (START + 4 * PAGE, PAGE),
        (0, 1),
        (START, 0x7FFF_F000),
    ],
)
def test_a_range_is_in_one_region(spaces: Guest, start: int, size: int) -> None:
    region(spaces)
    refused(spaces, E_PAR, "vmap_reg", A, start, size, DATA)
    refused(spaces, E_PAR, "vunm_reg", A, start, size)
    refused(spaces, E_PAR, "region_map_shared", A, start, kernel_address(0x300), size, DATA)


def test_a_range_is_in_one_region_even_if_another_follows(spaces: Guest) -> None:
    mapped(spaces, size=4 * PAGE)
    mapped(spaces, start=START + 4 * PAGE)
    refused(spaces, E_PAR, "vunm_reg", A, START + 3 * PAGE, 2 * PAGE)


@pytest.mark.parametrize(
    ("start", "size"),
    [
        (START, 0),
        (START, -1),
        (START, -0x8000_0000),
        (USER_END, 1),
        (0xFFFF_FFFF, 1),
        (USER_END - PAGE, PAGE + 1),
        (USER_END - 1, 0x7FFF_FFFF),
    ],
)
def test_a_range_is_in_user_space(spaces: Guest, start: int, size: int) -> None:
    region(spaces)
    region(spaces, start=USER_END - PAGE, size=PAGE)
    refused(spaces, E_PAR, "vmap_reg", A, start, size, DATA)
    refused(spaces, E_PAR, "vunm_reg", A, start, size)
    refused(spaces, E_PAR, "region_map_shared", A, start, kernel_address(0x300), size, DATA)


@pytest.mark.parametrize("start", [0, USER_END - 2 * PAGE])
def test_the_edges_of_user_space(spaces: Guest, start: int) -> None:
    pages = spaces.pages()
    region(spaces, start=start, size=2 * PAGE)
    assert spaces.er("vmap_reg", A, start, 2 * PAGE, DATA) == E_OK
    assert list(entries(spaces, A)) == [start, start + PAGE]
    assert spaces.er("vunm_reg", A, start, 2 * PAGE) == E_OK
    assert spaces.pages() == pages


@pytest.mark.parametrize(
    ("permission", "access"),
    [(READ, WRITE), (READ, READ | USER), (READ | USER, DATA), (DATA, EXEC), (DATA, DATA | STACK)],
)
def test_pages_have_no_more_permission_than_their_region(spaces: Guest, permission: int, access: int) -> None:
    region(spaces, permission=permission)
    refused(spaces, E_PAR, "vmap_reg", A, START, PAGE, access)
    refused(spaces, E_PAR, "region_map_shared", A, START, kernel_address(0x300), PAGE, access)


@pytest.mark.parametrize(("start", "size"), [(START, 1), (START + PAGE, 3 * PAGE), (START, 4 * PAGE)])
def test_what_is_mapped_is_not_mapped_again(spaces: Guest, start: int, size: int) -> None:
    mapped(spaces)
    refused(spaces, E_OBJ, "vmap_reg", A, start, size, DATA)
    refused(spaces, E_OBJ, "region_map_shared", A, start, kernel_address(0x300), size, DATA)
    refused(spaces, E_PAR, "vmap_reg", A, start, size, TEXT)  # before that
    spaces.take_all_but(0)
    refused(spaces, E_OBJ, "vmap_reg", A, start, size, DATA)


@pytest.mark.parametrize("free", range(7))
@pytest.mark.parametrize("before", [0, 1])
def test_all_pages_are_mapped_or_none(spaces: Guest, free: int, before: int) -> None:
    """Four pages in two tables take six pages; with one page mapped before in the first table, five."""
    region(spaces, start=START - PAGE, size=6 * PAGE)
    if before:
        assert spaces.er("vmap_reg", A, START - PAGE, PAGE, DATA) == E_OK
    spaces.take_all_but(free)
    pages, space, mapped_before = spaces.pages(), spaces.space(A), entries(spaces, A)
    if free >= 6 - before:
        assert spaces.er("vmap_reg", A, START, 4 * PAGE, DATA) == E_OK
        assert spaces.er("vunm_reg", A, START, 4 * PAGE) == E_OK
    else:
        assert spaces.er("vmap_reg", A, START, 4 * PAGE, DATA) == E_NOMEM
    assert (spaces.pages(), spaces.space(A), entries(spaces, A)) == (pages, space, mapped_before)
    assert tables(spaces, A) == [0] * before


# vunm_reg


@pytest.mark.parametrize(
    ("start", "size", "gone"),
    [
        (START, PAGE, {0}),
        (START + 1, 1, {0}),
        (START + PAGE - 1, 2, {0, 1}),
        (START + PAGE, 2 * PAGE, {1, 2}),
        (START, 4 * PAGE, {0, 1, 2, 3}),
        (START + 3 * PAGE, 1, {3}),
    ],
)
def test_pages_are_given_back_and_tables_with_their_last(
    spaces: Guest, start: int, size: int, gone: set[int]
) -> None:
    mapped(spaces, size=4 * PAGE)
    before, frames = entries(spaces, A), pages_of(spaces, A)
    assert spaces.er("vunm_reg", A, start, size) == E_OK
    kept = [number for number in range(4) if number not in gone]
    assert entries(spaces, A) == {START + n * PAGE: before[START + n * PAGE] for n in kept}
    assert [spaces.page(frame)[0] for frame in frames] == [int(n in kept) for n in range(4)]
    assert tables(spaces, A) == [0] * (0 in kept) + [1] * bool({1, 2, 3} & set(kept))
    assert spaces.space(A)["size0"] == len(kept) * PAGE


@pytest.mark.parametrize(("start", "size"), [(START, 1), (START, 4 * PAGE), (START + 3 * PAGE, 1)])
def test_what_is_not_mapped_is_not_unmapped(spaces: Guest, start: int, size: int) -> None:
    region(spaces)
    refused(spaces, E_OBJ, "vunm_reg", A, start, size)
    assert spaces.er("vmap_reg", A, START + PAGE, 2 * PAGE, DATA) == E_OK
    refused(spaces, E_OBJ, "vunm_reg", A, start, size)


# region_map_shared


def test_the_kernel_s_pages_are_mapped_with_an_owner_more(spaces: Guest) -> None:
    pages = spaces.call("pmem_alloc", 3 * PAGE)
    for task in (A, B):
        region(spaces, task, permission=TEXT)
        assert spaces.er("region_map_shared", task, START + PAGE + 1, pages, 2 * PAGE, TEXT) == E_OK
        assert [word & 0xFFF for word in entries(spaces, task).values()] == [5, 5, 5]
        assert pages_of(spaces, task) == [(pages >> 12 & 0x7FFFF) + number for number in range(3)]
        assert spaces.space(task)["size0"] == 3 * PAGE
    assert [spaces.page(frame) for frame in pages_of(spaces, A)] == [(1, 3)] * 3
    spaces.call("space_clear", B)
    assert spaces.er("vunm_reg", A, START + PAGE, PAGE) == E_OK
    assert [spaces.page((pages >> 12 & 0x7FFFF) + number)[1] for number in range(3)] == [1, 2, 2]


@pytest.mark.parametrize("pages", [0, 1, 0x0030_0000, 0x8030_0001, 0x8030_0FFF])
def test_what_is_mapped_is_a_page_of_kernel_space(spaces: Guest, pages: int) -> None:
    region(spaces)
    refused(spaces, E_PAR, "region_map_shared", A, START, pages, PAGE, DATA)
    refused(spaces, E_PAR, "region_map_shared", NOBODY, START, pages, PAGE, DATA)
    refused(spaces, E_ID, "region_map_shared", 0, START, pages, PAGE, DATA)


def test_page_0_is_a_page_of_kernel_space_and_reserved(spaces: Guest) -> None:
    region(spaces)
    before = spaces.pages()
    assert spaces.er("region_map_shared", A, START, KERNEL, PAGE, DATA) == E_NOMEM
    assert (spaces.pages(), tables(spaces, A)) == (before, [])


@pytest.mark.parametrize("missing", range(4))
def test_pages_that_nobody_owns_are_not_mapped(spaces: Guest, missing: int) -> None:
    region(spaces)
    spare = spaces.call("pmem_alloc", 2 * PAGE)  # for the tables
    pages = spaces.call("pmem_alloc", 4 * PAGE)
    assert spaces.er("pmem_free", spare, 2 * PAGE) == E_OK
    assert spaces.er("pmem_free", pages + missing * PAGE, PAGE) == E_OK
    before = spaces.pages()
    assert spaces.er("region_map_shared", A, START, pages, 4 * PAGE, DATA) == E_NOMEM
    assert (spaces.pages(), tables(spaces, A), spaces.space(A)["size0"]) == (before, [], 0)


# vshr_reg


@pytest.mark.parametrize("offset", [0, PAGE + 1, 4 * PAGE - 1])
@pytest.mark.parametrize(
    ("permission", "shared", "bits"),
    [
        (DATA, DATA, 7),
        (TEXT, TEXT, 5),
        (ALL, ALL & ~WRITE, 5),
        (WRITE | EXEC | STACK, EXEC | STACK, 1),
        (WRITE, WRITE, 3),
    ],
)
def test_a_region_is_shared_with_what_it_holds(
    spaces: Guest, offset: int, permission: int, shared: int, bits: int
) -> None:
    assert spaces.er("vcre_reg", A, START, PAGE, 4 * PAGE, permission, HANDLER) == E_OK
    assert spaces.er("vmap_reg", A, START, PAGE, permission) == E_OK
    assert spaces.er("vmap_reg", A, START + 2 * PAGE, PAGE, permission) == E_OK
    region(spaces, B, 0x0100_0000)
    before, space = entries(spaces, A), spaces.space(A)
    assert spaces.er("vshr_reg", A, B, START + offset) == E_OK
    assert (entries(spaces, A), spaces.space(A)) == (before, space)
    there = {name.replace("0", "1"): value for name, value in space.items() if name != "directory"}
    assert spaces.space(B).items() >= (there | {"permission1": shared}).items()
    assert entries(spaces, B) == {address: word & -PAGE | bits for address, word in before.items()}
    assert [spaces.page(frame) for frame in pages_of(spaces, A)] == [(1, 2)] * 2


def test_a_page_that_one_task_may_not_write_is_not_written_by_the_other(spaces: Guest) -> None:
    region(spaces)
    assert spaces.er("vmap_reg", A, START, PAGE, READ) == E_OK
    assert spaces.er("vmap_reg", A, START + PAGE, PAGE, DATA) == E_OK
    for address, word in entries(spaces, A).items():
        spaces.poke(spaces.entry_of(A, address), word | 0x60)
    assert spaces.er("vshr_reg", A, B, START) == E_OK
    assert [word & 0xFFF for word in entries(spaces, B).values()] == [1, 7]  # not yet accessed there


def test_an_empty_region_can_be_shared_and_grows_apart(spaces: Guest) -> None:
    region(spaces)
    assert spaces.er("vshr_reg", A, B, START) == E_OK
    assert spaces.er("vmap_reg", B, START, PAGE, DATA) == E_OK
    assert entries(spaces, A) == {}
    assert (spaces.space(A)["size0"], spaces.space(B)["size0"]) == (0, PAGE)


def test_the_last_owner_gives_the_pages_back(spaces: Guest) -> None:
    pages = spaces.pages()
    mapped(spaces)
    assert spaces.er("vshr_reg", A, B, START) == E_OK
    frames = pages_of(spaces, A)
    assert spaces.er("vdel_reg", A, START) == E_OK
    assert [spaces.page(frame) for frame in frames] == [(1, 1)] * 2
    assert pages_of(spaces, B) == frames
    assert spaces.er("vunm_reg", B, START, 2 * PAGE) == E_OK
    assert spaces.pages() == pages


@pytest.mark.parametrize(
    ("source", "target", "address", "code"),
    [
        (0, 33, USER_END, E_ID),
        (A, 33, START, E_ID),
        (A, -1, START, E_ID),
        (0, B, START, E_ID),
        (0, 0, START, E_ID),
        (A, A, START, E_PAR),
        (NOBODY, NOBODY, START, E_PAR),
        (NOBODY, B, USER_END, E_PAR),
        (A, NOBODY, 0xFFFF_FFFF, E_PAR),
        (NOBODY, B, START, E_NOEXS),
        (BARE, B, START, E_NOEXS),
        (A, NOBODY, START, E_NOEXS),
        (A, NOBODY, 0, E_NOEXS),
        (A, BARE, START, E_NOEXS),
        (A, B, START - 1, E_PAR),
        (A, B, START + 4 * PAGE, E_PAR),
        (B, A, START, E_PAR),
    ],
)
def test_what_cannot_be_shared(spaces: Guest, source: int, target: int, address: int, code: int) -> None:
    mapped(spaces)
    refused(spaces, code, "vshr_reg", source, target, address)


@pytest.mark.parametrize("start", [START, START - 3 * PAGE, START + 3 * PAGE])
def test_what_is_shared_overlaps_nothing(spaces: Guest, start: int) -> None:
    mapped(spaces)
    region(spaces, B, start)
    refused(spaces, E_OBJ, "vshr_reg", A, B, START)
    for number in range(7):
        region(spaces, B, 0x0100_0000 * (number + 1))
    refused(spaces, E_OBJ, "vshr_reg", A, B, START)
    spaces.take_all_but(0)
    refused(spaces, E_OBJ, "vshr_reg", A, B, START)


@pytest.mark.parametrize("free", [0, 1, 2])
def test_all_is_shared_or_nothing(spaces: Guest, free: int) -> None:
    """Three pages in two tables take two pages for the tables."""
    mapped(spaces, size=3 * PAGE)
    spaces.take_all_but(free)
    pages, space = spaces.pages(), spaces.space(B)
    if free == 2:
        assert spaces.er("vshr_reg", A, B, START) == E_OK
        assert spaces.er("vdel_reg", B, START) == E_OK
    else:
        assert spaces.er("vshr_reg", A, B, START) == E_NOMEM
    assert (spaces.pages(), spaces.space(B), entries(spaces, B), tables(spaces, B)) == (pages, space, {}, [])


def test_a_page_with_too_many_owners_is_not_shared(spaces: Guest) -> None:
    mapped(spaces, size=3 * PAGE)
    frame = pages_of(spaces, A)[2]
    spaces.poke(spaces.get("pmem_table") + 8 * frame, 1, 0xFFFF_FFFF)
    pages = spaces.pages()
    assert spaces.er("vshr_reg", A, B, START) == E_NOMEM
    assert (spaces.pages(), tables(spaces, B)) == (pages, [])
