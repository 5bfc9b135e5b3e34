"""Write a campaign of fault injection as a JSON document; `docs/fault_injection.md` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.inject.campaign import Reaction
from emulator.report.documents.trace import stack_document

if TYPE_CHECKING:
    from emulator.inject.campaign import Campaign, Trial

_VERSION: Final = 1


def campaign_document(campaign: Campaign, kernel: str, profile: str) -> dict[str, Any]:
    """Return a campaign, with an entry for each allocation that failed.

    Args:
        campaign: The campaign.
        kernel: As the user named it.
        profile: Name of what was recorded.
    """
    good = campaign.good
    return {
        "version": _VERSION,
        "kernel": kernel,
        "profile": profile,
        "good_run": {
            "ending": good.how.value,
            "exit_value": good.exit_value,
            "instructions": good.instructions,
            "allocations": campaign.allocations,
        },
        "counts": {reaction.value: campaign.number_of(reaction) for reaction in Reaction},
        "failures": [_failure(trial) for trial in campaign.trials],
    }


def _failure(trial: Trial) -> dict[str, Any]:
    call_site = trial.call.call_site
    return {
        "allocation": trial.number,
        "call": call_site.call,
        "function": call_site.function,
        "arguments": list(trial.call.arguments),
        "result": trial.call.result,
        "stack": stack_document(call_site.backtrace),
        "verdict": trial.reaction.value,
        "ending": trial.ending,
        "place": trial.location or None,
        "null_access": trial.null_access or None,
    }
