"""Write how a run ended as one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import BudgetUsedUp
from emulator.run.ending import NO_LIMIT, How

if TYPE_CHECKING:
    from emulator.run.ending import Ending


def ending_text(ending: Ending) -> str:  # noqa: PLR0911 - one for each ending
    """Return how a run ended."""
    match ending.how:
        case How.EXIT:
            return f"the kernel exited with value {ending.exit_value}"
        case How.HALTED | How.RESET | How.OFF:
            return f"{last_act_text(ending)}{_open_calls(ending.open_calls)}"
        case How.TEXT:
            return f"the text it was run for appeared, at {ending.location}"
        case How.IDLE:
            return f"the kernel only waits, at {ending.location}"
        case How.BAD_ACCESS:
            return f"stopped before the bad access at {ending.location}"
        case How.LEFT:
            return "left by Ctrl-A x"
        case How.INTERRUPTED:
            return interruption_text(ending)
        case How.BUDGET if isinstance(ending.error, BudgetUsedUp):
            return f"{_used_up(ending)} at {ending.location}{_remark(ending.error)}{_activity(ending)}"
    return ending.problem


def last_act_text(ending: Ending) -> str:
    """Return how a kernel halted for good, reset the PC or switched it off."""
    if ending.how is not How.HALTED:
        did = "reset the PC" if ending.how is How.RESET else "switched the power off"
        return f"the kernel {did} at {ending.location}"
    why = {None: "", True: " with nothing to wake it", False: " with interrupts off"}[ending.interrupts_on]
    where = f"at {ending.location}{', in an endless loop' if ending.spins else ''}"
    return f"the kernel halted {where}{why}"


def interruption_text(ending: Ending) -> str:
    """Return what interrupted a run."""
    return f"interrupted by {ending.signal}" if ending.signal else "interrupted"


def _open_calls(count: int) -> str:
    if not count:
        return ""
    return f", and {count} recorded {'call has' if count == 1 else 'calls have'} not returned"


def _used_up(ending: Ending) -> str:
    limit, seconds = (ending.budget or NO_LIMIT)[:2]
    if seconds is not None and (limit is None or (ending.instructions or 0) < limit):
        return f"time budget of {seconds:g} s used up"
    return f"budget of {limit} instructions used up"


def budget_text(ending: Ending) -> str:
    """Return that a budget was used up, as it was raised, and what the kernel was doing."""
    return f"{ending.problem}{_activity(ending)}"


def _activity(ending: Ending) -> str:
    if ending.activity is None:
        return ""
    from emulator.report.text.activity import activity_text  # only budgets need it

    doing = activity_text(ending.activity)
    return f"; {doing}" if doing else ""


def _remark(error: BudgetUsedUp) -> str:
    return f"; {error.remark}" if error.remark else ""
