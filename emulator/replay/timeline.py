"""A run whose events are all known, and its replay.

The run is recorded once, from the first instruction to its end, and the machine goes back to the start. From then on every
event can be reached again.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from emulator.errors import Cancelled, EmulatorError
from emulator.guest.symbolizer import Symbolizer
from emulator.replay.engine import CHECKPOINTS_MAX, Replay
from emulator.run.ending import NO_LIMIT, Ending, How
from emulator.run.to_end import run_to_end
from emulator.trace.queries.search import CallSearch
from emulator.trace.recording import CallLog
from emulator.trace.table import CallTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.guest.symbolizer import Frame
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.run.ending import Budget
    from emulator.trace.logged import LoggedTrace
    from emulator.trace.table import Call


class Timeline(Replay):
    """One machine and all events of its run.

    Args:
        machine: Loaded, with its layers attached (not in lockstep), and not run yet.
        profile: The functions whose calls are events; the kernel has them all.

    Attributes:
        calls: All calls of the run; none before `record`.
        search: Answers questions about *calls*.
        event_count: Events of the whole run.
        ending: How the run ended; `How.NOT_RUN` before `record`.

    Raises:
        HostError: The host cannot give the memory for a checkpoint.
    """

    def __init__(self, machine: Machine, profile: Profile) -> None:
        self._log = CallLog(machine, profile)
        super().__init__(self._log.recording, profile)
        self.calls = CallTable((), profile)
        self.search = CallSearch(self.calls)
        self.event_count = 0
        self.ending = Ending(How.NOT_RUN)
        self._symbolizer = Symbolizer(machine.image)
        self._trace: LoggedTrace | None = None
        self.frames = cache(self._frames)
        self.keep()

    def record(self, budget: Budget = NO_LIMIT, at_end: Callable[[], None] | None = None) -> None:
        """Run from the start to the end, note all calls, and return to the start.

        A run that is stopped by a budget, or by `cancel`, has the events so far.

        Args:
            budget: What the run may take.
            at_end: Called while the machine stands at the end.

        Raises:
            KeyboardInterrupt: Ctrl-C, or a signal that is handled so.
        """
        try:
            self.ending = run_to_end(self.machine, budget)
        except Cancelled as error:
            self.ending = Ending(How.INTERRUPTED, error=error)
        if isinstance(self.ending.error, KeyboardInterrupt):
            raise self.ending.error
        if at_end is not None:
            at_end()
        from emulator.trace.logged import LoggedTrace  # not while the run is recorded

        self.calls = self._log.finish()
        self._trace = LoggedTrace(self.calls, self.recording, self._symbolizer)
        self.search = CallSearch(self.calls)
        self.event_count = self.calls.last_event
        self.spacing = max(1, -(-self.event_count // (CHECKPOINTS_MAX - 1)))
        self.back()

    def trace(self) -> LoggedTrace:
        """Return the trace of the run; while it is recorded, so far."""
        return self._log.trace(self._symbolizer) if self._trace is None else self._trace

    def go_to(self, event: int) -> bool:
        """Go to where *event* has just happened.

        Raises:
            ValueError: There is no such event.
            EmulatorError: The run has ended before.
            Cancelled: On the way; the timeline stands at some earlier event.
        """
        if not 0 <= event <= self.event_count:
            raise ValueError(f"there is no event {event}: the run has events 0 to {self.event_count}")
        if not super().go_to(event):
            raise EmulatorError(
                f"the run did not repeat itself: it ended after event {self.reached}, before event {event}"
            )
        return True

    def run_to_end(self) -> None:
        """Go to where the run ended; to the last event, if it was stopped from outside."""
        if self.position.at_end:
            return
        self.go_to(self.event_count)
        if self.ending.how not in (How.BUDGET, How.INTERRUPTED, How.BAD_ACCESS):
            super().run_to_end()

    # What is known of the calls.

    def _frames(self, stack: int) -> tuple[Frame, ...]:
        """Return the backtrace of a call's `stack` number, the caller first; empty for 0."""
        return self._symbolizer.callers(self.recording.stack(stack))

    def call_of(self, event: int) -> Call | None:
        """Return the call that an event is the entry or the exit of; None for 0."""
        number = self.calls.number_at(event)
        return self.calls.call(number) if number else None

    def block_of(self, call: Call) -> int | None:
        """Return the address of the block that a call takes or gives back, as the kernel writes it."""
        return self.search.block_of(call.number)
