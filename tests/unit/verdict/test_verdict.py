"""Which findings of a report count, and which of them are a reason to fail."""

from __future__ import annotations

import pytest

from emulator.check.findings import Kind
from emulator.verdict.baseline import baseline_of
from emulator.verdict.limits import ALL_AREAS, Limits
from emulator.verdict.verdict import WhichLeaks, judge, select
from tests.helpers.check_examples import CORRUPTION, DOUBLE_FREE, LEAK, report

EVERYTHING = frozenset(Kind)


@pytest.mark.parametrize(
    ("which", "kept"),
    [
        (WhichLeaks.LOST, (DOUBLE_FREE, LEAK)),
        (WhichLeaks.NONE, (DOUBLE_FREE,)),
        (WhichLeaks.ALL, (DOUBLE_FREE, LEAK, CORRUPTION)),
    ],
)
def test_leaks_count_as_somebody_wants_them(which: WhichLeaks, kept: tuple[object, ...]) -> None:
    checked = report(DOUBLE_FREE, LEAK, reachable=(CORRUPTION,))
    selected, ignored = select(checked, which, [])
    assert (selected.findings, ignored) == (kept, 0)


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("nobody", (DOUBLE_FREE, LEAK)),
        ("kma*", ()),  # the double free was called from it, the leak allocated
        ("serve", (DOUBLE_FREE, LEAK)),  # it freed the block first: that is no mistake
        ("start", ()),
        ("kmalloc", (DOUBLE_FREE, LEAK)),  # what was called is not in its own backtrace
    ],
)
def test_findings_below_a_function_are_ignored(pattern: str, left: tuple[object, ...]) -> None:
    selected, ignored = select(report(DOUBLE_FREE, LEAK), WhichLeaks.LOST, [pattern])
    assert (selected.findings, ignored) == (left, 2 - len(left))


def test_a_baseline_accepts_the_findings_that_it_knows() -> None:
    verdict = judge(report(DOUBLE_FREE, LEAK), EVERYTHING, Limits(), baseline_of(report(LEAK)))
    assert verdict.failures == (DOUBLE_FREE,)
    assert not verdict.is_clean
    assert judge(report(LEAK), EVERYTHING, Limits(), baseline_of(report(LEAK))).is_clean


def test_leaks_below_a_limit_are_accepted() -> None:
    verdict = judge(report(DOUBLE_FREE, LEAK), EVERYTHING, Limits(leaked={ALL_AREAS: 40}))
    assert verdict.failures == (DOUBLE_FREE,)
    assert judge(report(LEAK), EVERYTHING, Limits(leaked={ALL_AREAS: 39})).failures == (LEAK,)
