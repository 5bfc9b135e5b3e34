"""Bring a machine to any moment of its run, forwards and backwards, as if it had never been stopped.

A run depends on nothing outside of it, so it repeats itself to the bit. Any moment is reached again from a checkpoint before it. What somebody
changes from outside belongs to the run from then on: it is done again at the same moment.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import contextmanager, suppress
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import BudgetUsedUp, Cancelled, EmulatorError, HostError
from emulator.machine.core.stops import Instant, Stopping
from emulator.machine.execution import Returned
from emulator.replay.moment import Moment
from emulator.run.ending import NO_LIMIT, Budget, Ending, How
from emulator.run.to_end import ending_by, ending_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.execution import Outcome
    from emulator.machine.machine import Machine

CHECKPOINTS_MAX: Final = 60
"""Checkpoints that are kept at a time; the core holds 64 snapshots. Each has the pages that are written from there to the next one."""
CHECKPOINT_BYTES_MAX: Final = 256 << 20
"""Memory that the pages of all checkpoints may take where one more is kept, in bytes."""

_NEVER: Final = 1 << 64
_FIRST: Final = 8_000_000  # instructions after which the first checkpoint is kept
_GROWTH: Final = 30  # each next one comes this part of the run so far later
_NEAR: Final = 20_000  # instructions that are executed in some microseconds
_TRIES: Final = 4
_FAR: Final = 1_000_000


def _do_nothing() -> None:
    pass


class Halt(Enum):
    """Why a machine has stopped on its way."""

    TARGET = "target"  # it is where it was to go
    BREAKPOINT = "breakpoint"
    FAULT = "fault"  # at the first instruction of an exception's handler
    EVENT = "event"
    ACCESS = "access"  # in front of a bad one
    END = "end"  # of the run
    CANCELLED = "cancelled"
    TIME = "time"  # the seconds of the host are used up


class Checkpoint(NamedTuple):
    """A moment to come back to.

    Attributes:
        moment: Not `entered`.
        snapshot: Of the machine.
        event: Its newest event.
        edits: How many were done by then.
        output: How much each console had shown.
        ending: How the run ended here; None: it did not.
    """

    moment: Moment
    snapshot: Snapshot
    event: int
    edits: int
    output: tuple[int, ...]
    ending: Ending | None


class Edit(NamedTuple):
    """A change from outside.

    Attributes:
        moment: When.
        change: Does it.
    """

    moment: Moment
    change: Callable[[], None]


class Travel:
    """A machine that goes through its run, to any moment and back.

    Only one thread may use it, but for `cancel`.

    Args:
        machine: With its layers attached, and not run yet.
        budget: What the run may take in all: instructions of the guest; the seconds count from now.

    Attributes:
        machine: See *machine*.
        ending: How the run ended; None while the machine does not stand at its end.
        on_jump: Called when the machine has gone forwards to a checkpoint, without the calls in between.
        on_return: Called when the machine is going to go back.
        until_idle: Whether the run ends when the kernel has only waited for two seconds of virtual time (`emulator.machine.until`); for one way from the start.
        steps_left: Instructions that might still have begun on the last way forwards, if they were counted.

    Raises:
        HostError: This libunicorn does not let runs be stopped exactly, the machine has the reference MMU, or the host has no memory for a checkpoint.
    """

    def __init__(self, machine: Machine, budget: Budget = NO_LIMIT) -> None:
        self.machine = machine
        self.ending: Ending | None = None
        self.until_idle = False
        self.steps_left = 0
        self._budget = budget
        self._deadline = None if budget.timeout_s is None else monotonic() + budget.timeout_s
        self._cut: Ending | None = None
        self._entered = False
        self._edits: list[Edit] = []
        self._edits_done = 0
        self._stops = machine.stops
        self._stops.stop_at(None)
        self._start = self._stops.now
        limit = budget.max_instructions
        self._last = None if limit is None else Instant(self._start.instructions + limit)
        self._checkpoints: list[Checkpoint] = []
        self._behind = 0  # how many of them are not ahead
        self._is_leaving = False  # goes to an exact moment after a request
        self._keeps = True  # keeps and passes those that are due; else what is written is noted
        self._output = [b"" for _ in machine.output]  # the most of it that was shown by consoles
        self.on_jump: Callable[[], None] = _do_nothing
        self.on_return: Callable[[], None] = _do_nothing
        self.keep()

    @property
    def moment(self) -> Moment:
        """Where the machine stands; while it runs, for conditions of breakpoints, too."""
        return Moment(*self._stops.now, self._entered, self.ending is not None)

    @property
    def start(self) -> Moment:
        """Where the run begins."""
        return self._checkpoints[0].moment

    @property
    def checkpoints(self) -> Sequence[Checkpoint]:
        """Those there are, the oldest first; some may be ahead."""
        return self._checkpoints

    @property
    def checkpoint_bytes(self) -> int:
        """How much memory their pages take, in bytes."""
        return self._checkpoints[0].snapshot.total_size

    def cancel(self) -> None:
        """End what another thread does with this machine, before long: it gets `Halt.CANCELLED`.

        A request that falls between two runs of the machine can be lost; ask again until the other thread is done.
        """
        if not self._is_leaving:
            self.machine.stop(Cancelled())

    @property
    def is_late(self) -> bool:
        """Whether the seconds of the host are used up."""
        return self._deadline is not None and monotonic() >= self._deadline

    def end_here(self, ending: Ending) -> None:
        """Let the run end where the machine stands, in a way that is given, and moves take any time from now on."""
        self._deadline = None
        if self.ending is None or ending.how is How.IDLE:
            self._last, self._cut = self._stops.now, ending
            self._end(ending)

    # -- forwards ----------------------------------------------------------------------------------

    def forward(self, target: Moment | None = None, event: int = 0, steps: int = 0) -> Halt:
        """Go on until something stops the machine.

        Args:
            target: Not before here; None: nowhere.
            event: Number of the event to stop at; 0: none.
            steps: Instructions that may begin from here on; 0: any number.

        Raises:
            HostError: The host cannot give what the run needs.
            BaseException: What a callback has raised, or the handler of a signal; the machine stands somewhere on its way.
        """
        if self.ending is not None:
            return Halt.END
        self._stops.stop_after(steps)
        try:
            while target is None or target > self.moment:
                halt = self._next(target, event)
                if halt is not None:
                    return halt
                if steps and self._stops.steps_left == 0:
                    break
        finally:
            self.steps_left = self._stops.steps_left
            self._stops.stop_after(0)
        return Halt.TARGET

    def _next(self, target: Moment | None, event: int) -> Halt | None:
        """Run to the next moment at which there is something to do; None: that is done."""
        here = self.moment
        if target is not None and target.entered and target[:2] == here[:2]:
            event = event or self.machine.calls.event_count + 1
        edit = self._edits[self._edits_done] if self._edits_done < len(self._edits) else None
        is_edited = edit is not None and edit.moment.entered and edit.moment[:2] == here[:2]
        halt = self._run(
            self._earliest(target, edit), self.machine.calls.event_count + 1 if is_edited else event
        )
        if halt in (Halt.END, Halt.CANCELLED, Halt.TIME):
            return halt
        here = self.moment
        while self._edits_done < len(self._edits) and self._edits[self._edits_done].moment <= here:
            self._edits[self._edits_done].change()
            self._edits_done += 1
        if halt is Halt.EVENT and not 0 < event <= self.machine.calls.event_count:
            halt = Halt.TARGET  # of an edit, or one of several calls that return at one instruction
        if not here.entered and here.instructions >= self._due:
            try:
                self.keep()
            except Cancelled:  # has come between two runs
                return Halt.CANCELLED
        if halt is Halt.TARGET:
            if self._last is not None and Instant(*here[:2]) >= self._last:
                return self._end(
                    self._cut or self._out_of(f"budget of {self._budget.max_instructions} instructions")
                )
            return None
        return halt

    def _earliest(self, target: Moment | None, edit: Edit | None) -> Instant | None:
        """Return where the machine is to stop next at the latest."""
        here = Instant(*self.moment[:2])
        stops = [Instant(*each[:2]) for each in (target, edit and edit.moment) if each is not None]
        stops += [Instant(self._due)] if self._due is not _NEVER else []
        stops += [] if self._last is None else [self._last]
        return min((each for each in stops if each > here), default=None)

    @property
    def _due(self) -> int:
        """When the next checkpoint is to be kept, or is there."""
        if not self._keeps:
            return _NEVER
        if self._behind < len(self._checkpoints) and not self._checkpoints[self._behind].moment.at_end:
            return self._checkpoints[self._behind].moment.instructions
        if self._behind < len(self._checkpoints):
            return _NEVER
        newest = self._checkpoints[-1].moment.instructions
        return newest + max(_FIRST, newest // _GROWTH)

    def _run(self, stop: Instant | None, event: int) -> Halt:
        machine, stops = self.machine, self._stops
        before = stops.now
        stops.stop_at(stop)
        seconds = None if self._deadline is None else max(0.0, self._deadline - monotonic())
        try:
            outcome = machine.run(stop_at_event=event or None, timeout_s=seconds, until_idle=self.until_idle)
        except Cancelled:
            self._left(before)
            return Halt.CANCELLED
        except HostError:
            raise
        except BudgetUsedUp:
            self._left(before)
            return Halt.TIME
        except EmulatorError as error:
            return self._end(ending_by(machine, self._budget, error))
        except BaseException:
            self._moved_from(before)
            raise
        halt = self._halted(outcome, before)
        return self._settled() if halt is Halt.EVENT and not self._entered else halt

    def _settled(self) -> Halt:
        """Where calls have returned, take the interrupt that comes before the next instruction, as it is taken wherever a machine stops in front of one."""
        with self._stops.settling():
            halt = self._run(None, 0)
        return Halt.EVENT if halt is Halt.TARGET else halt

    def _halted(self, outcome: Outcome, before: Instant) -> Halt:
        now = self._stops.now
        self._moved_from(before)
        match outcome.ending:
            case Returned.STOP:
                reached = self._stops.reached
                if reached is not None and reached[1] == now and self._stops.mode is Stopping.STOPS:
                    return Halt.BREAKPOINT
                return Halt.FAULT if now.faults and self._stops.at_faults else Halt.TARGET
            case Returned.EVENT:
                self._entered = self.machine.calls.stands_at_entry
                return Halt.EVENT
            case Returned.BAD_ACCESS:
                return Halt.ACCESS
            case Returned.ASKED:
                return Halt.CANCELLED
        return self._end(ending_of(self.machine, outcome))

    def _left(self, before: Instant) -> None:
        """A run was left from outside, perhaps in the middle of a block, which counts as a whole: go from the checkpoint behind to where that count is right."""
        self._moved_from(before)
        now = self._stops.now
        if now == before or self._is_leaving:
            return
        deadline, self._deadline = self._deadline, None  # this takes the time it takes
        self._is_leaving = True
        try:
            for _ in range(_TRIES):  # a request may have come before it was known that none counts
                self._return(self._behind - 1)
                self.machine.forget_stop()
                if self.pass_to(Moment(*now)) is not Halt.CANCELLED:
                    return
            self._return(self._behind - 1)
        finally:
            self._is_leaving, self._deadline = False, deadline

    def _moved_from(self, before: Instant) -> None:
        if self._stops.now != before:
            self._entered = False

    def _end(self, ending: Ending) -> Halt:
        self._entered = False
        executed = self._stops.now.instructions - self._start.instructions
        self.ending = ending._replace(instructions=executed)
        return Halt.END

    def out_of_time(self) -> Ending:
        """Return how a run ends here whose seconds are used up."""
        return self._out_of("time budget")

    def _out_of(self, budget: str) -> Ending:
        from emulator.wording import code_location

        eip = self.machine.registers().eip
        error = BudgetUsedUp(f"{budget} used up", eip, code_location(*self.machine.image.location(eip)))
        return ending_by(self.machine, self._budget, error)

    @contextmanager
    def noting_writes(self) -> Iterator[dict[int, bytes]]:
        """Note what is written inside the block, in which the machine only goes forwards: address of a page -> its bytes before.

        It is known after the block. Of a move that is cancelled nothing is.
        """
        newest = self._checkpoints[self._behind - 1].moment
        pages: dict[int, bytes] = {}
        before = self.machine.snapshot()
        self._keeps = False  # a checkpoint inside of *before* would go with it
        try:
            yield pages
            self.machine.snapshot()  # up to here *before* counts
            pages.update(before.pages_written())
        finally:
            self._keeps = True
            with suppress(HostError):  # a move to an event that was cancelled has gone back, and it is gone
                before.discard()
            following = self._checkpoints[self._behind : self._behind + 1]
            if following and following[0].moment <= self.moment:  # it has not been passed as such
                here = self.moment
                self.back_to(newest)
                self.pass_to(here)

    # -- backwards ---------------------------------------------------------------------------------

    def keep(self) -> None:
        """Keep a checkpoint here, if there is none, and if there is room; others make way. Not in front of a handler, nor where a call is recorded already."""
        here, checkpoints = self.moment, self._checkpoints
        if here.entered or here.faults or (checkpoints and checkpoints[self._behind - 1].moment == here):
            return
        if self._behind < len(checkpoints) and checkpoints[self._behind].moment <= here:
            if checkpoints[self._behind].moment == here and checkpoints[self._behind].snapshot.go_ahead():
                self._behind += 1
                self._arrived()
                return
            self._forget_ahead()
        if not self._make_room():
            return
        machine = self.machine
        snapshot = machine.snapshot()
        snapshot.lead_ahead()
        output = tuple(map(len, machine.output.values()))
        event = machine.calls.event_count
        kept = Checkpoint(here, snapshot, event, self._edits_done, output, self.ending)
        checkpoints.insert(self._behind, kept)
        self._behind += 1

    def _make_room(self) -> bool:
        """Drop checkpoints where others are near until one more may be kept; return whether it may."""
        checkpoints = self._checkpoints
        while checkpoints and (
            len(checkpoints) >= CHECKPOINTS_MAX or self.checkpoint_bytes > CHECKPOINT_BYTES_MAX
        ):
            others = [each for each in range(1, len(checkpoints) - 1) if each != self._behind - 1]
            least = min(others, key=self._gap_without, default=0)
            if not least or not checkpoints[least].snapshot.drop():
                return False
            del checkpoints[least]
            self._behind -= least < self._behind
        return True

    def _gap_without(self, number: int) -> int:
        before, after = self._checkpoints[number - 1].moment, self._checkpoints[number + 1].moment
        return after.instructions - before.instructions

    def _forget_ahead(self) -> None:
        if self._behind < len(self._checkpoints):
            self._checkpoints[0].snapshot.forget_ahead()
            del self._checkpoints[self._behind :]

    def go_to(self, moment: Moment) -> Halt:
        """Go to a moment; nothing stops on the way.

        Returns:
            `Halt.TARGET`; or the run has ended before, or was stopped from outside.

        Raises:
            HostError, BaseException: See `forward`.
        """
        if moment < self.moment:
            self.back_to(moment)
        else:
            self._jump(bisect_right(self._checkpoints, moment, key=lambda each: each.moment))
        return self.pass_to(moment)

    def approach(self, moment: Moment) -> Halt:
        """Go to a moment, as `go_to` does, where others near it are going to be asked for: they are reached sooner afterwards."""
        following = bisect_right(self._checkpoints, moment, key=lambda each: each.moment)
        newest = self._checkpoints[max(0, following - 1)].moment.instructions
        near = Moment(moment.instructions - _NEAR)
        if near.instructions - newest > _FAR:
            halt = self.go_to(near)
            if halt is not Halt.TARGET:
                return halt
            self.keep()
        return self.go_to(moment)

    def pass_to(self, moment: Moment) -> Halt:
        """Go on to a moment, not before here, by executing all that is in between; see `go_to`."""
        with self._stops.mode_for(Stopping.IGNORES):
            halt = self.forward(None if moment.at_end else moment)
            return Halt.TARGET if self.moment == moment else halt

    def pass_straight(self, moment: Moment) -> Halt:
        """The same past checkpoints that are ahead, without the time that each takes; the machine has to go back from there to where it stood, or before."""
        self._keeps = False
        try:
            return self.pass_to(moment)
        finally:
            self._keeps = True

    def go_to_event(self, event: int) -> Halt:
        """Go to where an event, from 1, has just happened; nothing else stops on the way.

        Returns:
            `Halt.EVENT`; or as `go_to`.

        Raises:
            HostError, BaseException: See `forward`.
        """
        following = bisect_left(self._checkpoints, event, key=lambda each: each.event)
        if event <= self.machine.calls.event_count:
            self._return(max(0, following - 1))
        else:
            self._jump(following)
        with self._stops.mode_for(Stopping.IGNORES):
            return self.forward(event=event)

    def back_to(self, moment: Moment) -> None:
        """Return to the newest checkpoint that is not after a moment, or to the first one."""
        following = bisect_right(self._checkpoints, moment, hi=self._behind, key=lambda each: each.moment)
        self._return(max(0, following - 1))

    def back_to_start(self) -> None:
        """Return to the start, and forget all checkpoints after it."""
        self._return(0)
        self._forget_ahead()

    def _return(self, position: int) -> None:
        """Go back to a checkpoint; those after it stay ahead, where that can be."""
        self.on_return()
        self._output = [
            max(known, bytes(now), key=len)
            for known, now in zip(self._output, self.machine.output.values(), strict=True)
        ]
        stay = self._checkpoints[position].snapshot.reset_keeping()
        self._behind = position + 1
        if not stay:
            del self._checkpoints[self._behind :]
        self._arrived()

    def _jump(self, following: int) -> None:
        """Go forwards to the checkpoint before one of them, if it is ahead, and if what happens on the way is not to be noted."""
        if not self._keeps:
            return
        while following > self._behind and not self._checkpoints[following - 1].snapshot.go_ahead():
            following -= 1
        if following <= self._behind:
            return
        checkpoint = self._checkpoints[following - 1]
        for text, known, size in zip(
            self.machine.output.values(), self._output, checkpoint.output, strict=True
        ):
            text.extend(known[len(text) : size])
        self._behind = following
        self._arrived()
        self.on_jump()

    def _arrived(self) -> None:
        """At a checkpoint."""
        checkpoint = self._checkpoints[self._behind - 1]
        self._entered = False
        self.ending = checkpoint.ending
        self._edits_done = checkpoint.edits
        while (
            self._edits_done < len(self._edits) and self._edits[self._edits_done].moment <= checkpoint.moment
        ):
            self._edits[self._edits_done].change()
            self._edits_done += 1

    # -- changes from outside ------------------------------------------------------------------------

    def edit(self, change: Callable[[], None]) -> None:
        """Change the machine here. From now on that belongs to the run, and what was changed later does not.

        Raises:
            ValueError: The run has ended here.
            BaseException: What *change* raises; nothing was changed.
        """
        here = self.moment
        if here.at_end:
            raise ValueError("the run has ended: what is changed now has no effect; go back first")
        change()
        self._forget_ahead()
        del self._edits[self._edits_done :]
        self._edits.append(Edit(here, change))
        self._edits_done += 1
