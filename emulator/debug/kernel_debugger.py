"""Debug a kernel: stop anywhere, look, change, and go on or back.

A `Debugger` has a machine that stands still between its calls. Whatever is called, the run is that of a machine nobody has stopped: interrupts come
at the same instructions, and going back and forth again leads to the same states, bit for bit.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from emulator.debug.access_checks import AccessChecks
from emulator.debug.backwards import Backwards
from emulator.debug.changes import memory_change, register_change, spans_of_ram
from emulator.debug.lines import Lines
from emulator.debug.places import read_places
from emulator.debug.point_set import PointSet
from emulator.debug.points import Breakpoint, EventPoint, Point, Watchpoint
from emulator.debug.stop import KINDS, Access, Stop, StopKind, WatchHit
from emulator.errors import Cancelled, KernelMismatch
from emulator.profile.model import no_profile
from emulator.replay.instructions_back import executed_before, go_back
from emulator.replay.moment import Moment
from emulator.replay.newest_write import Write, newest_write
from emulator.replay.travel import Halt, Travel
from emulator.run.ending import NO_LIMIT, Budget, Ending, How
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType

    from emulator.check.accesses.bad_accesses import Mistake
    from emulator.debug.recorded_calls import RecordedCalls
    from emulator.loader.image import KernelImage
    from emulator.machine.core.stops import Executed, Instant
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.trace.logged import LoggedTrace

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

_LAST_MOMENT: Final = 1 << 62


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
        profile: Functions whose calls are events; None, or one without functions (`no_profile`): there are no events.
        sanitize: Check each access, so that a run can stop in front of a bad one; ``uninitialised``: and each use of what was never written.
        budget: What the run may take in all; the seconds count from now.

    Attributes:
        machine: It stands still between calls: read registers and memory from it. Use `write_memory` and `write_register` to change it.
        image: Its kernel.
        profile: As given; in place of None one without functions.
        stop_at_findings: Whether runs stop in front of bad accesses; at first they do.
        stop_at_exceptions: Whether runs stop at the first instruction of each exception's handler; at first they do not.

    Raises:
        HostError: Runs of this machine cannot be stopped exactly: it has the reference MMU, or this libunicorn is not the one known.
        KernelMismatch: The kernel lacks a function of the profile.
        ValueError: Accesses are to be checked, and no profile says which functions allocate.
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
        self.profile = no_profile("none was given") if profile is None else profile
        self.stop_at_findings = True
        self.stop_at_exceptions = False
        self._points = PointSet(self)
        self._calls: RecordedCalls | None = None
        if self.profile.functions:
            from emulator.debug.recorded_calls import RecordedCalls  # it has numpy

            self._calls = RecordedCalls(machine, self.profile)
        self._checks = AccessChecks(self, sanitize)
        self._travel = Travel(machine, budget)
        if self._calls is not None:
            self._travel.on_return, self._travel.on_jump = self._calls.leave, self._calls.arrive
        self._backwards = Backwards(self, self._travel, self._points, self._checks)
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
        return self._points.points

    # -- points --------------------------------------------------------------------------------------

    def break_at(self, where: int | str, condition: Condition | None = None) -> Breakpoint:
        """Stop in front of an instruction.

        Args:
            where: Its linear address; a function, where its body begins, after the prologue, in copies inside of other functions, too; another symbol, or any
                with an offset, as in ``kmalloc+0``; or a line of the source, as in ``heap.c:12``, at its first instruction in each block of code.
            condition: Called with this debugger, in the middle of the run: whether to stop. It may look at everything, and change nothing.

        Raises:
            TypeError: *condition* cannot be called.
            ValueError: There is no such place.
        """
        _check_condition(condition)
        addresses = (where,) if isinstance(where, int) else read_places(where, self.image)
        if not 0 <= addresses[0] <= WORD_MAX:
            raise ValueError(f"{addresses[0]:#x} is no 32-bit address")
        return self._points.add(Breakpoint(self, self._points.next_number(), addresses, condition))

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
            TypeError: *access* is no `Access`, or *condition* cannot be called.
            ValueError: They are not mapped, there is no RAM, or nothing is to be watched.
        """
        if not isinstance(access, Access):
            raise TypeError(f"access is Access.READ, Access.WRITE, or both, not {access!r}")
        _check_condition(condition)
        if size < 1 or not access:
            raise ValueError(f"there is nothing to watch: {size} bytes, {access}")
        spans = spans_of_ram(self.machine, address, size, physical=physical)
        return self._points.add(
            Watchpoint(self, self._points.next_number(), address, tuple(spans), access, condition)
        )

    def break_event(self, number: int) -> EventPoint:
        """Stop at an event: where a function is entered, in front of its first instruction; where it returns, after that.

        Raises:
            ValueError: No calls are recorded, or *number* is no number of an event.
        """
        self._check_event(number)
        return self._points.add(EventPoint(self, self._points.next_number(), number))

    def remove(self, point: Point) -> None:
        """Take a point away; see `Point.remove`."""
        self._points.remove(point)

    @contextmanager
    def only(self, points: Collection[Point] = (), *, findings: bool = False) -> Iterator[None]:
        """Let nothing but some points, or findings, stop moves inside the block."""
        others = [each for each in self.points if each.enabled and each not in points]
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
        """Go on to where another line of the source begins, perhaps in a function that is called; what stops runs stops this, too.

        Raises:
            ValueError: The kernel's file has no lines.
        """
        return self._lines.step(into=True)

    def next_line(self) -> Stop:
        """The same, without going into functions. See `step_line`."""
        return self._lines.step(into=False)

    def finish(self) -> Stop:
        """Go on to where the present function has returned to; what stops runs stops this, too.

        Raises:
            ValueError: Who called it is not known.
        """
        return self._lines.finish()

    def run_to(self, address: int | Collection[int], condition: Condition | None = None) -> Stop:
        """Go on to an instruction, or to the first one of several; what stops runs stops this, too.

        Args:
            address: Linear.
            condition: See `break_at`.
        """
        _check_condition(condition)
        with self._points.going_to(address, condition):
            return self._forward()

    def _forward(self, steps: int = 0) -> Stop:
        halt = self._prepare()
        if halt is not Halt.TARGET:
            return self._stop(KINDS[halt])
        self._checks.begin()
        event = self._points.after(self.event)
        halt = self._travel.forward(event=0 if event is None else event.event, steps=steps)
        kind, point, access = KINDS[halt], None, None
        if halt is Halt.BREAKPOINT:
            reached = self.machine.stops.reached
            kind, point, access = self._points.reached(0 if reached is None else reached[0])
        elif halt is Halt.EVENT:
            point = self._points.at(self.event)
        if point is not None:
            point.hits += 1
        return self._stop(kind, point, access)

    def _prepare(self) -> Halt:
        """Let the machine have what is to stop it, and the calls that say what a bad access is: while it runs, they cannot be had."""
        self._points.put_in()
        if self._calls is None or not self._checks.is_on or not self.stop_at_findings:
            return Halt.TARGET
        return self._calls.complete(self._travel)

    def _stop(self, kind: StopKind, point: Point | None = None, access: WatchHit | None = None) -> Stop:
        finding = self._checks.finding if kind is StopKind.FINDING else None
        return Stop(kind, self.moment, point, access, finding, self._travel.ending)

    # -- backwards -----------------------------------------------------------------------------------

    def back(self) -> Stop:
        """Go back to the newest place before here where going forwards would have stopped; without one, to the start."""
        halt = self._prepare()
        if halt is not Halt.TARGET:
            return self._stop(KINDS[halt])
        return self._stop(*self._backwards.search())

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

    def run_back_to(self, address: int | Collection[int], condition: Condition | None = None) -> Stop:
        """Go back to an instruction, or to the newest of several; what stops runs stops this, too. See `run_to`."""
        _check_condition(condition)
        with self._points.going_to(address, condition):
            return self.back()

    def executed_before(self, count: int) -> list[Executed]:
        """Return the instructions that have begun before here, the oldest first: the last *count*, fewer at the start of the run.

        Raises:
            EmulatorError: The way back was cancelled, or the host cannot give what it needs.
        """
        return executed_before(self._travel, count)

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
        halt = go_back(self._travel, count)
        return self._stop(StopKind.START if halt is None else KINDS[halt])

    def go_to(self, moment: Moment | int) -> Stop:
        """Go to a moment of the run; nothing stops that.

        Args:
            moment: One at which this debugger stood, or how many instructions have been executed there.

        Raises:
            ValueError: No run has such a moment.
        """
        if isinstance(moment, int):
            moment = Moment(moment)
        if moment < self._travel.start or moment.instructions > _LAST_MOMENT:
            raise ValueError(f"there is no moment {moment.instructions}")
        halt = self._travel.go_to(moment)
        return self._stop(StopKind.ENDED if self.moment.at_end else KINDS[halt])

    def go_to_event(self, number: int) -> Stop:
        """Go to where an event has just happened; nothing else stops that.

        Raises:
            ValueError: No calls are recorded, or *number* is no number of an event. 0, the start, is always one.
        """
        if not number:
            return self.stands(None)
        self._check_event(number)
        return self._stop(KINDS[self._travel.go_to_event(number)])

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
        spans = spans_of_ram(self.machine, address, size, physical=physical)
        self._points.take_out()  # nothing else is to be watched
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
        self._edit(memory_change(self.machine, address, data, physical=physical))

    def write_register(self, name: str, value: int) -> None:
        """Set a general register, EIP or EFLAGS, as `write_memory` sets memory.

        Raises:
            ValueError: There is no such register, or it cannot be set; *value* has more than 32 bits; or the run has ended.
        """
        self._edit(register_change(self.machine, name, value))

    def _edit(self, change: Callable[[], None]) -> None:
        self._travel.edit(change)
        if self._calls is not None:
            self._calls.reopen()

    # -- the run so far ------------------------------------------------------------------------------

    def record(self, *, until_idle: bool = False) -> Stop:
        """Go on until something stops the machine, and let the run end there; `trace` knows all its calls from then on, wherever the machine stands.

        Args:
            until_idle: Let it end, too, when the kernel has done nothing but wait for two seconds of virtual time.
        """
        self._travel.until_idle = until_idle
        try:
            stop = self.run()
        finally:
            self._travel.until_idle = False
        self.end_here(stop)
        if self._calls is not None:
            self._calls.finish(self._travel)
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
            Cancelled: The run had to be gone through once more, and another thread has called `cancel`; the machine stands somewhere.
        """
        return self._recorded("no calls are recorded").trace(self._travel)

    @property
    def is_checked(self) -> bool:
        """Whether accesses are checked."""
        return self._checks.is_on

    def mistakes(self) -> list[Mistake]:
        """Return what the bad accesses so far are; none where accesses are not checked."""
        return self._checks.mistakes()

    def _check_event(self, number: int) -> None:
        self._recorded("there are no events")
        if not 1 <= number <= WORD_MAX:
            raise ValueError(f"{number} is no number of an event")

    def _recorded(self, lacking: str) -> RecordedCalls:
        if self._calls is None:
            raise ValueError(f"{lacking}: no profile says which functions allocate")
        return self._calls

    # -- life ------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """From another thread: end the call that goes on, before long; it returns a stop of kind `CANCELLED`."""
        self._travel.cancel()

    def close(self) -> None:
        """Give back what the debugger has in its machine."""
        self._points.close()
        self._checks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _check_condition(condition: Condition | None) -> None:
    if condition is not None and not callable(condition):
        raise TypeError(f"a condition is called with the debugger, and {condition!r} cannot be")


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
        except KernelMismatch as error:
            profile = no_profile(error.problem)
    return Debugger(booted, profile, sanitize=sanitize, budget=Budget(max_instructions, timeout_s))
