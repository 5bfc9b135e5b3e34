"""Baselines: the numbers of a good run, and the findings that are accepted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emulator.verdict.tolerances import AREA_KEYS, CALLER_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.check.check_report import CheckReport
    from emulator.check.findings import Finding
    from emulator.check.measures import AreaMeasures, CallerMeasures

FIRST_TOLERANCES: Final[Mapping[str, str | int | float]] = {"*": "0"}
"""The tolerances of a new baseline."""
FRAGMENTATION_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """A finding that is accepted.

    Attributes:
        kind: The value of its `Kind`.
        area: The area that it concerns.
        message: The message of the first one, as it was when the baseline was made.
        count: How many there were: those with the same backtraces have one id.
    """

    kind: str
    area: str
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a run is compared with.

    Attributes:
        areas: The measures of each area, by name; of them `numbers_of` and the callers count.
        findings: The accepted findings, by id.
        tolerances: By key or pattern, as they stand in the file.
    """

    areas: Mapping[str, AreaMeasures]
    findings: Mapping[str, KnownFinding]
    tolerances: Mapping[str, str | int | float]


def baseline_of(
    report: CheckReport, tolerances: Mapping[str, str | int | float] = FIRST_TOLERANCES
) -> Baseline:
    """Make the baseline that a run meets exactly."""
    return Baseline(
        {name: _kept(area) for name, area in report.measures.items()},
        _known(report.findings),
        dict(tolerances),
    )


def _known(findings: Sequence[Finding]) -> dict[str, KnownFinding]:
    counts = Counter(each.id for each in findings)
    return {
        each.id: KnownFinding(each.kind.value, each.area, each.message, counts[each.id])
        for each in reversed(findings)
    }


def _kept(area: AreaMeasures) -> AreaMeasures:
    """Return what a baseline keeps of an area."""
    from emulator.check.measures import AreaMeasures  # has numpy

    fragmentation = round(area.fragmentation, FRAGMENTATION_DIGITS)
    taken = (area.peak_bytes, area.end_bytes, area.end_blocks)
    return AreaMeasures(*taken, area.calls, area.failed, fragmentation, area.callers)


def numbers_of(area: AreaMeasures) -> dict[str, float]:
    """Return the numbers of an area that a baseline is about, by the keys of `AREA_KEYS`."""
    return {key: getattr(area, key) for key in AREA_KEYS}


def caller_numbers(caller: CallerMeasures) -> dict[str, int]:
    """Return the numbers of a caller that a baseline is about, by the keys of `CALLER_KEYS`."""
    return {key: getattr(caller, key) for key in CALLER_KEYS}
