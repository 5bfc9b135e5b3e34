"""Spec 2.5: making, deleting, protecting and describing regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.btron.subjects import KERNEL, PAGE
from tests.conformance.btron.user_space import (
    BARE,
    BUFFER,
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
    mapped,
    refused,
    region,
    tables,
)

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest


def slot(number: int, start: int, least: int, most: int, permission: int, handle: int = 0) -> dict[str, int]:
    values = {"start": start, "min_size": least, "max_size": most, "permission": permission, "handle": handle}
    return {f"{name}{number}": value for name, value in values.items()} | {f"size{number}": 0}


# vcre_reg


@pytest.mark.parametrize(
    ("start", "sizes", "first", "pages"),
    [
        (START, (PAGE, PAGE), START, (1, 1)),
        (START, (1, 1), START, (1, 1)),
        (START, (PAGE + 1, 2 * PAGE + 1), START, (2, 3)),
        (START + 1, (PAGE, PAGE), START, (2, 2)),
        (START + PAGE - 1, (1, 2), START, (1, 2)),
        (START + 0x123, (1, PAGE - 0x123), START, (1, 1)),
        (START, (2, 1), START, (1, 1)),  # the same pages
        (0, (1, 1), 0, (1, 1)),
        (1, (1, 0x7FFF_EFFF), 0, (1, 0x7FFFF)),
        (0, (0x7FFF_F000, 0x7FFF_F000), 0, (0x7FFFF, 0x7FFFF)),
        (PAGE, (1, 0x7FFF_F000), PAGE, (1, 0x7FFFF)),
        (USER_END - 1, (1, 1), USER_END - PAGE, (1, 1)),
        (USER_END - PAGE, (PAGE, PAGE), USER_END - PAGE, (1, 1)),
    ],
)
def test_a_region_is_whole_pages(
    spaces: Guest, start: int, sizes: tuple[int, int], first: int, pages: tuple[int, int]
) -> None:
    before, directory = spaces.pages(), spaces.space(A)
    assert spaces.er("vcre_reg", A, start, *sizes, DATA, 0) == E_OK
    assert spaces.space(A) == directory | slot(0, first, pages[0] * PAGE, pages[1] * PAGE, DATA)
    assert (spaces.pages(), entries(spaces, A)) == (before, {})


@pytest.mark.parametrize("permission", [READ, WRITE, EXEC, READ | WRITE | EXEC | USER | STACK, EXEC | STACK])
@pytest.mark.parametrize("handle", [0, KERNEL, HANDLER, 0xFFFF_FFFF])
def test_permission_and_handler_are_kept(spaces: Guest, permission: int, handle: int) -> None:
    directory = spaces.space(A)
    assert spaces.er("vcre_reg", A, START, 1, 2 * PAGE, permission, handle) == E_OK
    assert spaces.space(A) == directory | slot(0, START, PAGE, 2 * PAGE, permission, handle)


@pytest.mark.parametrize(
    ("least", "most"),
    [(0, 1), (1, 0), (0, 0), (-1, 1), (1, -1), (PAGE + 1, PAGE), (-0x8000_0000, 1), (1, -0x8000_0000)],
)
def test_sizes_that_cannot_be(spaces: Guest, least: int, most: int) -> None:
    refused(spaces, E_PAR, "vcre_reg", A, START, least, most, DATA, 0)
    if most < PAGE:
        refused(spaces, E_PAR, "vcre_reg", A, START + 1, least, most, DATA, 0)


@pytest.mark.parametrize(
    ("start", "most"),
    [
        (USER_END - PAGE, PAGE + 1),
        (USER_END - 1, 2),
        (USER_END - 1, 0x7FFF_FFFF),
        (USER_END, 1),
        (0xFFFF_FFFF, 1),
        (0xFFFF_F000, 2 * PAGE),
        (PAGE + 1, 0x7FFF_F000),
        (START, 0x7FFF_FFFF),
        (0, 0x7FFF_F001),  # all of user space is more than a size can say
        (1, 0x7FFF_F000),
        (0, 0x7FFF_FFFF),
    ],
)
def test_what_leaves_user_space_is_no_region(spaces: Guest, start: int, most: int) -> None:
    refused(spaces, E_PAR, "vcre_reg", A, start, 1, most, DATA, 0)


@pytest.mark.parametrize("permission", [0, USER, STACK, USER | STACK, 8, DATA | 8, DATA | 0x40000, -1])
def test_permissions_that_cannot_be(spaces: Guest, permission: int) -> None:
    refused(spaces, E_PAR, "vcre_reg", A, START, PAGE, PAGE, permission, 0)
    mapped(spaces)
    refused(spaces, E_PAR, "vprt_reg", A, START, permission)
    refused(spaces, E_PAR, "vmap_reg", A, START + 2 * PAGE, PAGE, permission)
    refused(
        spaces,
        E_PAR,
        "region_map_shared",
        A,
        START + 2 * PAGE,
        spaces.call("pmem_alloc", 1),
        PAGE,
        permission,
    )


@pytest.mark.parametrize("handle", [1, 0x10_0000, 0x7FFF_FFFF])
def test_a_handler_is_in_kernel_space(spaces: Guest, handle: int) -> None:
    refused(spaces, E_PAR, "vcre_reg", A, START, PAGE, PAGE, DATA, handle)


@pytest.mark.parametrize(
    ("start", "size"),
    [
        (START, PAGE),
        (START - PAGE, PAGE + 1),
        (START - PAGE, 6 * PAGE),
        (START + PAGE, PAGE),
        (START + 3 * PAGE, 2 * PAGE),
        (START + 4 * PAGE - 1, 1),
        (0, 0x7FFF_F000),
    ],
)
def test_regions_do_not_overlap(spaces: Guest, start: int, size: int) -> None:
    region(spaces)
    refused(spaces, E_OBJ, "vcre_reg", A, start, 1, size, DATA, 0)
    assert spaces.er("vcre_reg", B, start, 1, size, DATA, 0) == E_OK


def test_regions_may_touch(spaces: Guest) -> None:
    region(spaces)
    region(spaces, start=START - PAGE, size=PAGE)
    region(spaces, start=START + 4 * PAGE)
    assert [spaces.space(A)[f"start{number}"] for number in range(3)] == [
        START,
        START - PAGE,
        START + 4 * PAGE,
    ]


def test_a_task_has_eight_regions_and_the_lowest_free_slot_is_taken(spaces: Guest) -> None:
    for number in range(8):
        region(spaces, start=0x0100_0000 * (number + 1))
    refused(spaces, E_NOMEM, "vcre_reg", A, START, 1, 1, DATA, 0)
    refused(spaces, E_OBJ, "vcre_reg", A, 0x0100_0000, 1, 1, DATA, 0)
    region(spaces, B)
    refused(spaces, E_NOMEM, "vshr_reg", B, A, START)
    for number in (5, 2):
        assert spaces.er("vdel_reg", A, 0x0100_0000 * (number + 1)) == E_OK
    region(spaces)
    assert spaces.space(A)["start2"] == START
    assert "start5" not in spaces.space(A)


CALLS = {
    "vcre_reg": (A, START, PAGE, PAGE, DATA, 0),
    "vdel_reg": (A, START),
    "vmap_reg": (A, START + 2 * PAGE, PAGE, DATA),
    "vunm_reg": (A, START, PAGE),
    "vprt_reg": (A, START, READ),
    "vget_reg": (A, START, PAGE, BUFFER),
    "vput_reg": (A, START, PAGE, BUFFER),
    "vsts_reg": (A, START, BUFFER),
    "region_map_shared": (A, START + 2 * PAGE, 0x8030_0000, PAGE, DATA),
}
WRONG = {
    "vcre_reg": (A, USER_END, 0, 0, 0, 1),
    "vdel_reg": (A, USER_END),
    "vmap_reg": (A, USER_END, 0, 0),
    "vunm_reg": (A, USER_END, 0),
    "vprt_reg": (A, USER_END, 0),
    "vget_reg": (A, USER_END, 0, START),
    "vput_reg": (A, USER_END, 0, START),
    "vsts_reg": (A, USER_END, START),
    "region_map_shared": (A, USER_END, 1, 0, 0),
}
"""The same calls with nothing right but the task."""


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("task", [0, 33, -1, -4, 0x7FFF_FFFF])
def test_what_is_no_task_comes_first(spaces: Guest, name: str, task: int) -> None:
    mapped(spaces)
    for arguments in (CALLS[name], WRONG[name]):
        refused(spaces, E_ID, name, task, *arguments[1:])


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("task", [NOBODY, BARE])
def test_each_wrong_argument_comes_before_a_task_that_does_not_exist(
    spaces: Guest, name: str, task: int
) -> None:
    mapped(spaces)
    refused(spaces, E_NOEXS, name, task, *CALLS[name][1:])
    for number in range(1, len(CALLS[name])):
        if CALLS[name][number] == WRONG[name][number]:
            continue
        arguments = (task, *CALLS[name][1:number], WRONG[name][number], *CALLS[name][number + 1 :])
        refused(spaces, E_PAR, name, *arguments)


@pytest.mark.parametrize("name", CALLS)
def test_a_task_with_a_space_that_was_deleted_does_not_exist(spaces: Guest, name: str) -> None:
    mapped(spaces)
    spaces.set_tcb(A, "state", 0)
    refused(spaces, E_NOEXS, name, *CALLS[name])


def test_the_last_address_of_user_space_may_be_asked_for(spaces: Guest) -> None:
    refused(spaces, E_NOEXS, "vdel_reg", NOBODY, USER_END - 1)
    refused(spaces, E_PAR, "vdel_reg", A, USER_END - 1)


# vdel_reg


@pytest.mark.parametrize("offset", [0, 1, PAGE, 4 * PAGE - 1])
def test_any_address_in_a_region_names_it(spaces: Guest, offset: int) -> None:
    directory, pages = spaces.space(A), spaces.pages()
    mapped(spaces)
    assert spaces.er("vdel_reg", A, START + offset) == E_OK
    assert (spaces.space(A), spaces.pages(), tables(spaces, A)) == (directory, pages, [])


@pytest.mark.parametrize(
    ("name", "arguments"), [("vdel_reg", ()), ("vprt_reg", (READ,)), ("vsts_reg", (BUFFER,))]
)
@pytest.mark.parametrize("address", [0, START - 1, START + 4 * PAGE, USER_END - 1, USER_END, 0xFFFF_FFFF])
def test_an_address_in_no_region(spaces: Guest, name: str, arguments: tuple[int, ...], address: int) -> None:
    mapped(spaces)
    mapped(spaces, B, START + 4 * PAGE)
    refused(spaces, E_PAR, name, A, address, *arguments)


def test_deleting_leaves_the_neighbours_in_the_same_table(spaces: Guest) -> None:
    mapped(spaces, start=START + PAGE)
    mapped(spaces, start=START + 5 * PAGE)
    mapped(spaces, start=START - 3 * PAGE)
    before = entries(spaces, A)
    assert spaces.er("vdel_reg", A, START + PAGE) == E_OK
    kept = {address: word for address, word in before.items() if not START < address < START + 5 * PAGE}
    assert entries(spaces, A) == kept
    assert tables(spaces, A) == [0, 1]


# vprt_reg


@pytest.mark.parametrize("offset", [0, PAGE + 5, 4 * PAGE - 1])
@pytest.mark.parametrize(
    ("permission", "bits"),
    [(READ, 0), (WRITE, 2), (EXEC, 0), (DATA, 6), (TEXT, 4), (READ | USER | STACK, 4), (READ | STACK, 0)],
)
def test_protection_changes_for_the_region_and_all_that_is_mapped(
    spaces: Guest, offset: int, permission: int, bits: int
) -> None:
    mapped(spaces)
    mapped(spaces, start=START + 4 * PAGE)
    before, space = entries(spaces, A), spaces.space(A)
    for index, (address, word) in enumerate(before.items()):
        spaces.poke(
            spaces.entry_of(A, address), word | (0x60 if index % 2 else 0x20)
        )  # A and D, as a CPU sets them
    before = entries(spaces, A)
    assert spaces.er("vprt_reg", A, START + offset, permission) == E_OK
    assert spaces.space(A) == space | {"permission0": permission}
    assert entries(spaces, A) == {
        address: word & ~6 | bits if address < START + 4 * PAGE else word for address, word in before.items()
    }


def test_protection_of_what_is_shared_changes_in_one_space(spaces: Guest) -> None:
    mapped(spaces)
    assert spaces.er("vshr_reg", A, B, START) == E_OK
    before = entries(spaces, A)
    assert spaces.er("vprt_reg", B, START, READ) == E_OK
    assert entries(spaces, A) == before
    assert [word & 7 for word in entries(spaces, B).values()] == [1, 1]


# vsts_reg


def test_the_state_of_a_region(spaces: Guest) -> None:
    assert spaces.er("vcre_reg", A, START + 1, 1, 2 * PAGE, TEXT | STACK, HANDLER) == E_OK
    assert spaces.er("vmap_reg", A, START, PAGE, TEXT) == E_OK
    before = spaces.state()
    spaces.poke(BUFFER, *[0xEEEE_EEEE] * 6)
    assert spaces.er("vsts_reg", A, START + 3 * PAGE - 1, BUFFER) == E_OK
    assert spaces.words(BUFFER, 6) == (START, PAGE, 3 * PAGE, TEXT | STACK, HANDLER, 0xEEEE_EEEE)
    spaces.poke(BUFFER, *[0xEEEE_EEEE] * 6)
    assert spaces.state() == before


@pytest.mark.parametrize("packet", [0, START, 0x7FFF_FFFF])
def test_a_packet_is_in_kernel_space(spaces: Guest, packet: int) -> None:
    mapped(spaces)
    refused(spaces, E_PAR, "vsts_reg", A, START, packet)
