"""The points of a debugger, and the breakpoints and watches that its machine has for them."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from emulator.debug.points import Breakpoint, EventPoint, Point, Watchpoint
from emulator.debug.stop import Access, StopKind, WatchHit
from emulator.machine.core.stops import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from emulator.debug.kernel_debugger import Debugger
    from emulator.machine.core.stops import Breakpoint as NativeBreakpoint

P = TypeVar("P", bound=Point)


class Reached(NamedTuple):
    """What a run has come to.

    Attributes:
        kind: What kind of stop that is.
        point: None: nothing that has been set.
        access: Of a watchpoint.
    """

    kind: StopKind
    point: Point | None = None
    access: WatchHit | None = None


class PointSet:
    """The points of one debugger.

    Args:
        debugger: Conditions are called with it.
    """

    def __init__(self, debugger: Debugger) -> None:
        self._debugger = debugger
        self._machine = debugger.machine
        self._points: list[Point] = []
        self._native: dict[Point, list[NativeBreakpoint | Watch]] = {}
        self._numbers = count(1)
        self._place_to_go: Breakpoint | None = None

    @property
    def points(self) -> tuple[Point, ...]:
        """All of them, in the order in which they were added."""
        return tuple(self._points)

    def next_number(self) -> int:
        """Return the number of a new point: from 1, not used again."""
        return next(self._numbers)

    def add(self, point: P) -> P:
        """Return a point, which is one of them from now on."""
        self._points.append(point)
        return point

    def remove(self, point: Point) -> None:
        """Take a point away, if it is there."""
        if point in self._points:
            self._points.remove(point)

    @contextmanager
    def going_to(
        self, address: int | Collection[int], condition: Callable[[Debugger], bool] | None
    ) -> Iterator[None]:
        """Stop at an instruction, or at several, inside the block, too; that is a step to where it was to go."""
        addresses = (address,) if isinstance(address, int) else tuple(address)
        self._place_to_go = Breakpoint(self._debugger, 0, addresses, condition)
        try:
            yield
        finally:
            self._place_to_go = None

    def after(self, event: int) -> EventPoint | None:
        """Return the point at the first event after one; None: there is none."""
        points = (each for each in self._enabled(EventPoint) if each.event > event)
        return min(points, key=lambda each: each.event, default=None)

    def at(self, event: int) -> EventPoint | None:
        """Return the point at an event; None: there is none."""
        return next((each for each in self._enabled(EventPoint) if each.event == event), None)

    def _enabled(self, kind: type[P]) -> Iterator[P]:
        points = self._points if self._place_to_go is None else [*self._points, self._place_to_go]
        return (each for each in points if isinstance(each, kind) and each.enabled)

    # -- in the machine ------------------------------------------------------------------------------

    def put_in(self) -> None:
        """Let the machine have what is to stop it now."""
        stops = self._machine.stops
        wanted = {*self._enabled(Breakpoint), *self._enabled(Watchpoint)}
        for each in [each for each in self._native if each not in wanted]:
            for native in self._native.pop(each):
                native.close()
        for point in self._enabled(Breakpoint):
            if point not in self._native:
                asked = self._asked(point.condition)
                self._native[point] = [stops.break_at(each, asked) for each in point.addresses]
        for watched in self._enabled(Watchpoint):
            if watched not in self._native:
                condition, access = self._asked(watched.condition), watched.access
                reads, writes = Access.READ in access, Access.WRITE in access
                self._native[watched] = [
                    stops.watch(span.start, len(span), condition, reads=reads, writes=writes)
                    for span in watched.physical
                ]
        stops.at_faults = self._debugger.stop_at_exceptions

    def take_out(self) -> None:
        """Let the machine have none of them, until they are put in again."""
        for natives in self._native.values():
            for native in natives:
                native.close()
        self._native.clear()

    def close(self) -> None:
        """Take all points away, and out of the machine."""
        self.take_out()
        self._points.clear()

    def reached(self, number: int) -> Reached:
        """Return what has a number in the machine, and, of a watchpoint, the access that has stopped it where it stands."""
        for point, natives in self._native.items():
            for native in natives:
                if native.number == number and point is self._place_to_go:
                    return Reached(StopKind.STEP)
                if native.number == number:
                    access = self._hit(point, native)
                    kind = StopKind.BREAKPOINT if access is None else StopKind.WATCHPOINT
                    return Reached(kind, point, access)
        return Reached(StopKind.BREAKPOINT)

    def _hit(self, point: Point, native: NativeBreakpoint | Watch) -> WatchHit | None:
        if not isinstance(native, Watch) or not isinstance(point, Watchpoint) or (hit := native.hit) is None:
            return None
        before, after = bytearray(), bytearray()
        for span, each in zip(point.physical, self._native[point], strict=True):
            now = self._machine.memory.read(span.start, len(span))
            part = each.hit if isinstance(each, Watch) else None
            is_part = part is not None and part.instant == hit.instant
            before += part.before if part is not None and is_part else now
            after += part.after if part is not None and is_part else now
        return WatchHit(point.address, point.size, hit.is_write, bytes(before), bytes(after), hit.pc)

    def _asked(self, condition: Callable[[Debugger], bool] | None) -> Callable[[], bool] | None:
        return None if condition is None else lambda: condition(self._debugger)
