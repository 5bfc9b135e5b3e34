"""Exact travel over the events of one machine's run, forwards and backwards.

The run is recorded once, from the first instruction to its end, and the machine goes back to the start. From then on every
place of the run can be reached again: the machine returns to the nearest snapshot at or before it and runs on from
there. A run depends on nothing outside of it, so it repeats itself to the byte.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from emulator.debug.changes import Change, find_changes
from emulator.errors import Cancelled, EmulatorError, NotRepeated
from emulator.guest.symbolizer import Symbolizer
from emulator.guest.symbols import symbol
from emulator.machine.execution import Ending as Returned
from emulator.run.ending import NO_LIMIT, Ending, How
from emulator.run.to_end import run_to_end
from emulator.trace.queries.search import CallSearch
from emulator.trace.recording import CallLog
from emulator.trace.table import CallTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.guest.symbolizer import Frame
    from emulator.machine.machine import Machine
    from emulator.machine.snapshots import Snapshot
    from emulator.profile.model import Profile
    from emulator.run.ending import Budget
    from emulator.trace.table import Call

SNAPSHOTS_MAX = 48
"""Snapshots kept at a time; the core holds 64."""


class Stop(NamedTuple):
    """A place to come back to."""

    event: int
    snapshot: Snapshot


class Place(NamedTuple):
    """A place of the run: behind an event, or where the run ended."""

    event: int
    at_end: bool


class Timeline:
    """One machine and all events of its run.

    Only one thread at a time may use it, but for `reached` and `cancel`.

    Args:
        machine: Loaded, with its layers attached (not in lockstep), and not run yet.
        profile: The functions whose calls are events; the kernel has them all.

    Attributes:
        machine: It stands at `position`.
        profile: See *profile*.
        calls: All calls of the run; none before `record`.
        search: Finds calls among them.
        position: The event that has just happened; 0 before the first instruction.
        event_count: Events of the whole run.
        at_end: The machine stands behind the last event, where the run ended.
        ending: How the run ended; `How.NOT_RUN` before `record`.

    Raises:
        HostError: The host cannot give the memory for a snapshot.
    """

    def __init__(self, machine: Machine, profile: Profile) -> None:
        self.machine = machine
        self.profile = profile
        self.calls = CallTable((), profile)
        self.search = CallSearch(self.calls)
        self.position = 0
        self.event_count = 0
        self.at_end = False
        self.ending = Ending(How.NOT_RUN)
        self._has_end = True  # the end is reached again by running on
        self._log = CallLog(machine, profile)
        self._symbolizer = Symbolizer(machine.image)
        self.frames = cache(self._frames)
        self._stops = [Stop(0, machine.snapshot())]

    def record(self, budget: Budget = NO_LIMIT) -> None:
        """Run from the start to the end, note all calls, and return to the start.

        A run that is stopped by a budget, or by `cancel`, has the events so far.
        """
        try:
            self.ending = run_to_end(self.machine, budget)
        except Cancelled as error:
            self.ending = Ending(How.INTERRUPTED, error=error)
        if isinstance(self.ending.error, KeyboardInterrupt):
            raise self.ending.error
        self._has_end = self.ending.how not in (How.BUDGET, How.INTERRUPTED)
        self.calls = self._log.finish()
        self.search = CallSearch(self.calls)
        self.event_count = self.calls.last_event
        self._return_to(self._stops[0])

    # -- what is known of the calls ------------------------------------------------------------------

    def _frames(self, stack: int) -> tuple[Frame, ...]:
        """Return the call stack of a call's `stack` number, the caller first; empty for 0."""
        return self._symbolizer.callers(self._log.recording.stack(stack))

    def call_of(self, event: int) -> Call | None:
        """Return the call that an event is the entry or the exit of; None for 0."""
        number = self.calls.number_at(event)
        return self.calls.call(number) if number else None

    def block_of(self, call: Call) -> int | None:
        """Return the address of the block that a call takes or gives back, as the kernel writes it."""
        return self.search.block_of(call.number)

    # -- travel ------------------------------------------------------------------------------------

    @property
    def reached(self) -> int:
        """The newest event of a run that is under way; for another thread to look at."""
        return self.machine.calls.event_count

    @property
    def place(self) -> Place:
        """Where the machine stands."""
        return Place(self.position, self.at_end)

    def cancel(self) -> None:
        """Stop what another thread does with this timeline: it gets `Cancelled` raised.

        A request that falls between two runs of the machine can be lost; ask again until the other thread is done.
        """
        self.machine.stop(Cancelled())

    def forget_cancel(self) -> None:
        """Let a request of `cancel` that came too late have no effect on what follows."""
        self.machine.forget_stop()

    def go_to(self, event: int) -> None:
        """Go to where *event* has just happened.

        Raises:
            ValueError: There is no such event.
            Cancelled: On the way; the timeline stands at some earlier event.
        """
        if not 0 <= event <= self.event_count:
            raise ValueError(f"there is no event {event}: the run has events 0 to {self.event_count}")
        if event < self.position or self.at_end:
            self._return_to(self._stop_before(event))
        while self.position < event:
            following = (self.position // self._spacing + 1) * self._spacing
            self._run_to(min(event, following))
            if self.position == following:
                self._stops.append(Stop(following, self.machine.snapshot()))

    def go_to_place(self, place: Place) -> None:
        """Go to a place that `place` returned."""
        self.go_to(place.event)
        if place.at_end:
            self.run_to_end()

    def run_to_end(self) -> None:
        """Go to where the run ended; to the last event, if it was stopped from outside."""
        if self.at_end:
            return
        self.go_to(self.event_count)
        if self._has_end:
            self._run_on()

    @property
    def _spacing(self) -> int:
        """Events from one snapshot to the next."""
        return max(1, -(-self.event_count // (SNAPSHOTS_MAX - 1)))

    def _stop_before(self, event: int) -> Stop:
        return self._stops[bisect_right(self._stops, event, key=lambda stop: stop.event) - 1]

    def _run_to(self, event: int) -> None:
        """Run on to an event, without a snapshot on the way."""
        if self.machine.calls.event_count < event:  # several calls may return at one instruction
            with self._exact():
                outcome = self.machine.run(stop_at_event=event)
            if outcome.ending is not Returned.EVENT:
                raise NotRepeated(event, self.machine.calls.event_count)
        self.position = event

    def _run_on(self) -> None:
        """Run on to the end of the run."""
        with self._exact(), suppress(EmulatorError):
            self.machine.run()
        self.at_end = True

    @contextmanager
    def _exact(self) -> Iterator[None]:
        """Go back to the last snapshot when the body fails: a run that is stopped somewhere leaves the clock inexact."""
        try:
            yield
        except BaseException:
            self._return_to(self._stops[-1])
            raise

    def _return_to(self, stop: Stop) -> None:
        stop.snapshot.reset()
        del self._stops[self._stops.index(stop) + 1 :]
        self.position, self.at_end = stop.event, False

    # -- what happened on the way --------------------------------------------------------------------

    def changed(self) -> list[Change]:
        """Return the bytes that the last call has changed, from its entry to its exit, without those below ESP.

        Empty where the machine does not stand at the exit of a call. A model that stands in for the function works
        right before the entry, so what happened since the event before counts, too.
        """
        call = self.call_of(self.position)
        if call is None or call.left != self.position or self.at_end:
            return []
        self.go_to(call.entered - self._is_modelled(call))
        before = self.machine.snapshot()
        self._run_to(call.left)
        self.machine.snapshot()
        pages = before.pages_written()
        before.discard()
        return find_changes(self.machine, pages)

    def _is_modelled(self, call: Call) -> bool:
        """Whether a function's first instruction is another one than in the kernel's file."""
        image = self.machine.image
        found = symbol(image, call.function)
        if found is None:
            return False
        code = image.code(found.address, 1)
        return self.machine.memory.read(image.physical(found.address), len(code)) != code

    def pieces_that_wrote(self, physical: int, size: int) -> list[tuple[int, Place]]:
        """Return pieces of the run up to here: all in which one of some bytes can have been written, newest first.

        Args:
            physical: Address of the first byte.
            size: At most a page.

        Returns:
            The event behind which each piece begins, and the place where it ends.
        """
        pieces = []
        end = self.place
        for stop in reversed(self._stops):
            is_newest = stop is self._stops[-1]
            ends = {physical, physical + size - 1}
            if end.event > stop.event or end.at_end:
                if is_newest or any(map(stop.snapshot.page_written, ends)):
                    pieces.append((stop.event, end))
                end = Place(stop.event, at_end=False)
        return pieces
