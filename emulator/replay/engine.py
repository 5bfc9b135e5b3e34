"""Run a kernel once more, to events of its run, and back to a checkpoint.

A run depends on nothing outside of it, so it repeats itself to the byte. An event after the checkpoint is reached again by running on from there.
Checks and injections go to the same events in thousands of runs, and never anywhere else: `emulator.replay.travel` goes to any moment of one.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import EmulatorError, HostError
from emulator.machine.execution import Returned
from emulator.run.ending import NO_LIMIT, Budget
from emulator.trace.checking import check_accesses
from emulator.trace.recording import record_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording
    from emulator.profile.model import Profile


class Position(NamedTuple):
    """Where in its run a machine stands: after an event, or where the run ended."""

    event: int
    at_end: bool = False


class Checkpoint(NamedTuple):
    """An event to come back to.

    Attributes:
        left: Instructions of the budget that are left there; None: it is not limited.
    """

    event: int
    snapshot: Snapshot
    left: int | None


class Replay:
    """A machine that goes through its run, and back to one checkpoint.

    Args:
        recording: Of a machine that has not run yet, with its layers attached: the recorded calls are the events.
        profile: What is recorded.
        budget: What the run may take in all; the seconds count from now.

    Attributes:
        recording: See *recording*.
        profile: See *profile*.
        machine: It stands at `position`.
        position: 0 before the first instruction.
    """

    def __init__(self, recording: Recording, profile: Profile, budget: Budget = NO_LIMIT) -> None:
        self.recording = recording
        self.profile = profile
        self.machine = recording.machine
        self.position = Position(0)
        self._checkpoint: Checkpoint | None = None
        self._left = budget.max_instructions
        self._deadline = None if budget.timeout_s is None else monotonic() + budget.timeout_s

    @property
    def reached(self) -> int:
        """The newest event of the machine."""
        return self.machine.calls.event_count

    @property
    def seconds_left(self) -> float | None:
        """What is left of the time; None: it is not limited."""
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())

    def keep(self) -> None:
        """Keep a checkpoint here, in place of the one there was.

        Raises:
            HostError: The host cannot give the memory.
        """
        if self._checkpoint is not None:
            self._checkpoint.snapshot.discard()
        self._checkpoint = Checkpoint(self.position.event, self.machine.snapshot(), self._left)

    def back(self) -> None:
        """Return to the checkpoint, if there is one."""
        if self._checkpoint is not None:
            self._checkpoint.snapshot.reset()
            self.position = Position(self._checkpoint.event)
            self._left = self._checkpoint.left

    # Travel.

    def go_to(self, event: int) -> bool:
        """Go to where *event* has just happened.

        Returns:
            Whether the machine is there. If not, it stands where the run ended, before the event; or it would have had to go
            back, and there is no checkpoint.

        Raises:
            HostError: The host cannot give what the run needs.
        """
        if event < self.position.event or self.position.at_end:
            if self._checkpoint is None or event < self._checkpoint.event:
                return False
            self.back()
        if self.reached < event and not self._run_on(event):  # several calls may return at one instruction
            return False
        self.position = Position(event)
        return True

    def run_to_end(self) -> None:
        """Go to where the run ended: the kernel ended it, could not go on, or the budget was used up.

        Raises:
            HostError: See `go_to`.
        """
        if not self.position.at_end:
            self._run_on(None)

    def go_to_position(self, position: Position) -> None:
        """Go to where the machine has stood.

        Raises:
            HostError: See `go_to`.
        """
        self.go_to(position.event)
        if position.at_end:
            self.run_to_end()

    def _run_on(self, event: int | None) -> bool:
        """Run on to an event, None: to the end. Return whether the event was reached; else the run has ended."""
        try:
            outcome = self.machine.run(
                stop_at_event=event, max_instructions=self._left, timeout_s=self.seconds_left
            )
        except HostError:
            self.back()
            raise
        except EmulatorError:  # that is how the run ended the first time, too
            self.position = Position(self.reached, at_end=True)
            return False
        except BaseException:
            self.back()  # a run that is stopped somewhere leaves the clock inexact
            raise
        if self._left is not None:
            self._left -= outcome.instructions
        is_there = outcome.ending is Returned.EVENT
        if not is_there:
            self.position = Position(self.reached, at_end=True)
        return is_there


class Rerun(NamedTuple):
    """How to run a kernel once more.

    Attributes:
        new_machine: Makes a machine as the first one was before its run.
        profile: What was recorded.
        max_instructions: How many were executed in all, or the run's budget; None: the kernel ended the run by itself.
        sanitized: Its accesses were checked. Of a kernel that was compiled with KASAN they are again: its code finds the same in its shadow.
    """

    new_machine: Callable[[], Machine]
    profile: Profile
    max_instructions: int | None = None
    sanitized: bool = False

    def replay(self) -> Replay:
        """Return a replay that stands at the start, with a new machine."""
        machine = self.new_machine()
        recording = record_calls(machine, self.profile)
        if self.sanitized and machine.image.kasan is not None:
            check_accesses(machine, self.profile)
        return Replay(recording, self.profile, Budget(self.max_instructions))
