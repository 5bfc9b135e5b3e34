"""Go to any event of a machine's run exactly, forwards and backwards, by checkpoints and by running again.

A run depends on nothing outside of it, so it repeats itself to the byte. Any event is reached again from the nearest
checkpoint at or before it, by running on from there.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import Cancelled, EmulatorError, HostError
from emulator.machine.execution import Returned
from emulator.run.ending import NO_LIMIT, Budget
from emulator.trace.checking import check_accesses
from emulator.trace.recording import record_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording
    from emulator.profile.model import Profile

CHECKPOINTS_MAX: Final = 48
"""Checkpoints that are kept on the way at a time; the core holds 64 snapshots."""


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
    """A machine that goes through its run, to any event and back.

    To go back, there has to be a checkpoint at or before the event. Only one thread at a time may use it, but for `reached` and
    `cancel`.

    Args:
        recording: Of a machine that has not run yet, with its layers attached: the recorded calls are the events.
        profile: What is recorded.
        budget: What the run may take in all; the seconds count from now.

    Attributes:
        recording: See *recording*.
        profile: See *profile*.
        machine: It stands at `position`.
        position: 0 before the first instruction.
        spacing: A checkpoint is kept each so many events on the way; 0: only where `keep` is called.
    """

    def __init__(self, recording: Recording, profile: Profile, budget: Budget = NO_LIMIT) -> None:
        self.recording = recording
        self.profile = profile
        self.machine = recording.machine
        self.position = Position(0)
        self.spacing = 0
        self._checkpoints: list[Checkpoint] = []
        self._left = budget.max_instructions
        self._deadline = None if budget.timeout_s is None else monotonic() + budget.timeout_s

    @property
    def reached(self) -> int:
        """The newest event of the machine, which may be on its way; for another thread to read."""
        return self.machine.calls.event_count

    @property
    def seconds_left(self) -> float | None:
        """What is left of the time; None: it is not limited."""
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())

    @property
    def checkpoints(self) -> Sequence[Checkpoint]:
        """Those at or before `position`, the oldest first."""
        return self._checkpoints

    def cancel(self) -> None:
        """Stop what another thread does with this replay: it gets `Cancelled` raised.

        A request that falls between two runs of the machine can be lost; ask again until the other thread is done.
        """
        self.machine.stop(Cancelled())

    def forget_cancel(self) -> None:
        """Let a request of `cancel` that came too late have no effect on what follows."""
        self.machine.forget_stop()

    # Checkpoints.

    def keep(self) -> None:
        """Keep a checkpoint here.

        Raises:
            HostError: The host cannot give the memory, or there are too many.
        """
        self._checkpoints.append(Checkpoint(self.position.event, self.machine.snapshot(), self._left))

    def keep_only_here(self) -> None:
        """Keep a checkpoint here, and forget all others."""
        if self._checkpoints:
            self._checkpoints[0].snapshot.discard()  # with those that were taken inside it
            self._checkpoints.clear()
        self.keep()

    def back(self) -> None:
        """Return to the newest checkpoint, if there is one."""
        if self._checkpoints:
            self._return_to(self._checkpoints[-1])

    def _return_to(self, checkpoint: Checkpoint) -> None:
        checkpoint.snapshot.reset()
        del self._checkpoints[self._checkpoints.index(checkpoint) + 1 :]
        self.position = Position(checkpoint.event)
        self._left = checkpoint.left

    # Travel.

    def go_to(self, event: int) -> bool:
        """Go to where *event* has just happened.

        Returns:
            Whether the machine is there. If not, it stands where the run ended, before the event; or it would have had to go
            back, and there is no checkpoint.

        Raises:
            HostError: The host cannot give what the run needs.
            Cancelled: On the way. The machine stands at a checkpoint, if there is one.
        """
        if event < self.position.event or self.position.at_end:
            following = bisect_right(self._checkpoints, event, key=lambda checkpoint: checkpoint.event)
            if not following:
                return False
            self._return_to(self._checkpoints[following - 1])
        while self.position.event < event:
            due = (self.position.event // self.spacing + 1) * self.spacing if self.spacing else event
            if not self._run_to(min(event, due)):
                return False
            if self.spacing and self.position.event == due:
                self.keep()
        return True

    def run_to_end(self) -> None:
        """Go to where the run ended: the kernel ended it, could not go on, or the budget was used up.

        Raises:
            HostError, Cancelled: See `go_to`.
        """
        if not self.position.at_end:
            self._run_on(None)

    def go_to_position(self, position: Position) -> None:
        """Go to where the machine has stood.

        Raises:
            HostError, Cancelled: See `go_to`.
        """
        self.go_to(position.event)
        if position.at_end:
            self.run_to_end()

    def pages_written_to(self, event: int) -> dict[int, bytes]:
        """Go on to an event, without checkpoints on the way, and return what was written: address of a page -> its bytes here.

        Raises:
            HostError, Cancelled: See `go_to`.
        """
        before = self.machine.snapshot()
        self._run_to(event)
        self.machine.snapshot()  # up to here `before` counts
        pages = before.pages_written()
        before.discard()
        return pages

    def _run_to(self, event: int) -> bool:
        """Run on to an event, without a checkpoint on the way."""
        if self.reached < event and not self._run_on(event):  # several calls may return at one instruction
            return False
        self.position = Position(event)
        return True

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


@dataclass(frozen=True, slots=True)
class Rerun:
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
