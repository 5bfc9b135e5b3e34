"""Finding calls by their block, or by their function's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.trace.queries.search import CallSearch
from emulator.trace.table import CallTable
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

FUNCTIONS = (
    TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),
    TracedFunction("kfree", "heap", Role.FREE, ("ptr",), Result.NONE),
    TracedFunction("alloc_frames", "frames", Role.ALLOC, ("pages",), Result.FRAME, 0xFFFFFFFF),
    TracedFunction("free_frame", "frames", Role.FREE, ("frame",), Result.ERROR),
    TracedFunction("get_blk", "mpl", Role.ALLOC, ("out", "size"), Result.ERROR),
    TracedFunction("kcalloc", "heap", Role.ALLOC, ("count", "size"), Result.POINTER, 0),
    TracedFunction("alloc_pages", "frames", Role.ALLOC, ("order",), Result.POINTER, 0),
    TracedFunction("count_free", "heap", Role.OTHER, ("frame",), Result.VALUE),
)
ROWS = [  # function, arguments, result, out; left 0: None
    ("kmalloc", (24,), 0x1000, 0),
    ("kmalloc", (1 << 31,), 0, 0),
    ("alloc_frames", (3,), 0x200, 0),
    ("alloc_frames", (3,), 0xFFFFFFFF, 0),
    ("kfree", (0x1000,), 5, 0),
    ("free_frame", (0x201,), 0, 0),
    ("get_blk", (0x9000, 16), 0, 0x80001000),
    ("get_blk", (0x9000, 16), 0xFFFFFFFF, 0x80001000),
    ("kcalloc", (4, 8), 0x1000, 0),
    ("alloc_pages", (2,), 0x400000, 0),
    ("kmalloc", (8,), None, 0),
    ("count_free", (0x200,), 1, 0),
]


PROFILE = Profile("test", FUNCTIONS)


@pytest.fixture
def search(tmp_path: Path) -> CallSearch:
    builder = TraceBuilder(PROFILE)
    for function, arguments, result, out in ROWS:
        builder.enter(function, *arguments)
        if result is None:
            builder.stay()
        else:
            builder.leave(result, out=out)
    return CallSearch(builder.trace(tmp_path / "a.kmt").calls)


def test_the_block_of_a_call_is_what_it_took_or_gives_back(search: CallSearch) -> None:
    assert [f"{search.block_of(number) or 0:x}" for number in range(1, len(ROWS) + 1)] == [
        *("1000", "0", "200000", "0", "1000", "201000"),
        *("80001000", "0", "1000", "400000", "0", "0"),
    ]


def test_the_next_call_of_a_block_is_about_the_same_address(search: CallSearch) -> None:
    assert search.next_of_block(1) == 5
    assert search.next_of_block(5) == 9
    assert search.next_of_block(9) is None
    assert search.next_of_block(2) is None


@pytest.mark.parametrize(
    ("address", "number"),
    [
        (0x1000, 1),
        (0x1017, 1),
        (0x1018, 9),
        (0x1020, None),
        (0x202FFF, 3),
        (0x203000, None),
        (0x8000100F, 7),
        (0x403FFF, 10),
        (0, None),
    ],
)
def test_the_first_call_with_a_block_at_an_address(
    search: CallSearch, address: int, number: int | None
) -> None:
    assert search.first_with_block_at(address) == number


def test_a_search_goes_round_the_end(search: CallSearch) -> None:
    assert search.next_of_function("FREE", 0) == 5
    assert search.next_of_function("free", 5) == 6
    assert search.next_of_function("kfree", 5) == 5
    assert search.next_of_function("kmalloc", 11) == 1
    assert search.next_of_function("nothing", 0) is None


def test_without_calls_there_is_nothing_to_find() -> None:
    search = CallSearch(CallTable((), PROFILE))
    assert search.first_with_block_at(0x1000) is None
    assert search.next_of_function("k", 0) is None


def test_what_cannot_be_memory_is_no_block(tmp_path: Path) -> None:
    builder = TraceBuilder(PROFILE).call("free_frame", 1 << 20).call("alloc_frames", 3, result=1 << 20)
    search = CallSearch(builder.trace(tmp_path / "a.kmt").calls)
    assert [search.block_of(number) for number in (1, 2)] == [None, None]
