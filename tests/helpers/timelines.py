"""Recorded timelines of built-in kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.debug import Debugger, debugger
from emulator.debug.timeline import Timeline
from emulator.run.ending import NO_LIMIT, Budget

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile


def timeline_of(kernel: str, *, record: bool = True, **options: Any) -> Timeline:  # noqa: ANN401 - as `debugger` has them
    """Return a timeline of a built-in kernel, or of one by its path; it stands at the start."""
    timeline = Timeline(debugger(kernel if "/" in kernel else f"firmware:{kernel}", **options))
    if record:
        timeline.record()
    return timeline


def timeline_on(machine: Machine, profile: Profile, budget: Budget = NO_LIMIT) -> Timeline:
    """Return a timeline of a machine, not recorded yet."""
    return Timeline(Debugger(machine, profile, budget=budget))


def call_number(timeline: Timeline, function: str, nth: int = 1) -> int:
    """Return the number of the nth call of a function."""
    numbers = [call.number for call in timeline.calls if call.function == function]
    return numbers[nth - 1]


def first_success(timeline: Timeline, function: str) -> int:
    """Return the number of the first call of a function that returned 0."""
    return next(call.number for call in timeline.calls if call.function == function and call.result == 0)


def go_after_return(timeline: Timeline, number: int) -> None:
    """Go to the exit of a call."""
    left = timeline.calls.call(number).left
    assert left is not None
    timeline.go_to(left)
