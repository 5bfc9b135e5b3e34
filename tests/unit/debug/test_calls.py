from __future__ import annotations

import numpy as np
import pytest

from emulator.debug.calls import CallColumns, Calls, no_calls
from emulator.profile.model import Result, Role, TracedFunction
from tests.helpers.timelines import timeline_of

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


@pytest.fixture
def calls() -> Calls:
    names = [function.name for function in FUNCTIONS]
    count = len(ROWS)
    words = {
        "entered": np.arange(1, 2 * count, 2, dtype=np.uint32),
        "left": np.array([0 if row[2] is None else 2 * n for n, row in enumerate(ROWS, 1)], np.uint32),
        "result": np.array([row[2] or 0 for row in ROWS], np.uint32),
        "out": np.array([row[3] for row in ROWS], np.uint32),
        **{name: np.zeros(count, np.uint32) for name in ("parent", "esp", "stack")},
    }
    arguments = tuple(np.array([(*row[1], 0)[index] for row in ROWS], np.uint32) for index in range(2))
    return Calls(
        CallColumns(
            depth=np.zeros(count, np.uint8),
            function=np.array([names.index(row[0]) for row in ROWS], np.uint8),
            time_ns=np.zeros(count, np.uint64),
            left_time_ns=np.zeros(count, np.uint64),
            arguments=arguments,
            **words,
        ),
        FUNCTIONS,
    )


def test_a_call_is_read_from_the_columns(calls: Calls) -> None:
    assert len(calls) == len(ROWS)
    assert calls[6][:7] == (7, 0, 0, "get_blk", (0x9000, 16), 13, 14)
    assert (calls[6].result, calls[6].out) == (0, 0x80001000)
    assert calls[0].out is None
    assert calls[-1] == calls[len(ROWS) - 1]
    assert calls[10][6:10] == (None, 0, None, None)
    assert [call.number for call in calls[2:4]] == [3, 4]
    with pytest.raises(IndexError, match=r"^call index 12 of 12 calls$"):
        calls[12]


def test_an_event_leads_to_its_call(calls: Calls) -> None:
    assert [calls.number_at(event) for event in (0, 1, 2, 3, 20, 21, 22, 24, 25)] == [
        0,
        1,
        1,
        2,
        10,
        11,
        0,
        12,
        0,
    ]
    assert calls.event_count == 24


def test_the_block_of_a_call_is_what_it_took_or_gives_back(calls: Calls) -> None:
    assert [f"{block:x}" for block in calls.blocks] == [
        *("1000", "0", "200000", "0", "1000", "201000"),
        *("80001000", "0", "1000", "400000", "0", "0"),
    ]


def test_the_next_call_of_a_block_is_about_the_same_address(calls: Calls) -> None:
    assert calls.next_of_block(1) == 5
    assert calls.next_of_block(5) == 9
    assert calls.next_of_block(9) is None
    assert calls.next_of_block(2) is None


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
def test_the_first_call_with_a_block_at_an_address(calls: Calls, address: int, number: int | None) -> None:
    assert calls.first_with_block_at(address) == number


def test_a_search_goes_round_the_end(calls: Calls) -> None:
    assert calls.next_of_function("FREE", 0) == 5
    assert calls.next_of_function("free", 5) == 6
    assert calls.next_of_function("kfree", 5) == 5
    assert calls.next_of_function("kmalloc", 11) == 1
    assert calls.next_of_function("nothing", 0) is None


def test_without_calls_there_is_nothing_to_find() -> None:
    calls = Calls(no_calls(), ())
    assert (len(calls), calls.event_count, calls.number_at(1)) == (0, 0, 0)
    assert calls.first_with_block_at(0x1000) is None
    assert calls.next_of_function("k", 0) is None


def test_chunks_of_a_long_recording_are_joined() -> None:
    timeline = timeline_of("stress", command_line="calls=100000")
    calls = timeline.calls
    assert len(calls) > 3 * 32768
    assert [calls[row].number for row in (0, 40000, len(calls) - 1)] == [1, 40001, len(calls)]
    left = calls.columns.left
    assert int((left == 0).sum()) == 0
    assert sorted([*left, *calls.columns.entered]) == list(range(1, 2 * len(calls) + 1))
