"""Make the document of the page: where the trace comes from, its totals, what went wrong."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from emulator.report.html.frames import clipped
from emulator.report.text.calls import argument_texts
from emulator.trace.queries.gaps import GapMeasure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.report.html.frames import FrameTables
    from emulator.trace.trace import Trace

PROBLEMS_MAX = 500
"""Failed allocations, and stray frees, that the page lists of one area."""
_COMMAND_MAX = 2000
_PATH_MAX = 500


def shown_areas(trace: Trace) -> list[str]:
    """Return the areas that the page is about: those whose functions were called, or all if none were."""
    called = {trace.functions[code].area for code in np.flatnonzero(trace.calls.counts)}
    return [area for area in trace.areas if area in called] or list(trace.areas)


def page_document(trace: Trace, areas: Sequence[str], tables: FrameTables) -> dict[str, object]:
    """Return the page's document: JSON values, each text of a length that can be shown.

    Args:
        trace: The trace.
        areas: Those of its areas that the page shows, in this order.
        tables: Its call stacks.
    """
    header = trace.header
    return {
        "kmemu": clipped(header.kmemu),
        "kernel": clipped(header.kernel, _PATH_MAX),
        "sha256": clipped(header.sha256),
        "command": clipped(shlex.join(["kmemu", *header.command_line]), _COMMAND_MAX),
        "layers": {clipped(name): clipped(mode) for name, mode in header.layers.items()},
        "complete": trace.complete,
        "ending": "" if trace.ending is None else clipped(trace.ending.how),
        "events": trace.event_count,
        "calls": len(trace),
        "areas": [_area(trace, area) for area in areas],
        "names": tables.names,
        "frames": tables.frames,
    }


def _area(trace: Trace, area: str) -> dict[str, object]:
    codes = [code for code, function in enumerate(trace.functions) if function.area == area]
    blocks, end = trace.blocks(area), trace.live(None, area)
    return {
        "name": clipped(area),
        "pages": trace.profile.pages(area),
        "calls": int(trace.calls.counts[codes].sum()),
        "allocated": int(blocks.size.sum(dtype=np.int64)),
        "peak": trace.peak(area)._asdict(),
        "taken": [column.tolist() for column in GapMeasure(blocks, trace.profile.area(area)).taken],
        "end_live": {"bytes": int(end.size.sum(dtype=np.int64)), "blocks": len(end.size)},
        "failed": _problems(trace, trace.failed(area).tolist()),
        "stray": _problems(trace, trace.stray_frees(area).tolist()),
    }


def _problems(trace: Trace, numbers: Sequence[int]) -> dict[str, object]:
    return {
        "count": len(numbers),
        "calls": [_problem(trace, number) for number in numbers[:PROBLEMS_MAX]],
    }


def _problem(trace: Trace, number: int) -> dict[str, object]:
    call = trace[number]
    function = trace.functions[trace.calls.function[number - 1]]
    return {
        "call": call.number,
        "event": call.entered,
        "text": clipped(f"{function.name}({', '.join(argument_texts(function, call.arguments, None))})"),
        "stack": call.stack,
    }
