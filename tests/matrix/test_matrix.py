"""One kernel, compiled in many ways: each time the same calls are recorded as the kernel logs, or kmemu says what it does not know."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

import pytest

from tests.matrix.cells import COMPILERS, DEBUG, LEVELS, LTO, Cell, Stacks, build, sampled_cells
from tests.matrix.comparison import Recorded, compare, compared
from tests.matrix.kernel import ALLOCATORS, ROW, LoggedCall, logged_calls, sources

if TYPE_CHECKING:
    from pathlib import Path

REMOVED: Final = {"from.request", "six.unused", "idle.zone", "idle.unused"}
"""What compilers replace or leave out where they optimize."""

UNREAD: Final = {"six.unused", "idle.zone", "idle.unused"}
IN_REGISTERS: Final = {"in_registers.size", "in_registers.flags", "fast.size", "fast.flags", "fast.third"}
EVERYTHING: Final = {f"{each.name}.{parameter}" for each in ALLOCATORS for parameter in each.parameters}


def may_be_unknown(cell: Cell) -> set[str]:
    is_lost = cell.debug == "split" and cell.lto  # the compilers leave nothing that could be read
    if cell.debug != "none" and not is_lost:
        return set() if cell.level == "-O0" and not cell.lto else REMOVED
    if cell.level == "-O0" and not cell.convention and not cell.lto:
        return UNREAD | IN_REGISTERS
    return EVERYTHING | {"take.size"}  # of which file is not known


@pytest.mark.parametrize("cell", sampled_cells(), ids=str)
def test_what_is_recorded_is_what_the_kernel_logs(cell: Cell, tmp_path: Path) -> None:
    found = compare(build(cell, tmp_path, seed=1), tmp_path, stacks=cell.stacks)
    assert found.wrong == []
    assert found.not_recorded == {"inlined"}  # there is no such function in any of them
    assert found.unknown <= may_be_unknown(cell)
    assert found.right > 600


def test_the_sample_has_each_pair_of_options() -> None:
    sample = sampled_cells()
    assert {(cell.compiler, cell.debug) for cell in sample} == set(product(COMPILERS, DEBUG))
    assert {(cell.lto, cell.level) for cell in sample} == set(product(LTO, LEVELS))
    assert len(sample) < 40


def test_every_allocator_is_called() -> None:
    text = sources(1)["heap.c"] + sources(1)["pool.c"]
    assert all(f"note({number}, " in text for number in range(len(ALLOCATORS)))


LOGGED: Final = LoggedCall("six", (1, 2, 3, 4, 5, 6), 0x1000, ("heap_3", "heap_2", "heap_0"))
RECORDED: Final = Recorded("six", (1, 2, None, 4, 5, 6), 0x1000, ("heap_3", "heap_2", "heap_0"))


def test_what_is_known_is_compared() -> None:
    assert compared([LOGGED], [RECORDED], set()).right == 1
    without_inlined = RECORDED._replace(callers=("heap_3", "heap_0"))
    assert compared([LOGGED], [without_inlined], set()).right == 0
    assert compared([LOGGED], [without_inlined], set(), stacks=Stacks.WITHOUT_INLINED).right == 1


@pytest.mark.parametrize(
    "wrong",
    [
        RECORDED._replace(arguments=(1, 2, None, 4, 5, 7)),
        RECORDED._replace(result=0x1004),
        RECORDED._replace(callers=("heap_0",)),
        RECORDED._replace(callers=("heap_3", "heap_1", "heap_0")),
        RECORDED._replace(function="wide", arguments=(1, 2)),
    ],
)
def test_what_was_not_so_is_noticed(wrong: Recorded) -> None:
    found = compared([LOGGED], [wrong], set())
    assert len(found.wrong) == 1
    assert found.not_recorded == {"six"}


def test_a_stack_may_end_early_only_where_nothing_says_how_to_go_on() -> None:
    short = RECORDED._replace(callers=("heap_3",))
    assert compared([LOGGED], [short], set()).right == 0
    assert compared([LOGGED], [short], set(), stacks=Stacks.MAY_END_EARLY).right == 1
    other = RECORDED._replace(callers=("heap_0",))
    assert compared([LOGGED], [other], set(), stacks=Stacks.MAY_END_EARLY).right == 0


def test_calls_that_allocators_make_follow_from_the_log() -> None:
    number = next(index for index, each in enumerate(ALLOCATORS) if each.name == "array")
    row = ROW.pack(number, 0x1000, 3, 8, 0, 0, 0, 0, 2, bytes((6, 9)))
    callers = ("pool_3", "pool_0")
    assert logged_calls(row) == [
        LoggedCall("array", (3, 8), 0x1000, callers),
        LoggedCall("kmalloc", (24, 1), 0x1000, callers),
        LoggedCall("heap_alloc", (24, 1, 5), 0x1000, callers),
    ]
