"""Write findings as lines, in the wording that kernel developers know from KASAN and slub, and what a baseline says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.check.findings import OF_ACCESSES, OF_VALUES, Kind
from emulator.guest.symbolizer import NOTHING_KNOWN
from emulator.report.text.ending import ending_text
from emulator.report.text.frames import UNKNOWN_CALLER, call_trace_text
from emulator.report.text.lacks import lack_lines
from emulator.report.text.style import BOLD, DIM, GREEN, RED
from emulator.wording import MORE_CALLERS, counted, human_size, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.check.check_report import CheckReport
    from emulator.check.findings import BlockHistory, CallSite, FaultingWrite, Finding
    from emulator.guest.symbolizer import Frame
    from emulator.inject.policy import FailedCall
    from emulator.report.text.style import Style
    from emulator.verdict.difference import Difference

LINES_MAX: Final = 25
"""Of one finding."""

_ALARM: Final = "31;1"
_FRAMES_MAX: Final = 4  # of the finding's own call stack
_FRAMES_BESIDE_MAX: Final = 3  # of every further one
_DETAILS_MAX: Final = 5
_FAILED_MAX: Final = 5
_NAMES_MAX: Final = 8
_DIFFERENCES_MAX: Final = 20  # lines
_HALF_ROW: Final = 8  # bytes
_NO_FRAMES: Final = (
    "call traces end early: the kernel has no call frame information, nor do these functions keep a frame pointer; "
    "-g -fno-asynchronous-unwind-tables makes a .debug_frame, which linker scripts keep"
)

_Line = tuple[str, str]  # text, and the colour or weight to paint it with


def report_lines(report: CheckReport, style: Style, ignored: int = 0) -> Iterator[str]:
    """Yield a whole report: every finding, equal ones once, and lines that sum up.

    Args:
        report: The report.
        style: What the output can show.
        ignored: How many findings were left out of it.
    """
    for same in grouped(report.findings):
        yield from finding_lines(same, style)
        yield ""
    yield from summary_lines(report, style, ignored)


def never_called_line(names: Sequence[str]) -> str:
    """Return which functions of a profile were not called, the first few of them."""
    more = f" and {len(names) - _NAMES_MAX} more" if len(names) > _NAMES_MAX else ""
    return f"never called: {', '.join(map(printable, names[:_NAMES_MAX]))}{more}"


def failed_lines(failed: Sequence[FailedCall]) -> Iterator[str]:
    """Yield which calls were made to fail, the first few of them."""
    for call in failed[:_FAILED_MAX]:
        arguments = ", ".join(map(str, call.arguments))
        caller = f"   {call.call_site.backtrace[0]}" if call.call_site.backtrace else ""
        yield printable(
            f"made to fail: #{call.call_site.call} {call.call_site.function}({arguments}){caller}"
        )
    if len(failed) > _FAILED_MAX:
        yield f"made to fail: {len(failed) - _FAILED_MAX} more"


def grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Put findings of one id together, in the order of the first ones."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.id, []).append(finding)
    return list(groups.values())


def finding_lines(same: Sequence[Finding], style: Style) -> list[str]:
    """Return the first of some findings of one id, at most `LINES_MAX` lines, which a narrow terminal folds."""
    finding = same[0]
    function = finding.call_site.function if finding.call_site else ""
    where = f" in {printable(function)}" if function not in ("", MORE_CALLERS) else ""
    head = [(f"BUG: {printable(finding.message)}{where}", _ALARM)]
    lines = _details(finding.details)
    if finding.call_site:
        lines += _stack("Call trace:", finding.call_site.backtrace, _FRAMES_MAX)
    if finding.faulting_write:
        lines += _faulting_write(finding.faulting_write)
    if finding.block:
        lines += _history(finding.block)
    dump, left_out = _hex_dump(finding, LINES_MAX - len(lines) - 2, style)
    lines = [*head, (_facts(same) + left_out, DIM), *lines, *dump]
    return [style.paint(part, code) for text, code in lines for part in style.folded(text)]


def summary_lines(report: CheckReport, style: Style, ignored: int = 0) -> Iterator[str]:
    """Yield the end of a report: what was found, and what the kernel took."""
    number = len(report.findings)
    kinds = len(grouped(report.findings))
    found = "no findings" if not number else counted(number, "finding")
    if kinds < number:
        found += f" ({kinds} distinct)"
    if ignored:
        found += f", {ignored} ignored"
    suppressed = sum(report.suppressed.values())
    if suppressed:
        found += f", {suppressed} suppressed"
    peaks = ", ".join(
        f"{printable(name)} {human_size(area.peak_bytes)}" for name, area in report.measures.items()
    )
    text = f"{printable(report.kernel)}: {found}; {report.calls} calls, peak {peaks}"
    yield from (style.paint(part, _ALARM if number else BOLD) for part in style.folded(text))
    yield from _live_lines(report, style)
    yield from map(printable, lack_lines(report.ending.lacks))
    if report.lockstep is not None:
        yield f"in lockstep: {report.lockstep}"
    yield from style.folded(_unchecked_text(report)) if report.unchecked else ()
    if not report.has_frames and any(map(_ends_early, report.findings)):
        yield from style.folded(_NO_FRAMES)
    unused = [line for line, count in report.suppressed.items() if not count]
    if unused:
        yield from style.folded(f"suppressions that were not used: {', '.join(map(printable, unused))}")
    profile = f"; profile {printable(report.profile)}" if report.profile else ""
    profile += f" ({printable(report.profile_reason)})" if report.profile_reason else ""
    yield f"{printable(ending_text(report.ending))} after {report.seconds:.1f} s{profile}"


def _ends_early(finding: Finding) -> bool:
    """Return whether a backtrace of a finding, or of its block, leaves out callers."""
    block = finding.block
    sites = (finding.call_site, None if block is None else block.allocated)
    return any(site is not None and site.backtrace[-1:] == (NOTHING_KNOWN,) for site in sites)


def _live_lines(report: CheckReport, style: Style) -> Iterator[str]:
    """Yield what is live at the end in each area, and how much of it is lost."""
    areas = []
    for name, area in report.measures.items():
        if area.end_blocks:
            lost = ""
            if area.lost_blocks:
                is_all = area.lost_blocks == area.end_blocks
                blocks = counted(area.lost_blocks, "block")
                lost = ", all lost" if is_all else f", of that {human_size(area.lost_bytes)} in {blocks} lost"
            blocks = counted(area.end_blocks, "block")
            areas.append(f"{printable(name)} {human_size(area.end_bytes)} in {blocks}{lost}")
    if areas:
        yield from style.folded(f"live at the end: {'; '.join(areas)}")


def _unchecked_text(report: CheckReport) -> str:
    """Return which kinds were not checked, by reason. What has to be asked for goes without saying: lockstep, the check of accesses, KASAN."""
    by_reason: dict[str, list[str]] = {}
    for kind, why in report.unchecked.items():
        was_asked = {
            Kind.DIVERGENCE: report.lockstep is not None,
            **dict.fromkeys(OF_ACCESSES, report.sanitized),
            **dict.fromkeys(OF_VALUES, report.uninitialised),
        }.get(kind, True)
        if was_asked and kind is not Kind.USE_AFTER_SCOPE:
            by_reason.setdefault(why, []).append(kind.title)
    return "not checked: " + "; ".join(f"{', '.join(kinds)} ({why})" for why, kinds in by_reason.items())


def _facts(same: Sequence[Finding]) -> str:
    finding = same[0]
    facts = [f"id {finding.id}"]
    if finding.area:
        facts.append(f"area {printable(finding.area)}")
    if finding.call_site is None:
        facts.append("at the end of the run")
    else:
        facts.append(f"event {finding.call_site.event}")
        if finding.call_site.call:
            facts.append(f"call #{finding.call_site.call}")
    if len(same) > 1:
        facts.append(f"first of {len(same)} alike")
    return ", ".join(facts)


def _details(details: Sequence[str]) -> list[_Line]:
    shown = details if len(details) <= _DETAILS_MAX else details[: _DETAILS_MAX - 1]
    lines = [(f"  {printable(each)}", "") for each in shown]
    more = len(details) - len(shown)
    return [*lines, (f"  (and {more} more)", "")] if more else lines


def _history(block: BlockHistory) -> list[_Line]:
    lines = _called("Allocated", block.allocated)
    return lines if block.freed is None else [*lines, *_called("Freed", block.freed)]


def _called(what: str, call_site: CallSite) -> list[_Line]:
    head = f"{what} by call #{call_site.call}, {printable(call_site.function)}:"
    return _stack(head, call_site.backtrace, _FRAMES_BESIDE_MAX)


def _faulting_write(write: FaultingWrite) -> list[_Line]:
    change = f"0x{write.address:08x}: 0x{write.before:08x} -> 0x{write.after:08x}"
    instruction = f"  {printable(write.text)}   {change}"
    head, *frames = _stack(f"Broken after event {write.event} by:", write.backtrace, _FRAMES_BESIDE_MAX)
    return [head, (instruction, ""), *frames]


def _stack(head: str, frames: Sequence[Frame], most: int) -> list[_Line]:
    lines = [f"  {call_trace_text(frame)}" for frame in frames[:most]] or [f"  {UNKNOWN_CALLER}"]
    if len(frames) > most:
        lines[-1] += f"  (and {len(frames) - most} more)"
    return [(head, BOLD), *((line, "") for line in lines)]


def _hex_dump(finding: Finding, room: int, style: Style) -> tuple[list[_Line], str]:
    """Return memory; or, where it does not fit into so many lines, nothing and what to say of that."""
    if not finding.hex_dump:
        return [], ""
    if room <= len(finding.hex_dump):
        return [], ", memory state only with --json"
    lines = finding.hex_dump if _fits(finding.hex_dump, style) else _halved(finding.hex_dump)
    return [("Memory state around the buggy address:", BOLD), *((line, "") for line in lines)], ""


def _fits(dump: Sequence[str], style: Style) -> bool:
    return style.room is None or max(map(len, dump)) <= style.room


def _halved(dump: Sequence[str]) -> Iterator[str]:
    """Show eight bytes a line instead of sixteen; what points at them stays below them."""
    rows: list[list[str]] = []
    for line in dump:
        if set(line) <= {" ", "^"}:
            rows[-1].append(line)  # it points at bytes of the line before
        else:
            rows.append([line])
    indent = dump[0].index(":") + 2
    middle = indent + 3 * _HALF_ROW
    for row in rows:
        if row[0][1:3] != "0x":  # no bytes
            yield row[0]
            continue
        yield from (line[:middle].rstrip() for line in row if line[:middle].strip())
        yield from (" " * indent + line[middle:] for line in row if line[middle:].strip())


def difference_lines(
    differences: Sequence[Difference], style: Style, most: int = _DIFFERENCES_MAX
) -> list[str]:
    """Return differences as lines: what fails begins with ``-``, what does not with ``+``.

    Args:
        differences: The most important first.
        style: What the output can show.
        most: Lines at most; the last one says how many there are more.
    """
    shown = len(differences) if len(differences) <= most else most - 1
    lines = [_difference_line(each, style) for each in differences[:shown]]
    rest = differences[shown:]
    if rest:
        failing = sum(each.fails for each in rest)
        which = f", {failing:,} of them regressions" if failing else ""
        lines.append(f"  and {len(rest):,} more{which}")
    return lines


def _difference_line(difference: Difference, style: Style) -> str:
    sign, colour = ("-", RED) if difference.fails else ("+", GREEN)
    return style.paint(f"{sign} {printable(difference.text)}", colour)
