"""Running a kernel to its end, whatever that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import BudgetUsedUp, EmulatorError, GuestStopped, NotEmulated
from emulator.machine.core.call_recorder import EVENTS_MAX
from emulator.machine.execution import Returned
from emulator.run.ending import Ending, How
from emulator.wording import code_location

if TYPE_CHECKING:
    from emulator.machine.execution import Outcome
    from emulator.machine.machine import Machine
    from emulator.run.ending import Budget


def run_to_end(machine: Machine, budget: Budget) -> Ending:
    """Run a machine until something ends that, and say what.

    Args:
        machine: Whose guest is to run, from where it stands.
        budget: What the run may take.
    """
    return _run_to_end(machine, budget)._replace(lacks=machine.unanswered.lacks())


def _run_to_end(machine: Machine, budget: Budget) -> Ending:
    try:
        outcome = machine.run(max_instructions=budget.max_instructions, timeout_s=budget.timeout_s)
    except KeyboardInterrupt as error:
        return _ended(How.INTERRUPTED, machine, error)
    except GuestStopped as error:
        return _stopped(machine, budget, error)
    except EmulatorError as error:
        from emulator.hle.lockstep import Divergence  # only after an error

        return _ended(How.DIVERGED if isinstance(error, Divergence) else How.STOPPED, machine, error)
    return ending_of(machine, outcome)


def ending_of(machine: Machine, outcome: Outcome) -> Ending:
    """Return the end of a run that the kernel ended by itself.

    Args:
        machine: As the run left it.
        outcome: Why it came back: the kernel exited or halted.

    Raises:
        ValueError: The run goes on: it only came back because that was asked for.
    """
    eip, instructions = outcome.eip, outcome.instructions
    if outcome.ending is Returned.EXIT:
        return Ending(How.EXIT, outcome.exit_value, eip, instructions=instructions)
    if outcome.ending is not Returned.HALTED:
        raise ValueError(f"a run that goes on: {outcome.ending.value}")
    location = code_location(*machine.image.location(eip - 1))  # of the hlt, which is one byte long
    return Ending(
        How.HALTED,
        eip=eip,
        location=location,
        instructions=instructions,
        open_calls=machine.calls.open_calls,
    )


def _ended(how: How, machine: Machine, error: BaseException) -> Ending:
    return Ending(how, eip=machine.registers().eip, error=error.with_traceback(None))


def _stopped(machine: Machine, budget: Budget, error: GuestStopped) -> Ending:
    # When no number is left for another event, that is not the kernel's fault.
    is_full = machine.calls.event_count >= EVENTS_MAX - 1 and not isinstance(error, NotEmulated)
    how = How.NOT_EMULATED if isinstance(error, NotEmulated) else How.STOPPED
    if is_full or isinstance(error, BudgetUsedUp):
        how = How.BUDGET
    return Ending(
        how,
        eip=error.eip,
        location=error.location,
        instructions=error.instructions,
        error=error.with_traceback(None),
        budget=budget if how is How.BUDGET else None,
    )
