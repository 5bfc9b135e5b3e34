"""Columns in few bytes are what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.trace.blocks.flat_areas import flat_histories
from emulator.trace.kept_columns import Keeper
from emulator.trace.table import CallTable
from tests.helpers.traces import PROFILE, TraceBuilder

if TYPE_CHECKING:
    from emulator.trace.table import Column

COLUMNS: dict[str, tuple[str, Column, int]] = {
    "all the same": ("stack", np.array([7] * 9, np.uint32), 0),
    "close to each other": ("esp", np.array([0x9000, 0x9010, 0x90FF], np.uint32), 1),
    "a byte is not enough": ("esp", np.array([0x9000, 0x9010, 0x9100], np.uint32), 2),
    "half a word is not enough": ("result", np.array([0, 0x10000], np.uint32), 4),
    "anywhere": ("result", np.array([0xFFFF_FFFF, 0], np.uint32), 4),
    "signed": ("function", np.array([-1, 3, 126], np.int8), 1),
    "flags": ("returned", np.array([True, False], np.bool_), 1),
    "flags that are set": ("returned", np.array([True, True], np.bool_), 0),
    "calls that return at once": ("entered", np.array([5, 7, 9, 11], np.uint32), 0),
    "calls with some inside": ("left", np.array([8, 7, 10, 12], np.uint32), 1),
    "one that goes on": ("left", np.array([8, 0, 10, 12], np.uint32), 4),
    "time that goes on evenly": ("time_ns", np.array([1 << 40, (1 << 40) + 9, (1 << 40) + 18], np.uint64), 0),
    "time that goes on": ("time_ns", np.array([1 << 40, (1 << 40) + 9, (1 << 40) + 300], np.uint64), 2),
    "time that goes back": ("left_time_ns", np.array([1 << 40, (1 << 40) - 90, 1 << 40], np.uint64), 1),
    "time that stands": ("left_time_ns", np.array([1 << 40, 0, 1 << 40], np.uint64), 8),
    "time that leaps": ("time_ns", np.array([1, 1 << 20, 5 << 20], np.uint64), 4),
    "one moment": ("time_ns", np.array([1 << 40], np.uint64), 0),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_come_back_from_few_bytes(case: str) -> None:
    name, column, size = COLUMNS[case]
    kept = Keeper().keep({name: column})
    above = kept.kept(name).above
    assert (0 if above.strides == (0,) else above.itemsize) == size
    for rows in range(1, len(column) + 1):
        found = kept.first(rows)[name]
        assert found.dtype == column.dtype
        assert found.tolist() == column[:rows].tolist()
    assert kept.first(0)[name].tolist() == []


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_columns_come_back(data: st.DataObject) -> None:
    """Of more rows than are looked at at once; the odd value may be anywhere."""
    rows, seed = data.draw(st.integers(1, 1200)), data.draw(st.integers(0, 1 << 30))
    names = data.draw(
        st.lists(st.sampled_from(["stack", "left", "time_ns", "returned"]), min_size=1, unique=True)
    )
    random = np.random.default_rng(seed)
    kinds: dict[str, type[np.unsignedinteger]] = {"time_ns": np.uint64, "returned": np.uint8}
    columns = {}
    for name in names:
        kind = kinds.get(name, np.uint32)
        largest = np.iinfo(kind).max
        start, step = data.draw(st.integers(0, largest)), data.draw(st.sampled_from([0, 1, 2, 300]))
        span = data.draw(st.sampled_from([1, 2, 256, 257, 1 << 16, (1 << 16) + 1, 1 << 32, 1 << 63]))
        column = random.integers(0, min(span, largest), rows, np.uint64) + np.uint64(start)
        column += np.arange(rows, dtype=np.uint64) * np.uint64(step)
        if data.draw(st.booleans()):
            column[data.draw(st.integers(0, rows - 1))] = data.draw(st.integers(0, largest))
        columns[name] = column.astype(kind)
    kept = Keeper().keep(columns)
    for name, column in columns.items():
        assert kept[name].tolist() == column.tolist()
        assert kept.kept(name).above.itemsize <= column.itemsize


@pytest.mark.parametrize("case", COLUMNS)
def test_values_that_are_put_are_there(case: str) -> None:
    name, column, _ = COLUMNS[case]
    kept = Keeper().keep({name: column})
    kept.put(name, [0], 0)
    assert kept[name].tolist() == [0, *column[1:].tolist()]


def test_calls_that_go_on_take_no_more_bytes() -> None:
    """Nor do they when they have returned; what was cut off before does not change."""
    entered = np.arange(1, 401, 2, dtype=np.uint32)
    time = np.arange(1 << 40, (1 << 40) + 1800, 9, dtype=np.uint64)
    columns: dict[str, Column] = {
        "entered": entered,
        "left": entered + 1,
        "time_ns": time,
        "left_time_ns": time + np.uint64(4),
    }
    for name, rows in (("left", [0, 7, 199]), ("left_time_ns", [0, 7, 199])):
        columns[name][rows] = 0
    kept = Keeper().keep(columns)
    before = kept.first(8)
    assert [kept.kept(name).above.strides for name in columns] == [(0,), (0,), (0,), (1,)]
    for rows, value in (([7, 199], 900), ([199, 3], 901)):
        kept.put("left", rows, value)
        columns["left"][rows] = value
    for name, column in columns.items():
        assert kept[name].dtype == column.dtype
        assert kept[name].tolist() == column.tolist()
        assert kept.first(7)[name].tolist() == column[:7].tolist()
    assert before["left"].tolist() == [0, 4, 6, 8, 10, 12, 14, 0]


def test_a_keeper_goes_on_to_more_rows() -> None:
    keeper = Keeper()
    few, many = np.array([2, 9], np.uint64), np.arange(0, 900, 9, dtype=np.uint64)
    kept = [keeper.keep({"time_ns": column}) for column in (few, many, few)]
    assert [each["time_ns"].tolist() for each in kept] == [each.tolist() for each in (few, many, few)]


def test_lives_of_blocks_are_read_from_few_bytes() -> None:
    """From more calls than are read at once, with columns of all widths."""
    builder = TraceBuilder(PROFILE)
    for number in range(700):
        address = 0x100000 + 0x1000 * (number % 300)
        builder.call("kmalloc", 8 + number % 5, result=address).call("kfree", address)
    builder.enter("kmalloc", 8)
    chunks = [chunk for chunk, _ in builder.chunks(1000)]
    kept = [chunk._replace(columns=Keeper().keep(chunk.columns)) for chunk in chunks]
    found, expected = (flat_histories(CallTable(each, PROFILE)) for each in (kept, chunks))
    assert [column.tolist() for column in found.blocks["heap"]] == [
        column.tolist() for column in expected.blocks["heap"]
    ]
    assert len(found.blocks["heap"].born) == 700
    assert not len(found.facts["heap"].failed)  # the last call goes on
