"""The numbers of a trace that a baseline or a limit can be about."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from emulator.check.check_report import AreaMeasures, CallerMeasures, Measures
from emulator.check.findings import CallSite
from emulator.trace.queries.overview import overview

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from emulator.trace.events import Call
    from emulator.trace.queries.overview import AreaOverview, FunctionCounts
    from emulator.trace.trace import Trace

UNKNOWN = "?"


def measure(trace: Trace, lost: Mapping[str, tuple[int, int]]) -> Measures:
    """Measure all areas of a trace.

    Args:
        trace: The trace.
        lost: By area: bytes and blocks that are lost at the end.
    """
    facts = overview(trace, 0)
    return Measures(
        {
            area.name: _area(
                trace,
                area,
                [each for each in facts.functions if each.area == area.name],
                lost.get(area.name, (0, 0)),
            )
            for area in facts.areas
        }
    )


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
        peak=_call_site(trace, area.peak_call),
        callers=_callers(trace, area.name),
    )


def _call_site(trace: Trace, call: Call | None) -> CallSite | None:
    if call is None:
        return None
    event = call.entered if call.left is None else call.left
    return CallSite(call.number, event, call.function, trace.frames(call.stack))


def _callers(trace: Trace, area: str) -> dict[str, CallerMeasures]:
    """Return what each function took, most bytes at the peak first."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for totals in trace.by_stack(area):
        frames = trace.frames(totals.stack)
        name = (frames[0].function or UNKNOWN) if frames else UNKNOWN
        for index, number in enumerate((totals.calls, totals.peak_bytes, totals.end_bytes)):
            sums[name][index] += number
    ordered = sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))
    return {name: CallerMeasures(*numbers) for name, numbers in ordered}
