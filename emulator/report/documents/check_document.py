"""A check as a JSON document. The format is described in docs/formats.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.report.text.style import printable

if TYPE_CHECKING:
    from emulator.check.check_report import AreaMeasures
    from emulator.check.findings import BlockStory, Culprit, Finding, Place
    from emulator.verdict.difference import Difference
    from emulator.verdict.verdict import Verdict

VERSION: Final = 1


def check_document(verdict: Verdict, status: int) -> dict[str, Any]:
    """Return a check; numbers are unsigned, what is not known is null.

    Args:
        verdict: The check.
        status: Exit status of the command.
    """
    report = verdict.report
    ending = report.ending
    return {
        "version": VERSION,
        "kernel": printable(report.kernel),
        "profile": printable(report.profile),
        "status": status,
        "ending": {
            "how": ending.how,
            "exit_value": ending.exit_value,
            "text": printable(ending.text),
        },
        "events": report.events,
        "calls": report.calls,
        "lockstep": None if report.lockstep is None else report.lockstep._asdict(),
        "seconds": round(report.seconds, 6),
        "checked": sorted(kind.value for kind in verdict.checked),
        "areas": {name: _area(area) for name, area in report.measures.areas.items()},
        "findings": [
            {**_finding(finding), "accepted": verdict.accepts(finding)} for finding in report.findings
        ],
        "reachable": [_finding(finding) for finding in report.reachable],
        "differences": [_difference(each) for each in verdict.differences],
    }


def _area(area: AreaMeasures) -> dict[str, Any]:
    return {
        "peak_bytes": area.peak_bytes,
        "peak_blocks": area.peak_blocks,
        "peak": _place(area.peak),
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


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "kind": finding.kind.value,
        "area": finding.area,
        "message": finding.message,
        "place": _place(finding.place),
        "block": _block(finding.block),
        "culprit": _culprit(finding.culprit),
        "picture": list(finding.picture),
        "details": list(finding.details),
    }


def _place(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {
        "call": place.call,
        "event": place.event,
        "function": place.function,
        "stack": [frame._asdict() for frame in place.stack],
    }


def _block(block: BlockStory | None) -> dict[str, Any] | None:
    if block is None:
        return None
    return {
        "address": block.address,
        "size": block.size,
        "allocated": _place(block.allocated),
        "freed": _place(block.freed),
    }


def _culprit(culprit: Culprit | None) -> dict[str, Any] | None:
    if culprit is None:
        return None
    return {
        "eip": culprit.eip,
        "text": culprit.text,
        "event": culprit.event,
        "before": culprit.before,
        "after": culprit.after,
        "address": culprit.address,
        "stack": [frame._asdict() for frame in culprit.stack],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "what": difference.importance.name.lower(),
        "key": difference.key,
        "text": difference.text,
        "fails": difference.fails,
        "place": _place(difference.place),
    }
