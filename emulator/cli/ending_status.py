"""What the end of a run means for the exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli.status import Status
from emulator.report.text.ending import interruption_text
from emulator.run.ending import How

if TYPE_CHECKING:
    from emulator.run.ending import Ending

_STATUS = {
    How.EXIT: Status.GOOD,
    How.HALTED: Status.GOOD,
    How.BUDGET: Status.BUDGET,
    How.STOPPED: Status.NOT_RUN,
    How.NOT_EMULATED: Status.NOT_RUN,
    How.DIVERGED: Status.FINDINGS,
    How.INTERRUPTED: Status.INTERRUPTED,
    How.NOT_RUN: Status.NOT_RUN,
}


def judge_ending(ending: Ending) -> tuple[Status, list[str]]:
    """Return the exit status, and what standard error has to say: no, one or, for a report, several lines."""
    status = _STATUS[ending.how]
    if ending.how is How.INTERRUPTED:
        return status, [interruption_text(ending)]
    if ending.exit_value:
        code = f"(exit code {ending.exit_code} in QEMU)"
        return Status.FINDINGS, [f"the kernel exited with value {ending.exit_value} {code}"]
    text = "" if ending.error is None else str(ending.error)
    return status, text.splitlines() if ending.how is How.DIVERGED else [text] if text else []
