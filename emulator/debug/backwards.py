"""Search backwards for where a run would have stopped, had it come there forwards.

The pieces between checkpoints are gone through, the newest first; in each, all stops are noted, and the newest of them counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.debug.point_set import Reached
from emulator.debug.stop import KINDS, StopKind
from emulator.machine.core.stops import Instant, Stopping
from emulator.replay.moment import Moment
from emulator.replay.travel import Halt

if TYPE_CHECKING:
    from emulator.debug.access_checks import AccessChecks
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.point_set import PointSet
    from emulator.replay.travel import Travel


class _Found(NamedTuple):
    """A stop on the way that is gone back."""

    moment: Moment
    reached: Reached
    number: int = 0  # of what was reached in the machine


class Backwards:
    """The search of one debugger.

    Args:
        debugger: Says what its runs stop at.
        travel: Its machine.
        points: Its points; the machine has them.
        checks: Those of its accesses.
    """

    def __init__(self, debugger: Debugger, travel: Travel, points: PointSet, checks: AccessChecks) -> None:
        self._debugger = debugger
        self._travel = travel
        self._points = points
        self._checks = checks

    def search(self) -> Reached:
        """Go back to the newest place before here where going forwards would have stopped; without one, to the start."""
        travel = self._travel
        here = travel.moment
        pieces = [each.moment for each in travel.checkpoints if each.moment < here]
        end, is_exclusive = here, True
        for start in reversed(pieces):
            halt, found = self._newest_in(start, end, is_exclusive=is_exclusive)
            if halt is not Halt.TARGET:
                return Reached(KINDS[halt])
            if found is not None:
                halt = self._find_again(found)
                if halt in (Halt.CANCELLED, Halt.TIME):
                    return Reached(KINDS[halt])
                return found.reached._replace(access=self._points.reached(found.number).access)
            end, is_exclusive = start, False
        travel.back_to(travel.start)
        return Reached(StopKind.START)

    def _newest_in(self, start: Moment, end: Moment, *, is_exclusive: bool) -> tuple[Halt, _Found | None]:
        """Return the newest stop in a piece of the run, and whether its end was reached."""
        travel, debugger, stops = self._travel, self._debugger, self._travel.machine.stops
        travel.back_to(start)
        found: list[_Found] = []
        self._checks.moments.clear()
        last = Instant(end.instructions, end.faults + (end.entered or not is_exclusive))
        with stops.mode_for(Stopping.NOTES, last):
            halt = Halt.EVENT
            while halt is Halt.EVENT:
                point = self._points.after(debugger.event)
                halt = travel.forward(end, 0 if point is None else point.event)
                if halt is Halt.EVENT:
                    found.append(_Found(travel.moment, Reached(StopKind.EVENT, point)))
            if halt is Halt.END and end.at_end:
                halt = Halt.TARGET
            noted = stops.reached
        if noted is not None:
            number, instant = noted
            found.append(_Found(Moment(*instant), self._points.reached(number), number))
        if debugger.stop_at_exceptions:
            exception = Reached(StopKind.EXCEPTION)
            found += [_Found(Moment(*each), exception) for each in stops.newest_faults() if each.faults]
        if debugger.stop_at_findings:
            found += [_Found(each, Reached(StopKind.FINDING)) for each in self._checks.moments]
        inside = [
            each
            for each in found
            if start < each.moment and (each.moment < end or (each.moment == end and not is_exclusive))
        ]
        return halt, max(inside, key=lambda each: each.moment, default=None)

    def _find_again(self, found: _Found) -> Halt:
        """Go to a stop, and know the finding there."""
        if found.reached.kind is not StopKind.FINDING:
            return self._travel.go_to(found.moment)
        self._travel.back_to(found.moment)
        ignoring = self._travel.machine.stops.mode_for(Stopping.IGNORES)
        with self._checks.stopping_at(found.moment), ignoring:
            return self._travel.forward()
