"""One kernel, compiled in many ways: each time the same calls are recorded as the kernel logs, or kmemu says what it does not know."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Final

import pytest

from tests.matrix import __main__ as whole
from tests.matrix.cells import COMPILERS, DEBUG, LEVELS, LTO, Cell, Stacks, build, sampled_cells
from tests.matrix.comparison import Comparison, Recorded, compare, compared
from tests.matrix.kernel import ALLOCATORS, ROW, LoggedCall, logged_calls, sources

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("cell", sampled_cells(), ids=str)
def test_what_is_recorded_is_what_the_kernel_logs(cell: Cell, tmp_path: Path) -> None:
    found = compare(build(cell, tmp_path, seed=1), tmp_path, stacks=cell.stacks)
    assert found.failures(cell) == []


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
    assert compared([LOGGED], [RECORDED]).right == 1
    without_inlined = RECORDED._replace(callers=("heap_3", "heap_0"))
    assert compared([LOGGED], [without_inlined]).right == 0
    assert compared([LOGGED], [without_inlined], stacks=Stacks.WITHOUT_INLINED).right == 1


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
    found = compared([LOGGED], [wrong])
    assert len(found.wrong) == 1
    assert found.not_recorded == {"six"}


def test_a_cell_fails_for_each_thing_that_is_not_as_it_has_to_be() -> None:
    cell = Cell("gcc", "-O0", "", "", "", "", "dwarf-5")
    good = Comparison([], set(), set(), right=678)
    assert good.failures(cell) == []
    assert good._replace(wrong=["a line"]).failures(cell) == ["a line"]
    missing = good._replace(not_recorded={"inlined", "part"})
    assert missing.failures(cell) == ["calls are missing: ['inlined', 'part']"]
    assert missing.failures(cell._replace(debug="none")) == []
    assert good._replace(unknown={"six.unused"}).failures(cell) == [
        "unknown, but there is enough to know it: ['six.unused']"
    ]
    assert good._replace(unknown={"six.unused"}).failures(cell._replace(level="-O1")) == []
    shifted = good._replace(unknown={"wide.size"})
    assert shifted.failures(cell) == ["unknown, but there is enough to know it: ['wide.size']"]
    assert shifted.failures(cell._replace(debug="none")) == []
    assert good._replace(right=3).failures(cell) == ["only 3 calls are right"]


def test_a_cell_that_cannot_be_built_is_reported_and_the_others_are_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [Cell(compiler, "-O1", "", "", "", "", "dwarf-5") for compiler in ("none-such", "gcc")]
    monkeypatch.setattr(whole, "all_cells", lambda: cells)
    assert whole.main(seed=1, jobs=1) == 1
    out = capsys.readouterr().out
    assert "1/2 none-such -O1 dwarf-5: FAILED\n" in out
    assert "2/2 gcc -O1 dwarf-5: " in out
    assert re.search(r"^none-such -O1 dwarf-5\n {4}FileNotFoundError: .*'none-such'$", out, re.MULTILINE)
    assert re.search(r"^2 cells, 1 failed; \d{3} calls are right; \d+\.\d\d hours of CPU$", out, re.MULTILINE)


def test_a_stack_may_end_early_only_where_nothing_says_how_to_go_on() -> None:
    short = RECORDED._replace(callers=("heap_3",))
    assert compared([LOGGED], [short]).right == 0
    assert compared([LOGGED], [short], stacks=Stacks.MAY_END_EARLY).right == 1
    other = RECORDED._replace(callers=("heap_0",))
    assert compared([LOGGED], [other], stacks=Stacks.MAY_END_EARLY).right == 0


def test_calls_that_allocators_make_follow_from_the_log() -> None:
    number = next(index for index, each in enumerate(ALLOCATORS) if each.name == "array")
    row = ROW.pack(number, 0x1000, 3, 8, 0, 0, 0, 0, 2, bytes((6, 9)))
    callers = ("pool_3", "pool_0")
    assert logged_calls(row) == [
        LoggedCall("array", (3, 8), 0x1000, callers),
        LoggedCall("kmalloc", (24, 1), 0x1000, callers),
        LoggedCall("heap_alloc", (24, 1, 5), 0x1000, callers),
    ]
