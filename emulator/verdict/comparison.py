"""Compares the report of a check with a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.verdict.baseline import baseline_of, caller_numbers, numbers_of
from emulator.verdict.difference import Difference, Importance
from emulator.verdict.tolerances import Tolerance, parse_tolerance, tolerance_lookup
from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.check.check_report import CheckReport
    from emulator.check.measures import AreaMeasures, CallerMeasures
    from emulator.verdict.baseline import Baseline
    from emulator.verdict.tolerances import ToleranceOf


def compare(report: CheckReport, baseline: Baseline) -> list[Difference]:
    """Return how a check differs from a baseline, the most important first.

    A finding that the baseline has is accepted as often as the baseline has it; a new one is a regression. A number is a
    regression if it has grown by more than its tolerance; what has become less, or is gone, is none. An area that is gone is
    one: nothing watches it any more.
    """
    tolerance_of = tolerance_lookup({key: parse_tolerance(each) for key, each in baseline.tolerances.items()})
    now = baseline_of(report)
    found = [
        *_findings(now, baseline, tolerance_of),
        *_areas(report, now.areas, baseline.areas, tolerance_of),
    ]
    return sorted(found, key=lambda each: each.order)


def _findings(now: Baseline, before: Baseline, tolerance_of: ToleranceOf) -> Iterator[Difference]:
    for number, finding in now.findings.items():
        if number in before.findings:
            old = {"count": before.findings[number].count}
            yield from _numbers(f"findings.{number}", old, {"count": finding.count}, tolerance_of)
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
    now: Mapping[str, AreaMeasures],
    before: Mapping[str, AreaMeasures],
    tolerance_of: ToleranceOf,
) -> Iterator[Difference]:
    for name, area in now.items():
        if name not in before:
            peak = counted(area.peak_bytes, "byte", ",")
            yield Difference(Importance.AREA, name, f"area {name} is not in the baseline: {peak} at its peak")
            continue
        call_site = report.measures[name].peak
        for each in _numbers(name, numbers_of(before[name]), numbers_of(area), tolerance_of):
            is_peak = each.fails and each.key.endswith((".peak_bytes", ".fragmentation"))
            yield each._replace(call_site=call_site) if is_peak else each
        yield from _callers(f"{name}.callers", before[name].callers, area.callers, tolerance_of)
    for name in before:
        if name not in now:
            yield Difference(
                Importance.AREA, name, f"area {name} of the baseline is gone: nothing watches it"
            )


def _numbers(
    prefix: str, before: Mapping[str, float], now: Mapping[str, float], tolerance_of: ToleranceOf
) -> Iterator[Difference]:
    for name, new in now.items():
        old, key = before[name], f"{prefix}.{name}"
        tolerance = tolerance_of(key)
        growth = (new - old) / old if old else float("inf")
        text = f"{key}: {_number(old)} -> {_number(new)} ({_change(old, new)})"
        if new < old:
            yield Difference(Importance.LESS, key, text, -growth)
        elif not tolerance.allows(old, new):
            allowed = "" if tolerance == Tolerance() else f", allowed +{tolerance}"
            yield Difference(Importance.MORE, key, text[:-1] + allowed + ")", growth)


def _callers(
    prefix: str,
    before: Mapping[str, CallerMeasures],
    now: Mapping[str, CallerMeasures],
    tolerance_of: ToleranceOf,
) -> Iterator[Difference]:
    for name, caller in now.items():
        key = f"{prefix}.{name}"
        numbers = caller_numbers(caller)
        if name in before:
            yield from _numbers(key, caller_numbers(before[name]), numbers, tolerance_of)
        elif not all(tolerance_of(f"{key}.{each}").allows(0, value) for each, value in numbers.items()):
            text = f"new caller {key}: {_caller(caller)}"
            yield Difference(Importance.MORE, key, text, float("inf"))
    for name, caller in before.items():
        if name not in now:
            yield Difference(
                Importance.GONE, f"{prefix}.{name}", f"caller {prefix}.{name} is gone: {_caller(caller)}"
            )


def _caller(caller: CallerMeasures) -> str:
    calls = counted(caller.calls, "call", ",")
    peak, end = (counted(size, "byte", ",") for size in (caller.peak_bytes, caller.end_bytes))
    return f"{calls}, {peak} at the peak, {end} at the end"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _change(before: float, now: float) -> str:
    change = now - before
    text = f"{change:+,}" if isinstance(change, int) else f"{change:+.4g}"
    return f"{text}, {change / before:+.1%}" if before else text
