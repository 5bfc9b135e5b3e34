"""Limits: what is above them, and where it became so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from emulator.check.findings import Kind
from emulator.errors import UnknownName
from emulator.verdict.baseline import baseline_of
from emulator.verdict.limits import Limits
from emulator.verdict.verdict import Verdict, judge
from tests.helpers.check_examples import DOUBLE_FREE, HEAP, LEAK, report, with_heap

MEASURES = report().measures
if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.check.measures import AreaMeasures

ALL = frozenset(Kind)
WHERE = ", reached at event 2 in call #1 of kmalloc from kmain+0x42 demo.c:31"


def texts(limits: Limits, measures: Mapping[str, AreaMeasures] = MEASURES) -> list[str]:
    return [each.text for each in limits.violations(measures)]


def test_a_limit_itself_is_allowed() -> None:
    assert texts(Limits({"heap": 4096}, {"": 40, "heap": 40}, {"heap": 0.25})) == []


def test_what_is_above_is_named_with_numbers_and_call_site() -> None:
    assert texts(Limits({"heap": 4095}, {"": 39}, {"heap": 0.2})) == [
        "heap.fragmentation: 0.25 at the peak, limit 0.2" + WHERE,
        "lost_bytes: 40 bytes in 1 block lost at the end, limit 39",
        "heap.peak_bytes: 4,096 bytes at the peak, limit 4,095" + WHERE,
    ]


def test_a_peak_whose_caller_is_not_known() -> None:
    assert HEAP.peak
    areas = {"heap": replace(HEAP, peak=HEAP.peak._replace(backtrace=()))}
    assert texts(Limits({"heap": 0}), areas) == [
        "heap.peak_bytes: 4,096 bytes at the peak, limit 0, reached at event 2 in call #1 of kmalloc"
    ]


def test_a_lost_block_of_unknown_size_is_lost() -> None:
    lost = with_heap(report(), lost_bytes=0, lost_blocks=2).measures
    expected = ["heap.lost_bytes: 0 bytes in 2 blocks lost at the end, limit 0"]
    assert texts(Limits(leaked={"heap": 0}), lost) == expected


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits({"slab": 1}), "--max-heap: no area 'slab'; there are: heap, frames"),
        (Limits(leaked={"slab": 1}), "--max-leaked: no area 'slab'; there are: heap, frames"),
        (Limits(fragmentation={"": 1}), "--max-fragmentation: no area ''; there are: heap, frames"),
    ],
)
def test_a_limit_for_nothing_is_an_error(limits: Limits, message: str) -> None:
    with pytest.raises(UnknownName) as caught:
        limits.violations(MEASURES)
    assert str(caught.value) == message


def verdict(limits: Limits) -> Verdict:
    return judge(report(LEAK), ALL, limits)


def test_leaks_below_their_limit_are_accepted() -> None:
    assert verdict(Limits(leaked={"": 40})).is_clean
    assert verdict(Limits(leaked={"heap": 64})).is_clean


@pytest.mark.parametrize(
    "limits", [Limits(), Limits(leaked={"": 39}), Limits(leaked={"frames": 64}), Limits({"heap": 9999})]
)
def test_other_leaks_are_not(limits: Limits) -> None:
    assert verdict(limits).failures == (LEAK,)


def test_other_findings_are_not_accepted_with_leaks() -> None:
    assert judge(report(LEAK, DOUBLE_FREE), ALL, Limits(leaked={"": 40})).failures == (DOUBLE_FREE,)


def test_a_finding_alone_is_not_clean() -> None:
    assert not judge(report(LEAK), ALL, Limits()).is_clean
    assert judge(report(), ALL, Limits()).is_clean


def test_a_verdict_with_a_baseline() -> None:
    baseline = baseline_of(report(LEAK))
    assert judge(report(LEAK), ALL, Limits(), baseline).is_clean
    worse = judge(report(LEAK, DOUBLE_FREE), ALL, Limits(), baseline)
    assert (worse.failures, len(worse.differences), worse.is_clean) == ((DOUBLE_FREE,), 1, False)
    assert not judge(with_heap(report(LEAK), calls=11), ALL, Limits(), baseline).is_clean
    assert judge(with_heap(report(LEAK), calls=9), ALL, Limits(), baseline).is_clean
    both = judge(with_heap(report(LEAK), calls=11), ALL, Limits({"heap": 9}), baseline)
    assert [each.key for each in both.differences] == ["heap.peak_bytes", "heap.calls"]
