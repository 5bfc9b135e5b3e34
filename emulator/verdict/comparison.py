"""Compares the report of a check with a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.verdict.baseline import baseline_of
from emulator.verdict.difference import Difference, Importance
from emulator.verdict.tolerances import Tolerance, Tolerances, parse_tolerance
from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.check.check_report import CheckReport
    from emulator.verdict.baseline import AreaNumbers, Baseline


def compare(report: CheckReport, baseline: Baseline) -> list[Difference]:
    """Return how a check differs from a baseline, the most important first.

    A finding that the baseline has is accepted as often as the baseline has it; a new one is a regression. A number is a
    regression if it has grown by more than its tolerance; what has become less, or is gone, is none. An area that is gone is
    one: nothing watches it any more.
    """
    tolerances = Tolerances({key: parse_tolerance(value) for key, value in baseline.tolerances.items()})
    now = baseline_of(report)
    found = [*_findings(now, baseline, tolerances), *_areas(report, now.areas, baseline.areas, tolerances)]
    return sorted(found, key=lambda each: each.order)


def _findings(now: Baseline, before: Baseline, tolerances: Tolerances) -> Iterator[Difference]:
    for number, finding in now.findings.items():
        if number in before.findings:
            old = {"count": before.findings[number].count}
            yield from _numbers(f"findings.{number}", old, {"count": finding.count}, tolerances)
        else:
            yield Difference(
                Importance.FINDING, f"findings.{number}", f"new finding {number}: {finding.message}"
            )
    for number, finding in before.findings.items():
        if number not in now.findings:
            yield Difference(
                Importance.GONE, f"findings.{number}", f"finding {number} is gone: {finding.message}"
            )


def _areas(
    report: CheckReport,
    now: Mapping[str, AreaNumbers],
    before: Mapping[str, AreaNumbers],
    tolerances: Tolerances,
) -> Iterator[Difference]:
    for name, area in now.items():
        if name not in before:
            peak = counted(int(area.values["peak_bytes"]), "byte", ",")
            yield Difference(Importance.AREA, name, f"area {name} is not in the baseline: {peak} at its peak")
            continue
        call_site = report.measures[name].peak
        for each in _numbers(name, before[name].values, area.values, tolerances):
            is_peak = each.fails and each.key.endswith((".peak_bytes", ".fragmentation"))
            yield each._replace(call_site=call_site) if is_peak else each
        yield from _callers(f"{name}.callers", before[name].callers, area.callers, tolerances)
    for name in before:
        if name not in now:
            yield Difference(
                Importance.AREA, name, f"area {name} of the baseline is gone: nothing watches it"
            )


def _numbers(
    prefix: str, before: Mapping[str, float], now: Mapping[str, float], tolerances: Tolerances
) -> Iterator[Difference]:
    for name, new in now.items():
        old, key = before[name], f"{prefix}.{name}"
        tolerance = tolerances.of(key)
        growth = (new - old) / old if old else float("inf")
        text = f"{key}: {_number(old)} -> {_number(new)} ({_change(old, new)})"
        if new < old:
            yield Difference(Importance.LESS, key, text, -growth)
        elif not tolerance.allows(old, new):
            allowed = "" if tolerance == Tolerance() else f", allowed +{tolerance}"
            yield Difference(Importance.MORE, key, text[:-1] + allowed + ")", growth)


def _callers(
    prefix: str,
    before: Mapping[str, Mapping[str, int]],
    now: Mapping[str, Mapping[str, int]],
    tolerances: Tolerances,
) -> Iterator[Difference]:
    for name, numbers in now.items():
        key = f"{prefix}.{name}"
        if name in before:
            yield from _numbers(key, before[name], numbers, tolerances)
        elif not all(tolerances.of(f"{key}.{each}").allows(0, value) for each, value in numbers.items()):
            text = f"new caller {key}: {_caller(numbers)}"
            yield Difference(Importance.MORE, key, text, float("inf"))
    for name, numbers in before.items():
        if name not in now:
            yield Difference(
                Importance.GONE, f"{prefix}.{name}", f"caller {prefix}.{name} is gone: {_caller(numbers)}"
            )


def _caller(numbers: Mapping[str, int]) -> str:
    calls = counted(numbers["calls"], "call", ",")
    peak, end = (counted(numbers[key], "byte", ",") for key in ("peak_bytes", "end_bytes"))
    return f"{calls}, {peak} at the peak, {end} at the end"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _change(before: float, now: float) -> str:
    change = now - before
    text = f"{change:+,}" if isinstance(change, int) else f"{change:+.4g}"
    return f"{text}, {change / before:+.1%}" if before else text
