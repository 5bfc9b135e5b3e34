"""A run, its errors put into one form: how it ended, and what that means for the exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli.status import Status
from emulator.errors import BudgetUsedUp, EmulatorError, GuestStopped
from emulator.report.run_record import Ending, How

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

_STATUS = {
    How.EXIT: Status.GOOD,
    How.HALTED: Status.GOOD,
    How.BUDGET: Status.BUDGET,
    How.STOPPED: Status.NOT_RUN,
    How.DIVERGED: Status.FINDINGS,
    How.INTERRUPTED: Status.INTERRUPTED,
    How.NOT_RUN: Status.NOT_RUN,
}


def run_to_end(machine: Machine, max_instructions: int | None, timeout_s: float | None) -> Ending:
    """Run the machine until something ends that."""
    try:
        outcome = machine.run(max_instructions=max_instructions, timeout_s=timeout_s)
    except KeyboardInterrupt as error:
        by = (type(error).__name__, f"interrupted by {error}") if str(error) else None  # not after Ctrl-C
        return Ending(How.INTERRUPTED, eip=machine.cpu.registers().eip, error=by)
    except GuestStopped as error:
        how = How.BUDGET if isinstance(error, BudgetUsedUp) else How.STOPPED
        facts = (type(error).__name__, str(error))
        return Ending(how, None, None, error.eip, error.location, error.instructions or None, facts)
    except EmulatorError as error:
        from emulator.hle.lockstep import Divergence  # only after an error

        how = How.DIVERGED if isinstance(error, Divergence) else How.STOPPED
        return Ending(how, eip=machine.cpu.registers().eip, error=(type(error).__name__, str(error)))
    instructions = outcome.instructions or None
    if outcome.exit_code is None:
        location = machine.image.location(outcome.eip - 1)  # of the hlt, which is one byte long
        return Ending(How.HALTED, None, None, outcome.eip, location, instructions)
    return Ending(How.EXIT, outcome.exit_value, outcome.exit_code, outcome.eip, None, instructions)


def judge_ending(ending: Ending) -> tuple[Status, list[str]]:
    """Return the exit status, and what standard error has to say: no, one or, for a report, several lines."""
    status = _STATUS[ending.how]
    if ending.error:
        text = ending.error[1]
        return status, text.splitlines() if ending.how is How.DIVERGED else [text]
    if ending.exit_value:
        code = f"(exit code {ending.exit_code} in QEMU)"
        return Status.FINDINGS, [f"the kernel exited with value {ending.exit_value} {code}"]
    if ending.how is How.INTERRUPTED:
        return status, ["interrupted"]
    return status, []
