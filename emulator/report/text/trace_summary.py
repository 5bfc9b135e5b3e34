"""The summary of a trace: its text for people, and its JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.report.text.call_text import CallLayout, error_names
from emulator.report.text.frame_text import stack_text
from emulator.report.text.style import BOLD, human_size, labelled, printable
from emulator.report.text.summary import rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.guest.symbolizer import Frame
    from emulator.report.text.style import Style
    from emulator.trace.events import Call
    from emulator.trace.queries.gaps import Gaps
    from emulator.trace.queries.overview import AreaOverview, Caller, FunctionCounts, Overview
    from emulator.trace.trace import Trace

VERSION = 1
_INDENT = 12
_NAME_WIDTH = 52  # of the column with functions at most; a longer name shifts its line


def trace_lines(trace: Trace, facts: Overview, name: str, style: Style) -> Iterator[str]:
    """Return the summary, line by line.

    Args:
        trace: The trace.
        facts: What it comes to.
        name: As the user named it.
        style: What the output can show.
    """
    yield rule(printable(name), style)
    yield from labelled("Kernel", printable(trace.header.kernel), style, _INDENT)
    yield from labelled("Profile", printable(trace.profile.name), style, _INDENT)
    yield from labelled("Trace", printable(_extent_text(trace)), style, _INDENT)
    yield ""
    yield from _function_lines(facts.functions, style)
    for area in facts.areas:
        yield ""
        yield from _area_lines(trace, area, style)


def _extent_text(trace: Trace) -> str:
    extent = f"{_many(len(trace), 'call')}, {_many(trace.event_count, 'event')}"
    if trace.ending is None:
        return f"incomplete, the run was cut off: {extent} up to then"
    how = trace.ending.how
    if trace.ending.exit_value is not None:
        how += f" with value {trace.ending.exit_value}"
    return f"complete, {extent}; the run ended: {how}"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _function_lines(functions: Sequence[FunctionCounts], style: Style) -> Iterator[str]:
    """Return a table of the functions that were called."""
    called = [each for each in functions if each.calls]
    width = max([len("function"), *(len(printable(each.name)) for each in called)])
    width = min(width, _NAME_WIDTH)
    yield style.paint(style.cut(f"{'function':{width}}    calls  failed unfinished  area"), BOLD)
    for each in called:
        name, area = printable(each.name), printable(each.area)
        counts = f"{each.calls:>9} {each.failed or '-':>7} {each.unfinished or '-':>10}"
        yield from style.folded(f"{name:{width}}{counts}  {area}".rstrip(), indent=width)


def _area_lines(trace: Trace, area: AreaOverview, style: Style) -> Iterator[str]:
    taken = f"{_many(area.allocations, 'block')} taken"
    if area.failed:
        taken += f", {_many(area.failed, 'call')} got none"
    if area.stray_frees:
        taken += f"; {_many(area.stray_frees, 'free')} of what was not taken"
    yield from labelled(printable(area.name), taken, style, _INDENT)
    if not area.allocations:
        return
    peak = (
        f"{_amount(area.peak.bytes, area.peak.blocks)}, event {area.peak.event}{_gaps_text(area.peak_gaps)}"
    )
    yield from labelled("  peak", peak, style, _INDENT)
    if area.peak_call is not None:
        yield " " * _INDENT + _call_line(trace, area.peak_call, _beside_indent(style))
    yield from labelled("  end", _amount(*area.end) + _gaps_text(area.end_gaps), style, _INDENT)
    if area.callers:
        yield style.paint("  biggest callers at the peak", BOLD)
    for caller in area.callers:
        yield _caller_line(caller, area.peak.bytes, style)


def _amount(size: int, blocks: int) -> str:
    return f"{human_size(size)} in {_many(blocks, 'block')}"


def _gaps_text(gaps: Gaps) -> str:
    return f", fragmentation {100 * gaps.fragmentation:.0f} %"


def _beside_indent(style: Style) -> Style:
    return style._replace(
        width=style.width - _INDENT, room=None if style.room is None else style.room - _INDENT
    )


def _call_line(trace: Trace, call: Call, style: Style) -> str:
    functions = {function.name: function for function in trace.functions}
    layout = CallLayout(functions, trace.frames, call.number, style, error_names(trace.profile.name))
    return layout.line(call._replace(depth=0))


def _caller_line(caller: Caller, whole: int, style: Style) -> str:
    totals = caller.totals
    share = f"{100 * totals.peak_bytes / whole:.0f} %" if whole else "-"
    blocks = _many(totals.peak_blocks, "block")
    return style.cut(
        f"  {human_size(totals.peak_bytes):>10} {share:>5} {blocks:>12}  {stack_text(caller.frames)}"
    )


def trace_document(trace: Trace, facts: Overview, name: str | None) -> dict[str, Any]:
    """Return the summary for JSON; `docs/trace_summary.md` describes it.

    Args:
        trace: The trace.
        facts: What it comes to.
        name: As the user named it; None: it is not kept.
    """
    ending = trace.ending
    return {
        "version": VERSION,
        "trace": name,
        "kernel": trace.header.kernel,
        "profile": trace.profile.name,
        "complete": trace.complete,
        "ending": None if ending is None else {"how": ending.how, "exit_value": ending.exit_value},
        "calls": len(trace),
        "events": trace.event_count,
        "functions": [function._asdict() for function in facts.functions],
        "areas": [_area_document(area) for area in facts.areas],
    }


def _area_document(area: AreaOverview) -> dict[str, Any]:
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
            **_gaps_document(area.peak_gaps),
        },
        "end": {"bytes": area.end[0], "blocks": area.end[1], **_gaps_document(area.end_gaps)},
        "callers": [_caller_document(caller) for caller in area.callers],
    }


def _gaps_document(gaps: Gaps) -> dict[str, Any]:
    return {
        "gaps": gaps.size,
        "largest_gap": gaps.largest,
        "fragmentation": round(gaps.fragmentation, 6),
    }


def _caller_document(caller: Caller) -> dict[str, Any]:
    totals = caller.totals
    return {
        "calls": totals.calls,
        "bytes_allocated": totals.bytes_allocated,
        "peak_bytes": totals.peak_bytes,
        "peak_blocks": totals.peak_blocks,
        "end_bytes": totals.end_bytes,
        "end_blocks": totals.end_blocks,
        "stack": [_frame_document(frame) for frame in caller.frames],
    }


def _frame_document(frame: Frame) -> dict[str, Any]:
    return frame._asdict()
