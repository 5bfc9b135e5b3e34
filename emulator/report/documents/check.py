"""Write a check as a JSON document; `docs/formats.md` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.report.documents.lacks import lack_document
from emulator.report.documents.trace import stack_document
from emulator.report.text.ending import ending_text
from emulator.wording import printable

if TYPE_CHECKING:
    from emulator.check.findings import BlockHistory, CallSite, FaultingWrite, Finding
    from emulator.check.measures import AreaMeasures
    from emulator.verdict.difference import Difference
    from emulator.verdict.verdict import Verdict

_VERSION: Final = 1


def check_document(verdict: Verdict, status: int) -> dict[str, Any]:
    """Return a check; numbers are unsigned, what is not known is null.

    Args:
        verdict: The check.
        status: Exit status of the command.
    """
    report = verdict.report
    ending = report.ending
    return {
        "version": _VERSION,
        "kernel": printable(report.kernel),
        "profile": printable(report.profile),
        "profile_reason": printable(report.profile_reason),
        "status": status,
        "ending": {
            "how": ending.how.value,
            "exit_value": ending.exit_value,
            "text": printable(ending_text(ending)),
        },
        "lacks": [lack_document(lack) for lack in ending.lacks],
        "events": report.events,
        "calls": report.calls,
        "never_called": list(map(printable, report.never_called)),
        "unknown": [
            {name: printable(text) for name, text in each._asdict().items()} for each in report.unknown
        ],
        "suppressed": {printable(line): count for line, count in report.suppressed.items()},
        "lockstep": None if report.lockstep is None else report.lockstep._asdict(),
        "seconds": round(report.seconds, 6),
        "checked": sorted(kind.value for kind in verdict.checked),
        "unchecked": {kind.value: printable(why) for kind, why in report.unchecked.items()},
        "areas": {name: _area(area) for name, area in report.measures.items()},
        "findings": [
            {**finding_document(finding), "accepted": verdict.accepts(finding)} for finding in report.findings
        ],
        "reachable": [finding_document(finding) for finding in report.reachable],
        "differences": [_difference(each) for each in verdict.differences],
    }


def _area(area: AreaMeasures) -> dict[str, Any]:
    return {
        "peak_bytes": area.peak_bytes,
        "peak_blocks": area.peak_blocks,
        "peak": _call_site(area.peak),
        "end_bytes": area.end_bytes,
        "end_blocks": area.end_blocks,
        "lost_bytes": area.lost_bytes,
        "lost_blocks": area.lost_blocks,
        "calls": area.calls,
        "failed": area.failed,
        "fragmentation": round(area.fragmentation, 6),
        "callers": {
            name: {"calls": each.calls, "peak_bytes": each.peak_bytes, "end_bytes": each.end_bytes}
            for name, each in area.callers.items()
        },
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return a finding, as in a check."""
    return {
        "id": finding.id,
        "kind": finding.kind.value,
        "area": finding.area,
        "message": finding.message,
        "place": _call_site(finding.call_site),
        "block": _block(finding.block),
        "culprit": _faulting_write(finding.faulting_write),
        "picture": list(finding.hex_dump),
        "details": list(finding.details),
    }


def _call_site(call_site: CallSite | None) -> dict[str, Any] | None:
    if call_site is None:
        return None
    return {
        "call": call_site.call,
        "event": call_site.event,
        "function": call_site.function,
        "stack": stack_document(call_site.backtrace),
    }


def _block(block: BlockHistory | None) -> dict[str, Any] | None:
    if block is None:
        return None
    return {
        "address": block.address,
        "size": block.size,
        "allocated": _call_site(block.allocated),
        "freed": _call_site(block.freed),
    }


def _faulting_write(write: FaultingWrite | None) -> dict[str, Any] | None:
    if write is None:
        return None
    return {
        "eip": write.eip,
        "text": write.text,
        "event": write.event,
        "before": write.before,
        "after": write.after,
        "address": write.address,
        "stack": stack_document(write.backtrace),
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "what": difference.importance.name.lower(),
        "key": difference.key,
        "text": difference.text,
        "fails": difference.fails,
        "place": _call_site(difference.call_site),
    }
