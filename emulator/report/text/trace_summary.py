"""Write the summary of a trace as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.report.text.calls import CallLayout
from emulator.report.text.frames import backtrace_text
from emulator.report.text.lacks import lack_lines
from emulator.report.text.style import BOLD, labelled, rule
from emulator.trace.queries.overview import DEPTH_MAX
from emulator.wording import counted, human_size, percent, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.report.text.style import Style
    from emulator.trace.queries.gaps import Gaps
    from emulator.trace.queries.overview import AreaOverview, FunctionCounts, Overview
    from emulator.trace.queries.totals import StackTotals
    from emulator.trace.table import Call
    from emulator.trace.trace import Trace

_INDENT = 12
_NAME_WIDTH = 52  # of the column with functions at most; a longer name shifts its line


def trace_lines(trace: Trace, facts: Overview, name: str, style: Style) -> Iterator[str]:
    """Yield the summary, line by line.

    Args:
        trace: The trace.
        facts: Its figures.
        name: As the user named it.
        style: What the output can show.
    """
    yield rule(printable(name), style)
    yield from labelled("Kernel", printable(trace.header.kernel), style, _INDENT)
    yield from labelled("Profile", printable(trace.profile.title), style, _INDENT)
    yield from labelled("Trace", printable(_extent_text(trace)), style, _INDENT)
    if trace.ending is not None:
        if trace.ending.lockstep is not None:
            yield from labelled("Lockstep", str(trace.ending.lockstep), style, _INDENT)
        for line in lack_lines(trace.ending.lacks):
            yield from labelled("Lacks", printable(line), style, _INDENT)
    for line in _limit_lines(facts):
        yield from labelled("Limits", line, style, _INDENT)
    yield ""
    yield from _function_lines(facts.functions, style)
    for area in facts.areas:
        yield ""
        yield from _area_lines(trace, area, style)


def _limit_lines(facts: Overview) -> Iterator[str]:
    """Yield what the trace does not hold, because there is an end to what is kept."""
    if facts.cut_stacks:
        yield f"{counted(facts.cut_stacks, 'call stack')} with as many frames as are kept: what called the outermost is left out"
    if facts.deepest_calls:
        yield f"{counted(facts.deepest_calls, 'call')} inside of {DEPTH_MAX} others or more"


def _extent_text(trace: Trace) -> str:
    extent = f"{counted(len(trace), 'call')}, {counted(trace.event_count, 'event')}"
    if trace.ending is None:
        return f"incomplete, the run was cut off: {extent} up to then"
    how = trace.ending.how
    if trace.ending.exit_value is not None:
        how += f" with value {trace.ending.exit_value}"
    return f"complete, {extent}; the run ended: {how}"


def _function_lines(functions: Sequence[FunctionCounts], style: Style) -> Iterator[str]:
    """Yield a table of the functions that were called."""
    called = [each for each in functions if each.calls]
    width = max([len("function"), *(len(printable(each.name)) for each in called)])
    width = min(width, _NAME_WIDTH)
    yield style.paint(style.cut(f"{'function':{width}}    calls  failed unfinished  area"), BOLD)
    for each in called:
        name, area = printable(each.name), printable(each.area)
        counts = f"{each.calls:>9} {each.failed or '-':>7} {each.unfinished or '-':>10}"
        yield from style.folded(f"{name:{width}}{counts}  {area}".rstrip(), indent=width)


def _area_lines(trace: Trace, area: AreaOverview, style: Style) -> Iterator[str]:
    taken = f"{counted(area.allocations, 'block')} taken"
    if area.failed:
        taken += f", {counted(area.failed, 'call')} got none"
    if area.stray_frees:
        taken += f"; {counted(area.stray_frees, 'free')} of what was not taken"
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
    for totals in area.callers:
        yield _caller_line(trace, totals, area.peak.bytes, style)


def _amount(size: int, blocks: int) -> str:
    return f"{human_size(size)} in {counted(blocks, 'block')}"


def _gaps_text(gaps: Gaps) -> str:
    return f", fragmentation {percent(gaps.fragmentation)}"


def _beside_indent(style: Style) -> Style:
    return style._replace(
        width=style.width - _INDENT, room=None if style.room is None else style.room - _INDENT
    )


def _call_line(trace: Trace, call: Call, style: Style) -> str:
    functions = {function.name: function for function in trace.functions}
    layout = CallLayout(functions, trace.frames, call.number, style, trace.error_names)
    return layout.line(call._replace(depth=0))


def _caller_line(trace: Trace, totals: StackTotals, whole: int, style: Style) -> str:
    share = percent(totals.peak_bytes / whole) if whole else "-"
    blocks = counted(totals.peak_blocks, "block")
    callers = backtrace_text(trace.frames(totals.stack))
    return style.cut(f"  {human_size(totals.peak_bytes):>10} {share:>5} {blocks:>12}  {callers}")
