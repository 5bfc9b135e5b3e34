"""Calls of a recorded run once more, this time with each of their instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.machine import Ending
from emulator.machine.recording import record
from emulator.report.step_text import instructions_of
from emulator.trace.recorder import recorded_functions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.loader.profile import Profile
    from emulator.machine.machine import Machine
    from emulator.report.step_text import Instruction
    from emulator.trace.events import Call

_STEPS_MAX = 1 << 20


def replayed(
    machine: Machine, profile: Profile, calls: Iterable[Call]
) -> Iterator[tuple[Call, list[Instruction]]]:
    """Run a machine from call to call.

    A call that is made by one of the others has its instructions there, and none of its own.

    Args:
        machine: As the recorded one was before its run.
        profile: What was recorded.
        calls: In order of entry. Those that did not return end the run.

    Yields:
        Each call and its instructions, the first million of them.
    """
    recording = record(machine, recorded_functions(profile))
    for call in calls:
        if recording.event_count >= call.entered:
            yield call, []
            continue
        machine.run(stop_at_event=call.entered)
        machine.cpu.keep_steps(_STEPS_MAX)
        ending = machine.run(stop_at_event=call.left).ending
        steps = machine.cpu.steps()
        machine.cpu.keep_steps(0)
        yield call, list(instructions_of(machine, steps))
        if ending is not Ending.EVENT:
            return
