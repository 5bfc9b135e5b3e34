"""Measures what a kernel takes of each area: the numbers that a baseline or a limit can be about."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.call_sites import CallSites
from emulator.trace.queries.gaps import GapMeasure
from emulator.trace.queries.overview import function_counts, peak_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.check.findings import CallSite
    from emulator.trace.queries.overview import FunctionCounts
    from emulator.trace.trace import Trace

_UNKNOWN: Final = "?"


class CallerMeasures(NamedTuple):
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


class TracedMeasures(AreaMeasures):
    """The measures of an area of a trace. What takes long is worked out when it is asked for.

    Args:
        trace: The trace.
        name: Of the area.
        lost: Bytes and blocks that are lost at the end.
    """

    _trace: Trace
    _name: str

    def __init__(self, trace: Trace, name: str, lost: tuple[int, int]) -> None:
        peak, live = trace.peak(name), trace.live(None, name)
        values = {
            "_trace": trace,
            "_name": name,
            "peak_bytes": peak.bytes,
            "peak_blocks": peak.blocks,
            "end_bytes": int(live.size.sum(dtype=np.int64)),
            "end_blocks": len(live.born),
            "lost_bytes": lost[0],
            "lost_blocks": lost[1],
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)

    @cached_property
    def peak(self) -> CallSite | None:
        """The call that made the peak; None: there was never a block."""
        call = peak_call(self._trace, self._name)
        if call is None:
            return None
        return CallSites(self._trace).of(call, call.entered if call.left is None else call.left)

    @cached_property
    def calls(self) -> int:
        """Calls of the area's functions, all of them."""
        return sum(each.calls for each in self._counts)

    @cached_property
    def failed(self) -> int:
        """Those of them that returned an error, or no block."""
        return sum(each.failed for each in self._counts)

    @cached_property
    def _counts(self) -> list[FunctionCounts]:
        return [each for each in function_counts(self._trace) if each.area == self._name]

    @cached_property
    def fragmentation(self) -> float:
        """Share of the gaps, at the peak, that is not the largest gap: 0.0 to 1.0."""
        trace, name = self._trace, self._name
        measure = GapMeasure(trace.blocks(name), trace.profile.area(name))
        return measure.gaps(trace.live(trace.peak(name).event, name)).fragmentation

    @cached_property
    def callers(self) -> Mapping[str, CallerMeasures]:
        """By the name of the function that called; "?" where it is not known."""
        return _callers(self._trace, self._name)


def measure(trace: Trace, lost: Mapping[str, tuple[int, int]]) -> dict[str, AreaMeasures]:
    """Measure all areas of a trace; return them by name, in the profile's order.

    Args:
        trace: The trace.
        lost: By area: bytes and blocks that are lost at the end.
    """
    return {name: TracedMeasures(trace, name, lost.get(name, (0, 0))) for name in trace.areas}


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
