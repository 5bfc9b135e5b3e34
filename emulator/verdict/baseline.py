"""What a kernel's memory looked like when it was good: the numbers and the findings that are accepted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from emulator.verdict.tolerances import AREA_KEYS, CALLER_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.check.check_report import CheckReport
    from emulator.check.findings import Finding
    from emulator.check.measures import AreaMeasures

VERSION: Final = 1
"""Of the file's format; it changes when a key changes its meaning or goes away."""
FIRST_TOLERANCES: Final[Mapping[str, str | int | float]] = {"*": "0"}
"""What a new baseline says."""
FRAGMENTATION_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class AreaNumbers:
    """The numbers of an area.

    Attributes:
        values: By `AREA_KEYS`.
        callers: By the caller's name the numbers by `CALLER_KEYS`.
    """

    values: Mapping[str, float]
    callers: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """A finding that is accepted.

    Attributes:
        kind: The value of its `Kind`.
        area: Where.
        message: Of the first one, as it was when the baseline was made.
        count: How many there were: those that have the same call stacks have one id.
    """

    kind: str
    area: str
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline.

    Attributes:
        areas: By name.
        findings: By id.
        tolerances: As they stand in the file.
    """

    areas: Mapping[str, AreaNumbers]
    findings: Mapping[str, KnownFinding]
    tolerances: Mapping[str, str | int | float]


def baseline_of(
    report: CheckReport, tolerances: Mapping[str, str | int | float] = FIRST_TOLERANCES
) -> Baseline:
    """Make a baseline that a run is like."""
    return Baseline(
        {name: _numbers(area) for name, area in report.measures.areas.items()},
        _known(report.findings),
        dict(tolerances),
    )


def _known(findings: Sequence[Finding]) -> dict[str, KnownFinding]:
    counts = Counter(each.id for each in findings)
    return {
        each.id: KnownFinding(each.kind.value, each.area, each.message, counts[each.id])
        for each in reversed(findings)
    }


def _numbers(area: AreaMeasures) -> AreaNumbers:
    values = {key: getattr(area, key) for key in AREA_KEYS}
    values["fragmentation"] = round(area.fragmentation, FRAGMENTATION_DIGITS)
    callers = {
        name: {key: getattr(caller, key) for key in CALLER_KEYS} for name, caller in area.callers.items()
    }
    return AreaNumbers(values, callers)


def baseline_text(baseline: Baseline) -> str:
    """Return the text of a baseline's file: the same for the same run, whatever the order of things in it."""
    document: dict[str, Any] = {
        "version": VERSION,
        "tolerances": dict(baseline.tolerances),
        "areas": {
            name: {**area.values, "callers": dict(sorted(area.callers.items()))}
            for name, area in sorted(baseline.areas.items())
        },
        "findings": {
            number: {"kind": known.kind, "area": known.area, "message": known.message, "count": known.count}
            for number, known in sorted(baseline.findings.items())
        },
    }
    return json.dumps(document, indent=2) + "\n"
