"""Recorded timelines of built-in kernels."""

from __future__ import annotations

from emulator import boot
from emulator.profile.known import matching_profile
from emulator.replay.timeline import Timeline


def timeline_of(kernel: str, *, command_line: str = "", record: bool = True) -> Timeline:
    """Return a timeline of a built-in kernel; it stands at the start."""
    machine = boot(f"firmware:{kernel}", command_line=command_line)
    timeline = Timeline(machine, matching_profile(machine.image))
    if record:
        timeline.record()
    return timeline


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
