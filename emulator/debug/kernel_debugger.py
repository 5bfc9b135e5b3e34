"""Debug a kernel: stop anywhere, look, change, and go on or back.

A `Debugger` has a machine that stands still between its calls. Whatever is called, the run is that of a machine nobody has stopped: interrupts come
at the same instructions, and going back and forth again leads to the same states, bit for bit.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

from emulator.debug.lines import Lines
from emulator.debug.places import read_places
from emulator.debug.points import Breakpoint, EventPoint, Point, Watchpoint
from emulator.debug.stop import Access, Stop, StopKind, WatchHit
from emulator.errors import Cancelled, KernelMismatch
from emulator.machine.core.stops import Instant, Stopping
from emulator.replay.moment import Moment
from emulator.replay.newest_write import Write, newest_write
from emulator.replay.travel import Halt, Travel
from emulator.run.ending import NO_LIMIT, Budget, Ending, How
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType

    from emulator.check.accesses.bad_accesses import Mistake
    from emulator.check.findings import Finding
    from emulator.loader.image import KernelImage
    from emulator.machine.core.observed import BadAccesses
    from emulator.machine.core.stops import Breakpoint as NativeBreakpoint
    from emulator.machine.core.stops import Executed, Watch
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.trace.logged import LoggedTrace
    from emulator.trace.recording import CallLog

    Condition = Callable[["Debugger"], bool]

__all__ = [
    "Access",
    "Breakpoint",
    "Checkpoints",
    "Debugger",
    "EventPoint",
    "Moment",
    "Stop",
    "StopKind",
    "WatchHit",
    "Watchpoint",
    "Write",
]

P = TypeVar("P", bound=Point)
_MANY: Final = 1 << 62
_WINDOW: Final = 64  # instructions before here that are looked at first, when going back


class _Found(NamedTuple):
    """A stop on the way that is gone back."""

    moment: Moment
    kind: StopKind
    point: Point | None = None
    number: int = 0  # of what was reached in the machine


class Checkpoints(NamedTuple):
    """The states that a debugger keeps to go back to.

    Attributes:
        kept: How many there are, `emulator.replay.travel.CHECKPOINTS_MAX` at most.
        size: Memory that their pages take, in bytes; where it is more than `emulator.replay.travel.CHECKPOINT_BYTES_MAX`, some make way for the next one.
    """

    kept: int
    size: int


class Debugger:
    """A kernel under a debugger.

    One thread uses it, but for `cancel`.

    Args:
        machine: With its layers attached, and not run yet.
        profile: Functions whose calls are events; None: there are no events.
        sanitize: Check each access, so that a run can stop in front of a bad one; ``uninitialised``: and each use of what was never written.
        budget: What the run may take in all; the seconds count from now.

    Attributes:
        machine: It stands still between calls: read registers and memory from it. Use `write_memory` and `write_register` to change it.
        image: Its kernel.
        profile: As given.
        stop_at_findings: Whether runs stop in front of bad accesses; at first they do.
        stop_at_exceptions: Whether runs stop at the first instruction of each exception's handler; at first they do not.

    Raises:
        HostError: Runs of this machine cannot be stopped exactly: it has the reference MMU, or this libunicorn is not the one known.
        KernelMismatch: The kernel lacks a function of the profile.
        ValueError: Accesses are to be checked, and there is no profile.
    """

    def __init__(
        self,
        machine: Machine,
        profile: Profile | None = None,
        *,
        sanitize: bool | str = False,
        budget: Budget = NO_LIMIT,
    ) -> None:
        self.machine = machine
        self.image: KernelImage = machine.image
        self.profile = profile
        self.stop_at_findings = True
        self.stop_at_exceptions = False
        self._points: list[Point] = []
        self._native: dict[Point, list[NativeBreakpoint | Watch]] = {}
        self._numbered = 0
        self._place_to_go: Breakpoint | None = None
        self._findings_at: list[Moment] = []  # noted on the way
        self._finding: Finding | None = None
        self._begun_at: Moment | None = None  # where the newest move forwards began
        self._log = None
        self._whole: LoggedTrace | None = None  # of the run that was recorded
        self._checked = None
        if profile is not None:
            from emulator.trace.recording import CallLog  # it has numpy

            self._log = CallLog(machine, profile)
        if sanitize:
            if profile is None:
                raise ValueError(
                    "accesses are checked by what a profile says of allocators, and there is none"
                )
            from emulator.trace.checking import check_accesses

            self._checked = check_accesses(
                machine, profile, self._ends_at_access, uninitialised=sanitize == "uninitialised"
            )
        self._travel = Travel(machine, budget)
        self._travel.on_jump = self._pause_log
        self._lines = Lines(self)

    # -- where it stands -----------------------------------------------------------------------------

    @property
    def moment(self) -> Moment:
        """Where the machine stands; in conditions, too."""
        return self._travel.moment

    @property
    def event(self) -> int:
        """Number of the newest event; 0: there was none yet."""
        return self.machine.calls.event_count

    @property
    def checkpoints(self) -> Checkpoints:
        """The states that are kept to go back to, and forth again."""
        return Checkpoints(len(self._travel.checkpoints), self._travel.checkpoint_bytes)

    @property
    def points(self) -> Sequence[Point]:
        """What it stops at, in the order in which that was set."""
        return tuple(self._points)

    # -- points --------------------------------------------------------------------------------------

    def break_at(self, where: int | str, condition: Condition | None = None) -> Breakpoint:
        """Stop in front of an instruction.

        Args:
            where: Its linear address; a function, where its body begins, after the prologue, in copies inside of other functions, too; another symbol, or any
                with an offset, as in ``kmalloc+0``; or a line of the source, as in ``heap.c:12``, at its first instruction in each block of code.
            condition: Called with this debugger, in the middle of the run: whether to stop. It may look at everything, and change nothing.

        Raises:
            ValueError: There is no such place.
        """
        addresses = (where,) if isinstance(where, int) else read_places(where, self.image)
        if not 0 <= addresses[0] <= WORD_MAX:
            raise ValueError(f"{addresses[0]:#x} is no 32-bit address")
        return self._added(Breakpoint(self, self._next_number(), addresses, condition))

    def watch(
        self,
        address: int,
        size: int,
        access: Access = Access.WRITE,
        condition: Condition | None = None,
        *,
        physical: bool = False,
    ) -> Watchpoint:
        """Stop behind instructions that access some bytes; other accesses of the same page cost time, all else costs none.

        What a device or a model writes counts, too. It is not seen before the block of instructions ends that it belongs to. Writes of `write_memory` do not count.

        Args:
            address: Of the first of the bytes, linear; they are watched where they lie now, whatever address they get.
            size: How many; 1 or more.
            access: Which accesses stop.
            condition: Called after the access; see `break_at`.
            physical: Whether *address* is physical.

        Raises:
            ValueError: They are not mapped, there is no RAM, or nothing is to be watched.
        """
        if size < 1 or not access:
            raise ValueError(f"there is nothing to watch: {size} bytes, {access}")
        spans = self._spans_of_ram(address, size, physical=physical)
        return self._added(Watchpoint(self, self._next_number(), address, tuple(spans), access, condition))

    def break_event(self, number: int) -> EventPoint:
        """Stop at an event: where a function is entered, in front of its first instruction; where it returns, after that.

        Raises:
            ValueError: No calls are recorded, or *number* is no number of an event.
        """
        if self._log is None:
            raise ValueError("there are no events: no profile says which functions allocate")
        if not 1 <= number <= WORD_MAX:
            raise ValueError(f"{number} is no number of an event")
        return self._added(EventPoint(self, self._next_number(), number))

    def remove(self, point: Point) -> None:
        """Take a point away; see `Point.remove`."""
        if point in self._points:
            self._points.remove(point)

    @contextmanager
    def only(self, points: Collection[Point] = (), *, findings: bool = False) -> Iterator[None]:
        """Let nothing but some points, or findings, stop moves inside the block."""
        others = [each for each in self._points if each.enabled and each not in points]
        stops = self.stop_at_findings, self.stop_at_exceptions
        self.stop_at_findings, self.stop_at_exceptions = findings, False
        for each in others:
            each.enabled = False
        try:
            yield
        finally:
            self.stop_at_findings, self.stop_at_exceptions = stops
            for each in others:
                each.enabled = True

    def _added(self, point: P) -> P:
        self._points.append(point)
        return point

    def _next_number(self) -> int:
        self._numbered += 1
        return self._numbered

    # -- forwards ------------------------------------------------------------------------------------

    def run(self) -> Stop:
        """Go on until something stops the machine."""
        return self._forward()

    def step(self, count: int = 1) -> Stop:
        """Execute instructions; what stops runs stops this, too.

        An instruction that faults counts: the next one is the first of the handler.

        Raises:
            ValueError: *count* is less than 1.
        """
        if count < 1:
            raise ValueError(f"a step of {count} instructions")
        return self._forward(steps=count)

    def step_line(self) -> Stop:
        """Go on to where another line of the source begins, perhaps in a function that is called; what stops runs stops this, too."""
        return self._lines.step(into=True)

    def next_line(self) -> Stop:
        """The same, without going into functions."""
        return self._lines.step(into=False)

    def finish(self) -> Stop:
        """Go on to where the present function has returned to; what stops runs stops this, too.

        Raises:
            ValueError: Who called it is not known.
        """
        return self._lines.finish()

    def run_to(self, address: int, condition: Condition | None = None) -> Stop:
        """Go on to an instruction; what stops runs stops this, too.

        Args:
            address: Linear.
            condition: See `break_at`.
        """
        with self._passing(address, condition):
            return self._forward()

    @contextmanager
    def _passing(self, address: int, condition: Condition | None) -> Iterator[None]:
        """Stop at an instruction for one move."""
        self._place_to_go = Breakpoint(self, 0, (address,), condition)
        try:
            yield
        finally:
            self._place_to_go = None

    def _forward(self, target: Moment | None = None, steps: int = 0) -> Stop:
        self._synchronise()
        self._finding = None
        self._begun_at = self.moment
        events = [each.event for each in self._of(EventPoint) if each.event > self.event]
        halt = self._travel.forward(target, min(events, default=0), steps)
        return self._stopped(halt)

    def _stopped(self, halt: Halt) -> Stop:
        """Return what a halt on the way forwards is."""
        point: Point | None = None
        kind = _KINDS[halt]
        access: WatchHit | None = None
        if halt is Halt.BREAKPOINT:
            reached = self.machine.stops.reached
            point, access = self._reached(0 if reached is None else reached[0])
            kind = StopKind.BREAKPOINT if access is None else StopKind.WATCHPOINT
        elif halt is Halt.EVENT:
            point = next((each for each in self._of(EventPoint) if each.event == self.event), None)
        if point is not None and point is self._place_to_go:
            kind, point = StopKind.STEP, None
        if point is not None:
            point.hits += 1
        return self._stop(kind, point, access)

    def _reached(self, number: int) -> tuple[Point | None, WatchHit | None]:
        """Return the point that has a number in the machine, and the access if it is a watchpoint."""
        for point, natives in self._native.items():
            for native in natives:
                if native.number == number:
                    return point, self._hit(point, native)
        return None, None

    def _hit(self, point: Point, native: NativeBreakpoint | Watch) -> WatchHit | None:
        """Return the access that has stopped the machine where it stands, if there is one."""
        from emulator.machine.core.stops import Watch

        if not isinstance(native, Watch) or not isinstance(point, Watchpoint) or (hit := native.hit) is None:
            return None
        before, after = bytearray(), bytearray()
        for span, each in zip(point.physical, self._native[point], strict=True):
            now = self.machine.memory.read(span.start, len(span))
            part = each.hit if isinstance(each, Watch) else None
            is_part = part is not None and part.instant == hit.instant
            before += part.before if part is not None and is_part else now
            after += part.after if part is not None and is_part else now
        return WatchHit(point.address, point.size, hit.is_write, bytes(before), bytes(after), hit.pc)

    def _stop(self, kind: StopKind, point: Point | None = None, access: WatchHit | None = None) -> Stop:
        finding = self._finding if kind is StopKind.FINDING else None
        return Stop(kind, self.moment, point, access, finding, self._travel.ending)

    def _of(self, kind: type[P]) -> Iterator[P]:
        points = self._points if self._place_to_go is None else [*self._points, self._place_to_go]
        return (each for each in points if isinstance(each, kind) and each.enabled)

    def _synchronise(self) -> None:
        """Let the machine have the breakpoints that there are now."""
        stops = self.machine.stops
        wanted = {*self._of(Breakpoint), *self._of(Watchpoint)}
        for each in [each for each in self._native if each not in wanted]:
            for native in self._native.pop(each):
                native.close()
        for point in self._of(Breakpoint):
            if point not in self._native:
                asked = self._asked(point.condition)
                self._native[point] = [stops.break_at(each, asked) for each in point.addresses]
        for watched in self._of(Watchpoint):
            if watched not in self._native:
                condition, access = self._asked(watched.condition), watched.access
                reads, writes = Access.READ in access, Access.WRITE in access
                self._native[watched] = [
                    stops.watch(span.start, len(span), condition, reads=reads, writes=writes)
                    for span in watched.physical
                ]
        self.machine.stops.at_faults = self.stop_at_exceptions

    def _asked(self, condition: Condition | None) -> Callable[[], bool] | None:
        return None if condition is None else lambda: condition(self)

    # -- backwards -----------------------------------------------------------------------------------

    def back(self) -> Stop:
        """Go back to the newest place before here where going forwards would have stopped; without one, to the start."""
        self._synchronise()
        here = self.moment
        pieces = [each.moment for each in self._travel.checkpoints if each.moment < here]
        end, is_exclusive = here, True
        for start in reversed(pieces):
            halt, found = self._last_stop(start, end, is_exclusive=is_exclusive)
            if halt is not Halt.TARGET:
                return self._stop(_KINDS[halt])
            if found is not None:
                moment, kind, point, number = found
                self._find_again(moment, kind)
                if point is not None and point is self._place_to_go:
                    kind, point = StopKind.STEP, None
                return self._stop(kind, point, self._reached(number)[1])
            end, is_exclusive = start, False
        self._travel.back_to(self._travel.start)
        return self._stop(StopKind.START)

    def _last_stop(self, start: Moment, end: Moment, *, is_exclusive: bool) -> tuple[Halt, _Found | None]:
        """Return the last stop in a piece of the run, and whether its end was reached."""
        self._travel.back_to(start)
        stops = self.machine.stops
        found: list[_Found] = []
        self._findings_at.clear()
        last = Instant(end.instructions, end.faults + (end.entered or not is_exclusive))
        with stops.mode_for(Stopping.NOTES, last):
            halt = Halt.EVENT
            while halt is Halt.EVENT:
                events = [each for each in self._of(EventPoint) if each.event > self.event]
                point = min(events, key=lambda each: each.event, default=None)
                halt = self._travel.forward(end, 0 if point is None else point.event)
                if halt is Halt.EVENT:
                    found.append(_Found(self.moment, StopKind.EVENT, point))
            if halt is Halt.END and end.at_end:
                halt = Halt.TARGET
            reached = stops.reached
        if reached is not None:
            number, instant = reached
            reached_point, access = self._reached(number)
            kind = StopKind.BREAKPOINT if access is None else StopKind.WATCHPOINT
            found.append(_Found(Moment(*instant), kind, reached_point, number))
        if self.stop_at_exceptions:
            found += [
                _Found(Moment(*each), StopKind.EXCEPTION) for each in stops.newest_faults() if each.faults
            ]
        if self.stop_at_findings:
            found += [_Found(each, StopKind.FINDING) for each in self._findings_at]
        inside = [
            each
            for each in found
            if start < each[0] and (each[0] < end or (each[0] == end and not is_exclusive))
        ]
        return halt, max(inside, key=lambda each: each[0], default=None)

    def _find_again(self, moment: Moment, kind: StopKind) -> None:
        """Go to a moment, and know the finding there."""
        if kind is not StopKind.FINDING:
            self._travel.go_to(moment)
            return
        self._travel.back_to(moment)
        self._wanted = moment
        with self.machine.stops.mode_for(Stopping.IGNORES):
            self._travel.forward()
        self._wanted = None

    _wanted: Moment | None = None

    def step_line_back(self) -> Stop:
        """Go back to where the line before begins, perhaps in a function that was called; from the middle of a line, to where that begins.

        Raises:
            ValueError: Where that is is not known.
        """
        return self._line_back(into=True)

    def next_line_back(self) -> Stop:
        """The same, without going into functions."""
        return self._line_back(into=False)

    def _line_back(self, *, into: bool) -> Stop:
        try:
            return self._lines.step_back(into=into)
        except Cancelled:
            return self._stop(StopKind.CANCELLED)

    def finish_back(self) -> Stop:
        """Go back to the call of the present function; what stops runs stops this, too.

        Raises:
            ValueError: Who called it, or where it begins, is not known.
        """
        return self._lines.finish_back()

    def run_back_to(self, address: int, condition: Condition | None = None) -> Stop:
        """Go back to an instruction; what stops runs stops this, too. See `run_to`."""
        with self._passing(address, condition):
            return self.back()

    def executed_before(self, count: int) -> list[Executed]:
        """Return the instructions that have begun before here, the oldest first: the last *count*, fewer at the start of the run.

        Raises:
            EmulatorError: The way back was cancelled, or the host cannot give what it needs.
        """
        here, start = self.moment, self._travel.start
        window = count + _WINDOW
        while True:
            begin = Moment(max(start.instructions, here.instructions - window))
            if self._travel.approach(begin) is not Halt.TARGET:
                raise Cancelled
            with self.machine.stops.trail(min(window, here.instructions) + _WINDOW) as trail:
                halt = self._travel.pass_to(here)
                begun = trail()
            if halt not in (Halt.TARGET, Halt.END):
                raise Cancelled
            before = [each for each in begun if begin <= Moment(*each.instant) < here._replace(entered=False)]
            if len(before) >= count or begin <= start:
                return before[-count:]
            window *= 8

    def stands(self, instant: Instant | None) -> Stop:
        """Go to an instant, None: to the start; nothing stops that."""
        if instant is None:
            self._travel.back_to(self._travel.start)
            return self._stop(StopKind.START)
        return self.go_to(Moment(*instant))

    def step_back(self, count: int = 1) -> Stop:
        """Go back by instructions, to the start at most; nothing stops that.

        Raises:
            ValueError: *count* is less than 1.
        """
        if count < 1:
            raise ValueError(f"a step of {count} instructions")
        here, start = self.moment, self._travel.start
        begin = here
        while True:
            begin = Moment(max(start.instructions, begin.instructions - max(count, _WINDOW)))
            begun, halt = self._begun_between(begin, here)
            if halt is not Halt.TARGET:
                return self._stop(_KINDS[halt])
            if begun >= count:
                break
            if begin <= start:
                return self.stands(None)
        self._travel.go_to(begin)
        with self.machine.stops.mode_for(Stopping.IGNORES):
            halt = self._travel.forward(steps=begun - count) if begun > count else Halt.TARGET
        return self._stop(_KINDS[halt])

    def _begun_between(self, begin: Moment, end: Moment) -> tuple[int, Halt]:
        """Go from a moment to a later one, and return how many instructions have begun from the first on, before the other."""
        has_last = (
            end.at_end and self._travel.ending is not None and self._travel.ending.how is not How.BUDGET
        )
        halt = self._travel.approach(begin)
        if halt is not Halt.TARGET:
            return 0, halt
        with self.machine.stops.mode_for(Stopping.IGNORES):
            halt = self._travel.forward(None if end.at_end else end._replace(entered=False), steps=_MANY)
        if halt is Halt.END and end.at_end:
            halt = Halt.TARGET
        return _MANY - self._travel.steps_left + has_last, halt

    def go_to(self, moment: Moment | int) -> Stop:
        """Go to a moment of the run; nothing stops that.

        Args:
            moment: One at which this debugger stood, or how many instructions have been executed there.

        Raises:
            ValueError: No run has such a moment.
        """
        if isinstance(moment, int):
            moment = Moment(moment)
        if moment < self._travel.start or moment.instructions > _MANY:
            raise ValueError(f"there is no moment {moment.instructions}")
        self._finding = None
        halt = self._travel.go_to(moment)
        return self._stop(StopKind.ENDED if self.moment.at_end else _KINDS[halt])

    def go_to_event(self, number: int) -> Stop:
        """Go to where an event has just happened; nothing else stops that.

        Raises:
            ValueError: No calls are recorded, or *number* is no number of an event.
        """
        if self._log is None:
            raise ValueError("there are no events: no profile says which functions allocate")
        if not 0 <= number <= WORD_MAX:
            raise ValueError(f"{number} is no number of an event")
        if not number:
            return self.stands(None)
        return self._stop(_KINDS[self._travel.go_to_event(number)])

    @contextmanager
    def noting_writes(self) -> Iterator[dict[int, bytes]]:
        """Note what is written inside the block, in which the machine only goes forwards: address of a page -> its bytes before.

        It is known after the block. Of a move that is cancelled nothing is.
        """
        with self._travel.noting_writes() as pages:
            yield pages

    def who(self, address: int, size: int = WORD_SIZE, *, physical: bool = False) -> Write | None:
        """Return the last write to some bytes before here, whoever has made it; the machine stands here again afterwards.

        Args:
            address: Of the first of them, linear; they are sought where they lie now.
            size: How many.
            physical: Whether *address* is physical.

        Returns:
            None: nobody has written them since the start.

        Raises:
            Cancelled: Another thread has called `cancel`; the machine stands somewhere.
            ValueError: They are not mapped, there is no RAM, or there are none.
        """
        if size < 1:
            raise ValueError(f"there is nothing to look for: {size} bytes")
        spans = self._spans_of_ram(address, size, physical=physical)
        for natives in self._native.values():  # nothing else is to be watched
            for native in natives:
                native.close()
        self._native.clear()
        return newest_write(self._travel, spans)

    # -- changes ---------------------------------------------------------------------------------------

    def write_memory(self, address: int, data: bytes, *, physical: bool = False) -> None:
        """Write to the guest's memory, here in its run: going back and forth keeps it, and what was written later is dropped.

        Args:
            address: Linear, or physical.
            data: The bytes.
            physical: Whether *address* is physical.

        Raises:
            ValueError: A page is not mapped, or there is no RAM: nothing is written. Or the run has ended.
        """
        machine = self.machine
        spans = self._spans_of_ram(address, len(data), physical=physical)

        def change() -> None:
            machine.observers.drop_calls()  # a call in lockstep is not the model's any more
            done = 0
            for span in spans:
                machine.memory.write(span.start, data[done : done + len(span)])
                machine.cpu.code_written(span.start, len(span))
                done += len(span)

        self._travel.edit(change)
        self._whole = None  # what comes is another run

    def write_register(self, name: str, value: int) -> None:
        """Set a general register, EIP or EFLAGS, as `write_memory` sets memory.

        Raises:
            ValueError: There is no such register, or it cannot be set; *value* has more than 32 bits; or the run has ended.
        """
        if name not in _WRITABLE:
            raise ValueError(f"{name!r} is no register that can be set: {', '.join(_WRITABLE)}")
        if not 0 <= value <= WORD_MAX:
            raise ValueError(f"{value:#x} does not fit into a register of 32 bits")
        cpu = self.machine.cpu
        self._travel.edit(lambda: cpu.set_registers(cpu.registers()._replace(**{name: value})))
        self._whole = None

    def _spans_of_ram(self, address: int, size: int, *, physical: bool) -> list[range]:
        """Return the same of bytes that all lie in RAM, at a linear or a physical address.

        Raises:
            ValueError: See `_spans`; or they do not.
        """
        whole = len(self.machine.memory)
        if size > whole:
            raise ValueError(f"there is no RAM for {size} bytes")
        spans = [range(address, address + size)] if physical else self._spans(address, size)
        if any(each.stop > whole for each in spans):
            raise ValueError(f"there is no RAM at 0x{address:08x}")
        return spans

    def _spans(self, address: int, size: int) -> list[range]:
        """Return where linear memory lies, page by page.

        Raises:
            ValueError: A page is not mapped.
        """
        from emulator.x86 import PAGE_SIZE

        spans: list[range] = []
        while size:
            physical = self.machine.translate(address)
            if physical is None:
                raise ValueError(f"0x{address:08x} is not mapped")
            length = min(size, PAGE_SIZE - address % PAGE_SIZE)
            spans.append(range(physical, physical + length))
            address, size = (address + length) & WORD_MAX, size - length
        return spans

    # -- findings --------------------------------------------------------------------------------------

    def record(self) -> Stop:
        """Go on until something stops the machine, and let the run end there; `trace` knows all its calls from then on, wherever the machine stands.

        Raises:
            ValueError: No calls are recorded.
        """
        from emulator.guest.symbolizer import Symbolizer
        from emulator.trace.logged import LoggedTrace

        log = self._needed_log()
        stop = self.run()
        self.end_here(stop)
        self.trace()  # it may have lacked calls
        self._whole = LoggedTrace(log.finish(), log.recording, Symbolizer(self.image))
        return stop._replace(moment=self.moment, ending=self._travel.ending)

    def end_here(self, stop: Stop) -> None:
        """Let the run end where it has stopped, if that was not its end, and moves take any time from now on."""
        self._travel.end_here(stop.ending or self._cut(stop))

    def _cut(self, stop: Stop) -> Ending:
        """Return how a run ends that goes no further than to a stop."""
        from emulator.wording import code_location

        if stop.kind is StopKind.CANCELLED and not self._travel.is_late:
            return Ending(How.INTERRUPTED, eip=self.machine.registers().eip, error=Cancelled())
        if stop.kind is StopKind.CANCELLED:
            return self._travel.out_of_time()
        eip = self.machine.registers().eip
        how = How.BAD_ACCESS if stop.kind is StopKind.FINDING else How.INTERRUPTED
        location = code_location(*self.image.location(eip))
        return Ending(how, eip=eip, location=location, open_calls=self.machine.calls.open_calls)

    def trace(self) -> LoggedTrace:
        """Return the calls so far as a trace; those of the whole run, if that was recorded (`record`).

        Raises:
            ValueError: No calls are recorded.
        """
        if self._whole is not None:
            return self._whole
        log = self._needed_log()
        from emulator.guest.symbolizer import Symbolizer

        if log.is_paused:  # it lacks calls: once more
            here = self.moment
            self._travel.back_to_start()
            log.go_on()
            self._travel.pass_to(here)
        return log.trace(Symbolizer(self.image))

    @property
    def is_checked(self) -> bool:
        """Whether accesses are checked."""
        return self._checked is not None

    def mistakes(self) -> list[Mistake]:
        """Return what the bad accesses so far are; none where accesses are not checked."""
        from emulator.check.accesses.bad_accesses import mistakes

        return (
            []
            if self._checked is None
            else mistakes(self.machine, self._checked.seen().accesses, self.trace())
        )

    def _needed_log(self) -> CallLog:
        if self._log is None:
            raise ValueError("no calls are recorded: no profile says which functions allocate")
        return self._log

    def _pause_log(self) -> None:
        if self._log is not None:
            self._log.pause()

    def _ends_at_access(self, seen: BadAccesses) -> bool:
        """Return whether the machine is to stop in front of the newest access."""
        from emulator.check.accesses.bad_accesses import mistakes

        mode = self.machine.stops.mode
        if self._wanted is None and (not self.stop_at_findings or mode is Stopping.IGNORES):
            return False
        if self._wanted is not None and self.moment != self._wanted:
            return False
        if mode is Stopping.STOPS and self.moment == self._begun_at:  # it is passed, as breakpoints are
            return False
        newest = seen.accesses[-1]
        found = mistakes(self.machine, seen.accesses, self.trace())
        finding = next((each.finding for each in found if newest in each.accesses), None)
        if finding is None:
            return False
        self._findings_at.append(self.moment)
        self._finding = finding
        return mode is Stopping.STOPS or self._wanted is not None

    # -- life ------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """From another thread: end the call that goes on, before long; it returns a stop of kind `CANCELLED`."""
        self._travel.cancel()

    def close(self) -> None:
        """Give back what the debugger has in its machine."""
        for natives in self._native.values():
            for native in natives:
                native.close()
        self._native.clear()
        self._points.clear()
        if self._checked is not None:
            self._checked.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


_WRITABLE: Final = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags")

_KINDS: Final = {
    Halt.TARGET: StopKind.STEP,
    Halt.BREAKPOINT: StopKind.BREAKPOINT,
    Halt.FAULT: StopKind.EXCEPTION,
    Halt.EVENT: StopKind.EVENT,
    Halt.ACCESS: StopKind.FINDING,
    Halt.END: StopKind.ENDED,
    Halt.CANCELLED: StopKind.CANCELLED,
    Halt.TIME: StopKind.CANCELLED,
}


def debugger(
    kernel: str = "firmware:demo",
    *,
    profile: Profile | str | None = None,
    sanitize: bool | str = False,
    max_instructions: int | None = None,
    timeout_s: float | None = None,
    **machine: object,
) -> Debugger:
    """Put a kernel under a debugger, in front of its first instruction.

    Args:
        kernel: As for `emulator.boot`.
        profile: Which functions allocate: a profile, or the path of one's file. None: what is known of the kernel, if anything is.
        sanitize: See `Debugger`.
        max_instructions: The run ends after so many.
        timeout_s: Seconds of the host that moves may take in all.
        machine: See `emulator.boot`.

    Raises:
        EmulatorError: See `emulator.boot`, and `Debugger`.
    """
    from emulator import boot
    from emulator.profile.known import match, matching_profile
    from emulator.profile.reader import read_profile

    booted = boot(kernel, **machine)  # type: ignore[arg-type]
    if isinstance(profile, str):
        profile = match(read_profile(profile), booted.image)
    elif profile is None:
        try:
            profile = matching_profile(booted.image)
        except KernelMismatch:
            profile = None
    return Debugger(booted, profile, sanitize=sanitize, budget=Budget(max_instructions, timeout_s))
