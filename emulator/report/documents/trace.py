"""Write traces as JSON: single calls, the summary (`docs/trace_summary.md`), the comparison of two (`docs/diff.md`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.profile.functions import Result
from emulator.report.documents.lacks import lack_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from emulator.guest.executed import ExecutedInstruction
    from emulator.guest.symbolizer import Frame
    from emulator.profile.functions import TracedFunction
    from emulator.trace.queries.difference import Growth, TraceDifference
    from emulator.trace.queries.gaps import Gaps
    from emulator.trace.queries.overview import AreaOverview, Overview
    from emulator.trace.queries.totals import StackTotals
    from emulator.trace.table import Call
    from emulator.trace.trace import Trace


_SUMMARY_VERSION: Final = 1
_DIFFERENCE_VERSION: Final = 1


def stack_document(frames: Iterable[Frame]) -> list[dict[str, Any]]:
    """Return the frames of a backtrace, as they stand in every document."""
    return [frame._asdict() for frame in frames]


def call_document(
    call: Call, functions: Mapping[str, TracedFunction], frames: Sequence[Frame]
) -> dict[str, Any]:
    """Return a call; numbers are unsigned, what is not known is null. A function without a result has none.

    Args:
        call: The call.
        functions: By name.
        frames: Its stack, innermost first.
    """
    document = call._asdict()
    function = functions[call.function]
    document["arguments"] = {
        parameter: None if parameter in function.unknown else word
        for parameter, word in zip(function.parameters, call.arguments, strict=True)
    }
    if not function.stores_block:
        del document["out"]
    elif function.block and call.result is not None and function.answers_no_block(call.result):
        document["out"] = None  # computed from a result that is none
    if function.result is Result.NONE:
        del document["result"]
    document["stack"] = stack_document(frames)
    return document


def instruction_document(instruction: ExecutedInstruction) -> dict[str, Any]:
    """Return an instruction in a call."""
    return {
        "address": instruction.address,
        "text": instruction.text,
        "place": instruction.location,
        "accesses": [
            {
                "kind": "store" if access.is_store else "load",
                "address": access.address,
                "size": access.size,
                "value": access.value,
            }
            for access in instruction.accesses
        ],
    }


def trace_document(trace: Trace, facts: Overview, name: str | None) -> dict[str, Any]:
    """Return the summary of a trace.

    Args:
        trace: The trace.
        facts: Its figures.
        name: As the user named it; None: it is not kept.
    """
    ending = trace.ending
    return {
        "version": _SUMMARY_VERSION,
        "trace": name,
        "kernel": trace.header.kernel,
        "profile": trace.profile.name,
        "profile_reason": trace.profile.reason,
        "complete": trace.complete,
        "ending": None if ending is None else {"how": ending.how, "exit_value": ending.exit_value},
        "lacks": [] if ending is None else [lack_document(lack) for lack in ending.lacks],
        "lockstep": None if ending is None or ending.lockstep is None else ending.lockstep._asdict(),
        "calls": len(trace),
        "events": trace.event_count,
        "cut_stacks": facts.cut_stacks,
        "deepest_calls": facts.deepest_calls,
        "functions": [function._asdict() for function in facts.functions],
        "areas": [_area(trace, area) for area in facts.areas],
    }


def _area(trace: Trace, area: AreaOverview) -> dict[str, Any]:
    return {
        "name": area.name,
        "allocations": area.allocations,
        "failed": area.failed,
        "stray_frees": area.stray_frees,
        "peak": {
            "bytes": area.peak.bytes,
            "blocks": area.peak.blocks,
            "event": area.peak.event,
            "call": None if area.peak_call is None else area.peak_call.number,
            **_gaps(area.peak_gaps),
        },
        "end": {"bytes": area.end[0], "blocks": area.end[1], **_gaps(area.end_gaps)},
        "callers": [_caller(trace, totals) for totals in area.callers],
    }


def _gaps(gaps: Gaps) -> dict[str, Any]:
    return {
        "gaps": gaps.size,
        "largest_gap": gaps.largest,
        "fragmentation": round(gaps.fragmentation, 6),
    }


def _caller(trace: Trace, totals: StackTotals) -> dict[str, Any]:
    return {
        "calls": totals.calls,
        "bytes_allocated": totals.bytes_allocated,
        "peak_bytes": totals.peak_bytes,
        "peak_blocks": totals.peak_blocks,
        "end_bytes": totals.end_bytes,
        "end_blocks": totals.end_blocks,
        "stack": stack_document(trace.frames(totals.stack)),
    }


def difference_document(
    difference: TraceDifference, before: str, after: str, top: int | None = None
) -> dict[str, Any]:
    """Return the comparison of two traces.

    Args:
        difference: What was found.
        before: The first trace, as the user named it.
        after: The second.
        top: How many stacks to list; all if None.
    """
    return {
        "version": _DIFFERENCE_VERSION,
        "before": before,
        "after": after,
        "measure": difference.measure.value,
        "unit": "bytes" if difference.measure.is_bytes else "calls",
        "areas": [{"area": total.area, **_numbers(total)} for total in difference.totals],
        "stacks": [
            {
                "area": change.area,
                **_numbers(change),
                "callers": [_caller_document(frame) for frame in change.callers],
            }
            for change in difference.changes[:top]
        ],
    }


def _caller_document(frame: Frame) -> dict[str, Any]:
    return {"function": frame.function, "file": frame.file, "line": frame.line}


def _numbers(change: Growth) -> dict[str, int]:
    return {"before": change.before, "after": change.after, "difference": change.difference}
