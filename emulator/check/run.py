"""Running a kernel to its end under budgets, whatever becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emulator.check.check_report import RunEnding
from emulator.errors import BudgetUsedUp, EmulatorError, GuestStopped, HostError, NotEmulated
from emulator.machine.machine import EVENTS_MAX, Ending

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.machine import Machine

EXIT, HALTED, BUDGET, STOPPED, NOT_EMULATED, DIVERGED, INTERRUPTED = (
    "exit",
    "halted",
    "budget used up",
    "stopped",
    "not emulated",
    "diverged",
    "interrupted",
)
DEFAULT_INSTRUCTIONS: Final = 10**10
DEFAULT_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class RunBudget:
    """What a run may take, and how often it is looked at on the way.

    Attributes:
        max_instructions: Of the guest; exact.
        timeout_s: Seconds of the host; None: no limit.
        walk_every: Look at the kernel's structures at the entry of each so manieth recorded call; 0: only at the end.
    """

    max_instructions: int = DEFAULT_INSTRUCTIONS
    timeout_s: float | None = DEFAULT_TIMEOUT_S
    walk_every: int = 0


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that is over.

    Attributes:
        ending: How.
        eip: Of the last instruction, or of the one that failed.
        error: What was raised; None: the kernel ended the run by itself, or Ctrl-C did.
        instructions: Executed until the budget was used up; None: something else ended the run.
    """

    ending: RunEnding
    eip: int
    error: EmulatorError | None = None
    instructions: int | None = None

    @property
    def by_itself(self) -> bool:
        """Whether the kernel ended the run: it exited or halted."""
        return self.ending.how in (EXIT, HALTED)


def run_to_end(machine: Machine, budget: RunBudget, look: Callable[[], None]) -> EndedRun:
    """Run a machine until something ends that.

    Args:
        machine: With its recording.
        budget: What it may take.
        look: Called at the entry of every `RunBudget.walk_every`-th recorded call.

    Raises:
        HostError: The host cannot give what the run needs.
    """
    machine.at_calls(budget.walk_every, look)
    try:
        outcome = machine.run(max_instructions=budget.max_instructions, timeout_s=budget.timeout_s)
    except KeyboardInterrupt as error:
        text = f"interrupted by {error}" if str(error) else "interrupted"
        return EndedRun(RunEnding(INTERRUPTED, None, text), machine.cpu.registers().eip)
    except GuestStopped as error:
        return _stopped(machine, budget, error)
    except HostError:
        raise
    except EmulatorError as error:
        from emulator.hle.lockstep import Divergence  # only after an error

        how = DIVERGED if isinstance(error, Divergence) else STOPPED
        text = str(error).splitlines()[0]
        return EndedRun(RunEnding(how, None, text), machine.cpu.registers().eip, error)
    if outcome.ending is Ending.EXIT:
        text = f"the kernel exited with value {outcome.exit_value}"
        return EndedRun(RunEnding(EXIT, outcome.exit_value, text), outcome.eip)
    eip = outcome.eip - 1  # hlt is one byte long
    return EndedRun(RunEnding(HALTED, None, _halted(machine, eip)), eip)


def _halted(machine: Machine, eip: int) -> str:
    text, count = f"the kernel halted at {machine.image.location(eip)}", machine.cpu.open_calls()
    if not count:
        return text
    return f"{text}, and {count} recorded {'call has' if count == 1 else 'calls have'} not returned"


def _stopped(machine: Machine, budget: RunBudget, error: GuestStopped) -> EndedRun:
    executed = error.instructions
    text = str(error)
    if isinstance(error, BudgetUsedUp):
        text = f"{_used_up(budget, executed)} at {error.location}"
        text += f"; {error.remark}" if error.remark else ""
    elif isinstance(error, NotEmulated):
        return EndedRun(RunEnding(NOT_EMULATED, None, text), error.eip, error)
    elif (
        machine.cpu.event_count() < EVENTS_MAX - 1
    ):  # else no number is left for more: not the kernel's fault
        return EndedRun(RunEnding(STOPPED, None, text), error.eip, error)
    return EndedRun(RunEnding(BUDGET, None, text), error.eip, error, executed)


def _used_up(budget: RunBudget, executed: int) -> str:
    if executed < budget.max_instructions and budget.timeout_s is not None:
        return f"time budget of {budget.timeout_s:g} s used up"
    return f"budget of {budget.max_instructions} instructions used up"
