"""Write a campaign of fault injection as a JSON document; `docs/fault_injection.md` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.inject.campaign import Verdict
from emulator.report.documents.trace import stack_document

if TYPE_CHECKING:
    from emulator.inject.campaign import Exhaustion, FailurePoint

VERSION: Final = 1


def exhaustion_document(exhaustion: Exhaustion, kernel: str, profile: str) -> dict[str, Any]:
    """Return a campaign, with an entry for each allocation that failed.

    Args:
        exhaustion: The campaign.
        kernel: As the user named it.
        profile: Name of what was recorded.
    """
    good = exhaustion.good
    return {
        "version": VERSION,
        "kernel": kernel,
        "profile": profile,
        "good_run": {
            "ending": good.ending.how.value,
            "exit_value": good.ending.exit_value,
            "instructions": good.instructions,
            "allocations": good.allocations,
        },
        "counts": {verdict.value: exhaustion.count(verdict) for verdict in Verdict},
        "failures": [_failure(point) for point in exhaustion.points],
    }


def _failure(point: FailurePoint) -> dict[str, Any]:
    call_site = point.call.call_site
    return {
        "allocation": point.number,
        "call": call_site.call,
        "function": call_site.function,
        "arguments": list(point.call.arguments),
        "result": point.call.result,
        "stack": stack_document(call_site.backtrace),
        "verdict": point.verdict.value,
        "ending": point.ending,
        "place": point.location or None,
    }
