"""A run whose events are all known, and the debugger that goes to them.

The run is recorded once, from the first instruction to its end, and the machine goes back to the start. From then on the debugger goes to any event, and
anywhere between two.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from emulator.debug.bad_accesses import BadAccessesOfRun
from emulator.debug.stop import StopKind
from emulator.debug.writer import is_modelled
from emulator.errors import Cancelled
from emulator.guest.symbols import symbol
from emulator.replay.changes import find_changes
from emulator.replay.moment import Moment
from emulator.run.ending import Ending, How
from emulator.trace.queries.search import CallSearch
from emulator.trace.table import CallTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Stop
    from emulator.guest.symbolizer import Frame
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.replay.changes import Change
    from emulator.trace.logged import LoggedTrace
    from emulator.trace.table import Call


_DIGITS_MAX: Final = 18
NO_EVENTS: Final = "there are no events: no profile says which functions allocate"


def arrived(stop: Stop) -> Stop:
    """Return a stop that was not asked for by `Debugger.cancel`.

    Raises:
        Cancelled: It was.
    """
    if stop.kind is StopKind.CANCELLED:
        raise Cancelled
    return stop


def read_place(text: str) -> int | Moment:
    """Read where to go: the number of an event, or ``@1000``, where so many instructions have been executed.

    Raises:
        ValueError: It is neither.
    """
    digits = text.strip().removeprefix("@")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > _DIGITS_MAX:
        raise ValueError(f"{text!r} is no number of an event, and no @INSTRUCTIONS")
    return Moment(int(digits)) if text.strip().startswith("@") else int(digits)


def arrive(debugger: Debugger, place: int | Moment) -> Stop:
    """Go to an event or a moment.

    Raises:
        ValueError: The run has ended before.
        Cancelled: On the way; the machine stands somewhere.
    """
    if isinstance(place, Moment):
        stop = arrived(debugger.go_to(place))
        if stop.moment != place:
            raise ValueError(
                f"there is no instruction {place.instructions}: the run has {stop.moment.instructions}"
            )
    else:
        stop = arrived(debugger.go_to_event(place))
        if stop.kind is StopKind.ENDED:
            raise _no_event(place, debugger.event)
    return stop


def _no_event(number: int, last: int) -> ValueError:
    return ValueError(f"there is no event {number}: the run has events 0 to {last}")


class Timeline:
    """All events of a run, and where its machine stands among them.

    Args:
        debugger: Its profile's functions' calls are the events; its machine has not run yet.

    Attributes:
        debugger: As given.
        profile: Of the debugger.
        machine: Of the debugger.
        calls: All calls of the run; none before `record`.
        search: Answers questions about *calls*.
        event_count: Events of the whole run.
        ending: How the run ended; `How.NOT_RUN` before `record`.
        bad_accesses: Those of the run, if they are looked for; none before `record`.
        unknown: Why no allocator is known, and so there are no events, for people; "": one is.
    """

    def __init__(self, debugger: Debugger) -> None:
        self.debugger = debugger
        self.profile: Profile = debugger.profile
        self.machine: Machine = debugger.machine
        self.unknown = "" if self.profile.functions else f"no allocator is known: {self.profile.reason}"
        self.calls = CallTable((), self.profile)
        self.search = CallSearch(self.calls)
        self.event_count = 0
        self.ending = Ending(How.NOT_RUN)
        self.bad_accesses = BadAccessesOfRun()
        self.frames = cache(self._frames)
        self._start = self._end = debugger.moment
        self._gone_to = debugger.moment, 0
        self._changed: tuple[Moment | None, dict[int, bytes], bool] = (None, {}, False)

    def record(self, *, to_finding: bool = False, until_idle: bool = False) -> None:
        """Run from the start to the end, note all calls, and return to the start.

        A run that is stopped by a budget, or by `Debugger.cancel`, ends there from then on.

        Args:
            to_finding: Whether the run ends in front of the first bad access.
            until_idle: See `Debugger.record`.

        Raises:
            KeyboardInterrupt: Ctrl-C, or a signal that is handled so.
        """
        debugger = self.debugger
        with debugger.only(findings=to_finding):
            stop = debugger.record(until_idle=until_idle)
        self._end = stop.moment
        self.ending = stop.ending or self.ending
        trace = self.trace()
        if trace is not None:
            self.calls = trace.calls
            self.search = CallSearch(self.calls)
        self.event_count = self.calls.last_event
        if debugger.is_checked:
            self.bad_accesses = BadAccessesOfRun(debugger.mistakes(), is_checked=True)
        self.machine.forget_stop()
        debugger.stands(None)

    def trace(self) -> LoggedTrace | None:
        """Return the trace of the run; None: no functions are known whose calls it would have."""
        return None if self.unknown else self.debugger.trace()

    # Where it stands.

    @property
    def event(self) -> int:
        """The event after which the machine stands; where several calls return at one instruction, that which was gone to."""
        moment, event = self._gone_to
        return event if moment == self.debugger.moment else self.debugger.event

    @property
    def at_end(self) -> bool:
        """Whether the run has ended here."""
        return self.debugger.moment.at_end

    @property
    def is_at_start(self) -> bool:
        """Whether nothing has been executed."""
        return self.debugger.moment == self._start

    def is_at_event(self) -> bool:
        """Return whether `event` has just happened: nothing has been executed since."""
        here, call = self.debugger.moment, self.call_of(self.event)
        if call is None or here.at_end:
            return False
        if here.entered:
            return True
        if call.left != self.event or call.left_time_ns != self.machine.interrupts.now_ns():
            return False
        if not here.faults:  # of an exception's handler, which begins at the same time
            return True
        at_event = arrived(self.debugger.go_to_event(self.event)).moment
        arrived(self.debugger.go_to(here))
        return at_event == here

    # Moves.

    def go_to(self, event: int) -> None:
        """Go to where *event* has just happened.

        Raises:
            ValueError: There is no such event.
            Cancelled: On the way; the machine stands somewhere.
        """
        if event and self.unknown:
            raise ValueError(NO_EVENTS)
        if not 0 <= event <= self.event_count:
            raise _no_event(event, self.event_count)
        call = self.call_of(event)
        begin = None if call is None or call.left != event else call.entered - self._is_modelled(call)
        if begin is None:
            self._go_to(event)
            return
        if begin != self.event or not self._stands_at(begin):
            self._go_to(begin)
        with self.debugger.noting_writes() as pages:
            self._go_to(event)
        self._changed = self.debugger.moment, pages, False

    def go_to_place(self, place: int | Moment) -> None:
        """Go to an event or a moment (`read_place`).

        Raises:
            ValueError: There is no such place.
            Cancelled: See `go_to`.
        """
        if isinstance(place, Moment):
            if place > self._end:
                raise ValueError(
                    f"there is no instruction {place.instructions}: the run has {self._end.instructions}"
                )
            arrive(self.debugger, place)
        else:
            self.go_to(place)

    def _stands_at(self, event: int) -> bool:
        return self.is_at_event() if event else self.is_at_start

    def _go_to(self, event: int) -> None:
        self._gone_to = arrive(self.debugger, event).moment, event

    def go_to_end(self) -> None:
        """Go to where the run ended.

        Raises:
            Cancelled: See `go_to`.
        """
        arrived(self.debugger.go_to(self._end))

    def step(self, move: Callable[[], Stop]) -> Stop:
        """Move forwards, so that `changes` are those of this step.

        Args:
            move: One of the debugger's moves.

        Raises:
            Cancelled: See `go_to`.
        """
        with self.debugger.noting_writes() as pages:
            stop = arrived(move())
        self._changed = stop.moment, pages, True
        return stop

    @property
    def is_stepped_to(self) -> bool:
        """Whether a step has led here (`step`)."""
        moment, _, is_step = self._changed
        return is_step and moment == self.debugger.moment

    def changes(self) -> list[Change]:
        """Return the bytes that have changed, without those below ESP: by the step that has led here; or by the last call, from its entry to its exit, if it has just returned.

        None where neither is so. A model that stands in for a function works right before the entry, so what happened since the event before counts, too.
        """
        moment, pages, _ = self._changed
        here = self.debugger.moment
        if moment != here:
            call = self.call_of(self.event)
            if call is None or call.left != self.event or not self.is_at_event():
                return []
            self.go_to(self.event)
            pages = self._changed[1]
        return find_changes(self.machine, pages)

    def _is_modelled(self, call: Call) -> bool:
        found = symbol(self.machine.image, call.function)
        return found is not None and is_modelled(self.machine, found.address)

    # What is known of the calls.

    def _frames(self, stack: int) -> tuple[Frame, ...]:
        """Return the backtrace of a call's `stack` number, the caller first; empty for 0."""
        return self.debugger.trace().frames(stack)

    def call_of(self, event: int) -> Call | None:
        """Return the call that an event is the entry or the exit of; None for 0."""
        number = self.calls.number_at(event)
        return self.calls.call(number) if number else None

    def call_around(self, event: int) -> int:
        """Return the number of the call that is running after an event, 0 for none."""
        call = self.call_of(event)
        if call is None:
            return 0
        return call.number if call.entered == event else call.parent

    def block_of(self, call: Call) -> int | None:
        """Return the address of the block that a call takes or gives back, as the kernel writes it."""
        return self.search.block_of(call.number)
