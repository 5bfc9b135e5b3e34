"""Checks compared with baselines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from emulator.check.measures import CallerMeasures
from emulator.verdict.baseline import baseline_of
from emulator.verdict.comparison import compare
from tests.helpers.check_examples import (
    DOUBLE_FREE,
    FRAMES,
    HEAP,
    HOSTILE_FINDING,
    LEAK,
    report,
    with_heap,
)

if TYPE_CHECKING:
    from emulator.check.check_report import CheckReport

GOOD = report(LEAK)
BASELINE = baseline_of(GOOD)


def texts(now: CheckReport, **tolerances: str | float) -> list[str]:
    keys = {key.replace("__", "."): value for key, value in tolerances.items()}
    return [
        f"{'-' if each.fails else '+'} {each.text}"
        for each in compare(now, replace(BASELINE, tolerances=keys))
    ]


def test_the_same_run_is_no_difference() -> None:
    assert texts(GOOD) == []


def test_an_accepted_finding_may_change_its_message() -> None:
    assert texts(report(replace(LEAK, message="leak of another address"))) == []


def test_more_findings_of_an_accepted_id_are_a_regression() -> None:
    key = f"findings.{LEAK.id}.count"
    assert texts(report(LEAK, LEAK, LEAK)) == [f"- {key}: 1 -> 3 (+2, +200.0%)"]
    assert texts(report(LEAK, LEAK), **{key: 1}) == []
    assert [each.text for each in compare(GOOD, baseline_of(report(LEAK, LEAK)))] == [
        f"{key}: 2 -> 1 (-1, -50.0%)"
    ]


def test_a_new_finding_is_a_regression_and_one_that_is_gone_is_not() -> None:
    assert texts(report(DOUBLE_FREE)) == [
        f"- new finding {DOUBLE_FREE.id}: double free of 0x00200008 (24 bytes)",
        f"+ finding {LEAK.id} is gone: leak of 0x00200108 (40 bytes)",
    ]


def test_what_has_grown_is_a_regression_and_what_has_shrunk_is_not() -> None:
    now = with_heap(GOOD, peak_bytes=4301, calls=9, fragmentation=0.5)
    assert texts(now) == [
        "- heap.fragmentation: 0.25 -> 0.5 (+0.25, +100.0%)",
        "- heap.peak_bytes: 4,096 -> 4,301 (+205, +5.0%)",
        "+ heap.calls: 10 -> 9 (-1, -10.0%)",
    ]


def test_growth_from_nothing_has_no_percentage_and_comes_first() -> None:
    now = with_heap(GOOD, peak_bytes=9999)
    areas = {**now.measures, "frames": replace(FRAMES, peak_bytes=4096)}
    assert texts(now._replace(measures=areas)) == [
        "- frames.peak_bytes: 0 -> 4,096 (+4,096)",
        "- heap.peak_bytes: 4,096 -> 9,999 (+5,903, +144.1%)",
    ]


@pytest.mark.parametrize(
    ("tolerance", "most"),
    [("0", 4096), (0, 4096), (10, 4106), ("10", 4106), ("5%", 4300), ("12.5%", 4608), (0.5, 4096)],
)
def test_a_tolerance_allows_so_much_and_no_more(tolerance: str | float, most: int) -> None:
    assert texts(with_heap(GOOD, peak_bytes=most), heap__peak_bytes=tolerance) == []
    assert len(texts(with_heap(GOOD, peak_bytes=most + 1), heap__peak_bytes=tolerance)) == 1


def test_a_tolerance_that_was_not_enough_is_named() -> None:
    assert texts(with_heap(GOOD, peak_bytes=9000), heap__peak_bytes="5%") == [
        "- heap.peak_bytes: 4,096 -> 9,000 (+4,904, +119.7%, allowed +5%)"
    ]
    assert texts(with_heap(GOOD, peak_bytes=9000), heap__peak_bytes=1000) == [
        "- heap.peak_bytes: 4,096 -> 9,000 (+4,904, +119.7%, allowed +1,000)"
    ]


def test_the_key_that_says_most_counts() -> None:
    now = with_heap(GOOD, peak_bytes=4097)
    strict: dict[str, str | float] = {"*": "100%", "heap.*": "0"}
    exact: dict[str, str | float] = {**strict, "heap.peak_bytes": 1}
    assert len(compare(now, replace(BASELINE, tolerances=strict))) == 1
    assert compare(now, replace(BASELINE, tolerances=exact)) == []


def test_the_peak_says_where_it_was_reached() -> None:
    [difference] = compare(with_heap(GOOD, peak_bytes=5000), BASELINE)
    assert difference.call_site == HEAP.peak


def test_a_peak_that_has_shrunk_was_not_reached_anywhere() -> None:
    [difference] = compare(with_heap(GOOD, peak_bytes=4000), BASELINE)
    assert difference.call_site is None


def test_what_has_shrunk_most_comes_first() -> None:
    now = with_heap(GOOD, calls=9, end_bytes=8)
    assert [each.key for each in compare(now, BASELINE)] == ["heap.end_bytes", "heap.calls"]


def test_callers_come_grow_and_go() -> None:
    callers = {"kmain": CallerMeasures(8, 4000, 40), "load": CallerMeasures(1, 10, 1)}
    now = with_heap(GOOD, callers=callers)
    assert texts(now) == [
        "- new caller heap.callers.load: 1 call, 10 bytes at the peak, 1 byte at the end",
        "- heap.callers.kmain.calls: 7 -> 8 (+1, +14.3%)",
        "+ caller heap.callers.serve.part.0 is gone: 3 calls, 96 bytes at the peak, 24 bytes at the end",
    ]
    assert len(texts(now, **{"heap.callers.*": 10})) == 1


def test_areas_that_come_and_go_are_regressions() -> None:
    assert texts(GOOD._replace(measures={"heap": HEAP, "slab": HEAP})) == [
        "- area frames of the baseline is gone: nothing watches it",
        "- area slab is not in the baseline: 4,096 bytes at its peak",
    ]


def test_a_finding_with_any_name_can_be_compared() -> None:
    [first, second] = compare(report(HOSTILE_FINDING), BASELINE)
    assert (first.fails, second.fails) == (True, False)
