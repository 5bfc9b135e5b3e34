"""Stops of a run where an allocation has failed: at the return of a recorded call that should have made a block, and did not.

Results are known when calls have returned. So the run goes on for a while, the calls of it are looked at, and if one of them has failed the machine goes back
to its return: where that is, is the same as if it had stopped there at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.debug.stop import StopKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Stop
    from emulator.trace.table import Call

_EVENTS: Final = 4096
"""That are passed at least before the calls are looked at."""


class FailedAllocations:
    """Stops where allocations have failed.

    Args:
        debugger: Of the kernel.

    Attributes:
        is_wanted: Whether runs stop there.
        call: That which has failed where the last run has stopped; None: it has stopped for another reason.
    """

    def __init__(self, debugger: Debugger) -> None:
        self._debugger = debugger
        self.is_wanted = False
        self.call: Call | None = None

    def forwards(self, run: Callable[[], Stop]) -> Stop:
        """Run, and stop where the first allocation has failed on the way."""
        self.call = None
        if not self.is_wanted:
            return run()
        debugger = self._debugger
        while True:
            before = debugger.event
            point = debugger.break_event(before + max(_EVENTS, before // 2))
            try:
                stop = run()
            finally:
                point.remove()
            failed = self._failed(before, debugger.event)
            if failed:
                return self._go_to(failed[0])
            if stop.point is not point:
                return stop

    def backwards(self, run: Callable[[], Stop]) -> Stop:
        """Run back, and stop where the last allocation before here has failed."""
        self.call = None
        if not self.is_wanted:
            return run()
        begin, calls = self._debugger.moment, self._failed(0, self._debugger.event)
        stop = run()
        if stop.kind is StopKind.CANCELLED:
            return stop
        event = self._debugger.event
        for call in reversed(calls):
            if (call.left or 0) < event:
                break
            found = self._go_to(call)
            if stop.moment < found.moment < begin:
                return found
        self.call = None
        self._debugger.go_to(stop.moment)
        return stop

    def _go_to(self, call: Call) -> Stop:
        self.call = call
        return self._debugger.go_to_event(call.left or 0)

    def _failed(self, after: int, last: int) -> list[Call]:
        """Return the calls that have failed in some events, in the order of their returns."""
        if last <= after:
            return []
        trace = self._debugger.trace()
        numbers = [number for area in trace.areas for number in trace.failed(area).tolist()]
        calls = [trace[number] for number in numbers]
        return sorted(
            (each for each in calls if each.left is not None and after < each.left <= last),
            key=lambda call: call.left or 0,
        )
