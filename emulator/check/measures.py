"""Measures what a kernel takes of each area: the numbers that a baseline or a limit can be about."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emulator.check.call_sites import CallSites
from emulator.trace.queries.overview import overview

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from emulator.check.findings import CallSite
    from emulator.trace.queries.overview import AreaOverview, FunctionCounts
    from emulator.trace.table import Call
    from emulator.trace.trace import Trace

_UNKNOWN: Final = "?"


@dataclass(frozen=True, slots=True)
class CallerMeasures:
    """What one function took of an area.

    Attributes:
        calls: Its calls that allocated a block.
        peak_bytes: Bytes of its blocks that were live at the peak of the area.
        end_bytes: Bytes of its blocks that are live at the end.
    """

    calls: int
    peak_bytes: int
    end_bytes: int


@dataclass(frozen=True, slots=True)
class AreaMeasures:
    """What was taken of an area.

    Attributes:
        peak_bytes: The most bytes that were live at a time.
        end_bytes: Bytes that are live at the end.
        end_blocks: Blocks that are live at the end.
        calls: Calls of the area's functions, all of them.
        failed: Those of them that returned an error, or no block.
        fragmentation: Share of the gaps, at the peak, that is not the largest gap: 0.0 to 1.0.
        callers: By the name of the function that called; "?" where it is not known.
        peak_blocks: Blocks that were live at the peak. A baseline keeps neither this nor what follows.
        lost_bytes: Bytes that are live at the end though nothing points to them any more.
        lost_blocks: Blocks of which that is true.
        peak: The call that made the peak; None: there was never a block.
    """

    peak_bytes: int
    end_bytes: int
    end_blocks: int
    calls: int
    failed: int
    fragmentation: float
    callers: Mapping[str, CallerMeasures]
    peak_blocks: int = 0
    lost_bytes: int = 0
    lost_blocks: int = 0
    peak: CallSite | None = None


def measure(trace: Trace, lost: Mapping[str, tuple[int, int]]) -> dict[str, AreaMeasures]:
    """Measure all areas of a trace; return them by name, in the profile's order.

    Args:
        trace: The trace.
        lost: By area: bytes and blocks that are lost at the end.
    """
    facts = overview(trace, 0)
    return {
        area.name: _area(
            trace,
            area,
            [each for each in facts.functions if each.area == area.name],
            lost.get(area.name, (0, 0)),
        )
        for area in facts.areas
    }


def _area(
    trace: Trace, area: AreaOverview, functions: Iterable[FunctionCounts], lost: tuple[int, int]
) -> AreaMeasures:
    counts = list(functions)
    return AreaMeasures(
        peak_bytes=area.peak.bytes,
        peak_blocks=area.peak.blocks,
        end_bytes=area.end[0],
        end_blocks=area.end[1],
        calls=sum(each.calls for each in counts),
        failed=sum(each.failed for each in counts),
        lost_bytes=lost[0],
        lost_blocks=lost[1],
        fragmentation=area.peak_gaps.fragmentation,
        peak=_peak(CallSites(trace), area.peak_call),
        callers=_callers(trace, area.name),
    )


def _peak(call_sites: CallSites, call: Call | None) -> CallSite | None:
    if call is None:
        return None
    return call_sites.entry(call.number) if call.left is None else call_sites.exit(call.number)


def _callers(trace: Trace, area: str) -> dict[str, CallerMeasures]:
    """Return what each function took, most bytes at the peak first."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for totals in trace.by_stack(area):
        frames = trace.frames(totals.stack)
        name = (frames[0].function or _UNKNOWN) if frames else _UNKNOWN
        for index, number in enumerate((totals.calls, totals.peak_bytes, totals.end_bytes)):
            sums[name][index] += number
    ordered = sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))
    return {name: CallerMeasures(*numbers) for name, numbers in ordered}
