"""How a run ended, in one line."""

from __future__ import annotations

import pytest

from emulator.errors import BudgetUsedUp, EmulatorError
from emulator.report.text.ending import ending_text
from emulator.run.ending import Budget, Ending, How


def used_up(instructions: int, budget: Budget, remark: str = "") -> Ending:
    error = BudgetUsedUp("a budget", 0x100000, "f+0x1", instructions)
    if remark:
        error.add_remark(remark)
    return Ending(How.BUDGET, location="f+0x1", instructions=instructions, error=error, budget=budget)


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Ending(How.EXIT, 3), "the kernel exited with value 3"),
        (Ending(How.HALTED, location="f+0x1"), "the kernel halted at f+0x1"),
        (
            Ending(How.HALTED, location="f+0x1", open_calls=1),
            "the kernel halted at f+0x1, and 1 recorded call has not returned",
        ),
        (
            Ending(How.HALTED, location="f+0x1", open_calls=2),
            "the kernel halted at f+0x1, and 2 recorded calls have not returned",
        ),
        (Ending(How.INTERRUPTED, error=KeyboardInterrupt()), "interrupted"),
        (Ending(How.INTERRUPTED, error=KeyboardInterrupt("SIGTERM")), "interrupted by SIGTERM"),
        (used_up(99, Budget(99, 60)), "budget of 99 instructions used up at f+0x1"),
        (used_up(98, Budget(99, 0.5)), "time budget of 0.5 s used up at f+0x1"),
        (used_up(98, Budget(None, 60)), "time budget of 60 s used up at f+0x1"),
        (used_up(99, Budget(99), "in a call"), "budget of 99 instructions used up at f+0x1; in a call"),
        (Ending(How.BUDGET, error=EmulatorError("no number is left")), "no number is left"),
        (Ending(How.DIVERGED, error=EmulatorError("one\ntwo")), "one"),
    ],
)
def test_an_end_is_one_line(ending: Ending, text: str) -> None:
    assert ending_text(ending) == text
