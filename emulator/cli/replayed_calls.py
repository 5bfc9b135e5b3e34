"""Calls of a recorded run once more, this time with each of their instructions."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import BudgetUsedUp, EmulatorError
from emulator.guest.executed import executed_instructions
from emulator.machine.execution import Ending
from emulator.trace.recording import record_calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.guest.executed import ExecutedInstruction
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.trace.table import Call

_STEPS_MAX = 1 << 16  # so many take no more than 100 MiB


class ReplayedCall(NamedTuple):
    """A call and what happened in it.

    Attributes:
        instructions: Of the call; none where it is made by one of the others, which has them.
        cut: Which instructions are the only ones of more; "" if none is missing.
    """

    call: Call
    instructions: list[ExecutedInstruction]
    cut: str = ""


class Replay:
    """The second run.

    Args:
        machine: As the recorded one was before its run.
        profile: What was recorded.
        max_instructions: Budget, the same as that of the recorded run; None: no limit.
        timeout_s: Budget in seconds of the host, for this run alone; None: no limit.
    """

    def __init__(
        self, machine: Machine, profile: Profile, max_instructions: int | None, timeout_s: float | None
    ) -> None:
        self._machine = machine
        self._recording = record_calls(machine, profile)
        self._left = max_instructions
        self._deadline = None if timeout_s is None else monotonic() + timeout_s

    def calls(self, calls: Iterable[Call]) -> Iterator[ReplayedCall]:
        """Run from call to call.

        Args:
            calls: In order of entry. One that did not return ends the run as it ended the recorded one.

        Raises:
            BudgetUsedUp: The seconds are used up; the last call that was yielded may lack instructions.
        """
        for call in calls:
            if self._recording.event_count >= call.entered:
                yield ReplayedCall(call, [])
                continue
            if self._run_to(call.entered):
                yield self._inside(call)
            if self._seconds_left() == 0:
                eip = self._machine.registers().eip
                raise BudgetUsedUp("time budget used up", eip, self._machine.image.location(eip))

    def _inside(self, call: Call) -> ReplayedCall:
        with self._machine.observers.log_steps(_STEPS_MAX) as log:
            self._run_to(call.left or 0)
            steps = log.steps()
        instructions: list[ExecutedInstruction] = []
        for each in executed_instructions(self._machine, steps):
            if self._seconds_left() == 0:
                return ReplayedCall(call, instructions, "those there was time for")
            instructions.append(each)
        most = f"the first {_STEPS_MAX} instructions and accesses" if len(steps) == _STEPS_MAX else ""
        return ReplayedCall(call, instructions, most)

    def _run_to(self, event: int) -> bool:
        """Run to an event, 0: to the end. False when something else ended the run: it has ended the recorded one, too."""
        try:
            outcome = self._machine.run(
                max_instructions=self._left, timeout_s=self._seconds_left(), stop_at_event=event
            )
        except EmulatorError:
            return False
        if self._left is not None:
            self._left -= outcome.instructions
        return outcome.ending is Ending.EVENT

    def _seconds_left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())
