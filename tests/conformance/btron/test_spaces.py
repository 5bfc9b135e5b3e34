"""Spec 2.5 and 2.6: page directories of tasks, and what the kernel asks about their user spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel_model.structs import SPACE_BYTES
from tests.conformance.btron.subjects import KERNEL, PAGE, WINDOW
from tests.conformance.btron.user_space import (
    BARE,
    DATA,
    E_ID,
    E_MACV,
    E_NOMEM,
    E_OBJ,
    E_OK,
    E_PAR,
    EXEC,
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

NO_IDS = [0, 33, -1, 0x7FFF_FFFF, -0x8000_0000]


# space_create, space_delete, space_clear, space_directory


def test_a_new_space_has_the_kernel_s_half_and_nothing_else(guest: Guest) -> None:
    assert guest.er("space_create", A) == E_OK
    assert guest.space(A) == {"directory": WINDOW}
    assert guest.page(WINDOW // PAGE) == (1, 1)
    directory = guest.words_of_page(WINDOW)
    assert directory[:512] == [0] * 512
    assert directory[512:] == guest.words_of_page(guest.symbols["page_directory"])[512:]
    assert any(directory[512:])


@pytest.mark.parametrize("task", NO_IDS)
def test_a_space_belongs_to_a_task(guest: Guest, task: int) -> None:
    refused(guest, E_ID, "space_create", task)
    before = guest.state()
    for name in ("space_clear", "space_delete"):
        guest.call(name, task)
    assert guest.state() == before
    assert guest.call("space_directory", task) == guest.symbols["page_directory"]


def test_a_task_has_one_space(spaces: Guest) -> None:
    refused(spaces, E_OBJ, "space_create", A)
    spaces.take_all_but(0)
    refused(spaces, E_OBJ, "space_create", A)
    refused(spaces, E_NOMEM, "space_create", BARE)
    refused(spaces, E_ID, "space_create", 33)


def test_the_first_and_the_last_task_can_have_a_space(guest: Guest) -> None:
    for number, task in enumerate((1, 32)):
        assert guest.er("space_create", task) == E_OK
        assert guest.call("space_directory", task) == WINDOW + number * PAGE
    for task in (1, 32):
        guest.call("space_delete", task)
    assert guest.call("pmem_free_pages") == 64


def test_cr3_is_the_kernel_s_for_who_has_no_space(spaces: Guest) -> None:
    assert spaces.call("space_directory", A) == spaces.space(A)["directory"]
    assert spaces.call("space_directory", BARE) == spaces.symbols["page_directory"]
    assert spaces.call("space_directory", NOBODY) == spaces.symbols["page_directory"]


@pytest.mark.parametrize("name", ["space_clear", "space_delete"])
def test_nothing_happens_to_who_has_no_space(spaces: Guest, name: str) -> None:
    before = spaces.state()
    spaces.call(name, BARE)
    assert spaces.state() == before


@pytest.mark.parametrize("name", ["space_clear", "space_delete"])
def test_everything_comes_back(spaces: Guest, name: str) -> None:
    before = spaces.pages()
    for number in range(8):
        mapped(spaces, A, START + 0x0100_0000 * number, permission=TEXT if number % 2 else DATA)
    assert spaces.er("vshr_reg", A, B, START) == E_OK
    directory = spaces.space(A)["directory"]
    spaces.call(name, A)
    assert spaces.space(A) == ({"directory": directory} if name == "space_clear" else {"directory": 0})
    assert spaces.page(directory // PAGE) == ((1, 1) if name == "space_clear" else (0, 0))
    assert len(entries(spaces, B)) == 2
    spaces.call("space_clear", B)
    if name == "space_delete":
        assert spaces.er("space_create", A) == E_OK
    assert spaces.pages() == before


@pytest.mark.parametrize("name", ["space_clear", "space_delete"])
def test_only_the_task_s_own_regions_go(spaces: Guest, name: str) -> None:
    spaces.add_task(A + 1)
    assert spaces.er("space_create", A + 1) == E_OK
    mapped(spaces, A + 1)
    mapped(spaces, A)
    before = spaces.space(A + 1), entries(spaces, A + 1)
    spaces.call(name, A)
    assert (spaces.space(A + 1), entries(spaces, A + 1)) == before
    spaces.call(name, A - 1)  # it has none
    assert (spaces.space(A + 1), entries(spaces, A + 1)) == before


@pytest.mark.parametrize("name", ["space_clear", "space_delete"])
def test_the_idle_task_s_entry_is_never_used(spaces: Guest, name: str) -> None:
    mapped(spaces, A, permission=DATA | STACK)
    words = spaces.memory.read(spaces.symbols["space_table"] + SPACE_BYTES * A, SPACE_BYTES)
    spaces.memory.write(spaces.symbols["space_table"], words)
    before = spaces.state()
    spaces.call(name, 0)
    assert spaces.state() == before
    assert spaces.call("space_directory", 0) == spaces.symbols["page_directory"]
    for refusal, call in (
        (E_MACV, ("space_check", 0, START, 1, READ)),
        (E_PAR, ("region_grow", 0, START + 3 * PAGE)),
    ):
        refused(spaces, refusal, *call)
    assert spaces.call("space_entry", 0, START) == 0


# space_check


@pytest.mark.parametrize(
    ("start", "size", "permission", "code"),
    [
        (START, 1, READ, E_OK),
        (START, 4 * PAGE, READ | WRITE | USER, E_OK),
        (START, 4 * PAGE + 1, READ, E_MACV),
        (START - 1, 1, READ, E_MACV),
        (START - 1, 2, READ, E_MACV),
        (START + 4 * PAGE - 1, 1, READ, E_OK),
        (START + 4 * PAGE, 1, READ, E_MACV),
        (START, 1, EXEC, E_MACV),
        (START, 1, READ | 0x40000, E_MACV),
        (START, 1, READ | 8, E_MACV),
        (START, 1, 0, E_OK),
        (0x1000_0000, 4 * PAGE, READ, E_OK),  # data, and text after it
        (0x1000_0000, 4 * PAGE, READ | WRITE, E_MACV),
        (0x1000_0000, 2 * PAGE, READ | WRITE, E_OK),
        (0x1000_0000, 2 * PAGE + 1, READ | WRITE, E_MACV),
        (0x1000_1FFF, 2, READ | EXEC, E_MACV),
        (USER_END - PAGE, PAGE, READ, E_OK),
        (USER_END - PAGE, PAGE + 1, READ, E_MACV),
        (USER_END - 1, 0x7FFF_FFFF, READ, E_MACV),
        (USER_END, 1, READ, E_MACV),
        (USER_END, 0, READ, E_MACV),
        (0xFFFF_FFFF, 1, READ, E_MACV),
        (0xFFFF_FFFF, 2, READ, E_MACV),
        (0, 1, READ, E_MACV),
        (0, -0x8000_0000, READ, E_MACV),
        (START, -1, READ, E_MACV),
        (START, 0, WRITE, E_OK),
        (0, 0, WRITE, E_OK),  # no byte of it is out of a region
    ],
)
def test_what_a_task_may_touch(spaces: Guest, start: int, size: int, permission: int, code: int) -> None:
    region(spaces)
    region(spaces, start=0x1000_0000, size=2 * PAGE)
    region(spaces, start=0x1000_0000 + 2 * PAGE, size=2 * PAGE, permission=TEXT)
    region(spaces, start=USER_END - PAGE, size=PAGE)
    refused(spaces, code, "space_check", A, start, size, permission)  # changes nothing either way
    refused(spaces, E_MACV if size else code, "space_check", B, start, size, permission)
    for task in (NOBODY, BARE):
        refused(spaces, E_MACV if size else code, "space_check", task, start, size, permission)
    for task in NO_IDS:
        refused(spaces, E_MACV, "space_check", task, start, size, permission)


# region_grow, space_entry


@pytest.mark.parametrize(("offset", "page"), [(0, 0), (PAGE - 1, 0), (PAGE, 1), (4 * PAGE - 1, 3)])
@pytest.mark.parametrize(("permission", "bits"), [(DATA, 7), (TEXT, 5), (WRITE, 3), (READ, 1)])
def test_a_stack_grows_by_the_page_touched(
    spaces: Guest, offset: int, page: int, permission: int, bits: int
) -> None:
    region(spaces, permission=permission | STACK)
    assert spaces.er("region_grow", A, START + offset) == E_OK
    ((address, word),) = entries(spaces, A).items()
    assert (address, word & 0xFFF) == (START + page * PAGE, bits)
    assert set(spaces.words_of_page(word & -PAGE)) == {0}
    assert spaces.space(A)["size0"] == PAGE
    refused(spaces, E_PAR, "region_grow", A, START + offset)


def test_a_stack_grows_to_its_last_page(spaces: Guest) -> None:
    region(spaces, start=USER_END - 4 * PAGE, permission=DATA | STACK)
    for number in (3, 0, 2, 1):
        assert spaces.er("region_grow", A, USER_END - 4 * PAGE + number * PAGE) == E_OK
    assert spaces.space(A)["size0"] == 4 * PAGE
    assert list(entries(spaces, A)) == [USER_END - number * PAGE for number in (4, 3, 2, 1)]


@pytest.mark.parametrize(
    ("task", "address"),
    [
        (A, START - 1),
        (A, START + 4 * PAGE),
        (A, 0),
        (A, 0x1000_0000),  # no stack
        (A, KERNEL + START),
        (A, 0xFFFF_FFFF),
        (B, START),
        (BARE, START),
        (NOBODY, START),
        *((task, START) for task in NO_IDS),
    ],
)
def test_what_is_no_stack_does_not_grow(spaces: Guest, task: int, address: int) -> None:
    region(spaces, permission=DATA | STACK)
    region(spaces, start=0x1000_0000)
    refused(spaces, E_PAR, "region_grow", task, address)
    spaces.take_all_but(0)
    refused(spaces, E_PAR, "region_grow", task, address)


@pytest.mark.parametrize("free", [0, 1])
def test_a_stack_that_cannot_grow_leaves_no_table(spaces: Guest, free: int) -> None:
    region(spaces, permission=DATA | STACK)
    assert spaces.er("region_grow", A, START + PAGE) == E_OK
    spaces.take_all_but(free)
    pages = spaces.pages()
    assert spaces.er("region_grow", A, START) == E_NOMEM
    assert spaces.pages() == pages
    assert (tables(spaces, A), spaces.space(A)["size0"]) == ([1], PAGE)


def test_the_entry_of_a_page(spaces: Guest) -> None:
    mapped(spaces)
    for address in (START, START + PAGE - 1, START + PAGE):
        word = spaces.call("space_entry", A, address)
        assert word == entries(spaces, A)[address & -PAGE]
    for task, address in (
        *((A, address) for address in (START - 1, START + 2 * PAGE, 0, KERNEL, 0x8010_0000, 0xFFFF_FFFF)),
        *((task, START) for task in (B, BARE, NOBODY, *NO_IDS)),
    ):
        assert spaces.call("space_entry", task, address) == 0
