"""Stops: in front of which instruction a run ends, exactly, so that it goes on as if it had not been stopped."""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import HostError
from emulator.machine.core.handle import ffi, lib
from emulator.machine.core.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.machine.core.handle import Core

_NEVER: Final = (1 << 64) - 1


class Instant(NamedTuple):
    """In front of which instruction a machine stands; see `kc_moment` in core.h.

    Attributes:
        instructions: Executed since the machine was made.
        faults: Exceptions that were raised after the last of them.
    """

    instructions: int
    faults: int = 0


class Stopping(IntEnum):
    """What a breakpoint does where it is reached: ends the run; notes that, before the instant of `Stops.stop_at`; nothing."""

    STOPS = lib.KC_STOPS
    NOTES = lib.KC_NOTES
    IGNORES = lib.KC_IGNORES


class Executed(NamedTuple):
    """An instruction that was executed, or begun and left by an exception.

    Attributes:
        instant: When it began.
        pc: Its linear address.
        esp: Before it.
        is_handler: Whether a handler of an interrupt or exception has begun with it.
    """

    instant: Instant
    pc: int
    esp: int
    is_handler: bool


class Breakpoint(Observer):
    """An instruction in front of which runs end; made by `Stops.break_at`.

    Attributes:
        number: From 1, not used again.
    """

    @property
    def number(self) -> int:
        """From 1, not used again."""
        return self._number

    def close(self) -> None:
        """Take it away."""
        self._core.check_rests("Breakpoint.close()")
        lib.kc_breakpoint_remove(self._core.raw, self._number)


class Hit(NamedTuple):
    """An access that a watchpoint has met.

    Attributes:
        instant: When the instruction began.
        eip: The instruction.
        pc: Linear address of the instruction.
        is_write: Whether the bytes were written.
        is_instructions: Whether the instruction itself has accessed them; else a model, a device, or the CPU at an exception.
        is_models: Whether a model has written them.
        accesses: How many there were by then, itself among them.
        before: The watched bytes before it.
        after: The same after it.
    """

    instant: Instant
    eip: int
    pc: int
    is_write: bool
    is_instructions: bool
    is_models: bool
    accesses: int
    before: bytes
    after: bytes


class Watch(Observer):
    """Some bytes of memory: runs end behind instructions that access them; made by `Stops.watch`.

    Attributes:
        number: That of a breakpoint, but not the number of one.
    """

    def __init__(self, core: Core, number: int, size: int) -> None:
        super().__init__(core, number)
        self._size = size

    @property
    def number(self) -> int:
        """That of a breakpoint, but not the number of one."""
        return self._number | int(lib.KC_WATCHES)

    @property
    def hit(self) -> Hit | None:
        """The newest access of the bytes that has counted; None: there was none."""
        hit = ffi.new("kc_watch_hit *")
        if not lib.kc_watch_hit_of(self._core.raw, self._number, hit):
            return None
        instant = Instant(hit.moment.instructions, hit.moment.faults)
        before, after = (bytes(ffi.buffer(each, self._size)) for each in (hit.before, hit.after))
        return Hit(
            instant,
            hit.eip,
            hit.pc,
            hit.is_write,
            hit.is_instructions,
            hit.is_models,
            hit.count,
            before,
            after,
        )

    def close(self) -> None:
        """Take it away."""
        self._core.check_rests("Watch.close()")
        lib.kc_watchpoint_close(self._core.raw, self._number)


class Stops:
    """The stops of one machine.

    Args:
        core: Of the machine.

    Attributes:
        mode: What breakpoints do.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._moment = ffi.new("kc_moment *")
        self.mode = Stopping.STOPS
        self._at_faults = False
        self._conditions: dict[int, Callable[[], bool]] = {}
        core.stops = self._counts

    @property
    def now(self) -> Instant:
        """Where the machine stands: between runs, and from the condition of a breakpoint."""
        lib.kc_moment_now(self._core.raw, self._moment)
        return Instant(self._moment.instructions, self._moment.faults)

    def stop_at(self, instant: Instant | None) -> None:
        """Let runs end in front of the first instruction at an instant or later, from now on; None: at breakpoints only.

        Stops where the machine stands now are passed.

        Raises:
            HostError: This libunicorn does not let blocks count their instructions, or the machine has the reference MMU.
            ValueError: The machine runs.
        """
        self._core.check_machine_rests("stop_at()")
        self._moment.instructions, self._moment.faults = (_NEVER, 0) if instant is None else instant
        if not lib.kc_stop_at(self._core.raw, self._moment):
            raise HostError("runs cannot be stopped exactly: blocks do not count their instructions")

    def stop_after(self, instructions: int) -> None:
        """Let runs end where so many more instructions have begun from here on, too; 0: any number may."""
        self._core.check_machine_rests("stop_after()")
        lib.kc_stop_after(self._core.raw, instructions)

    @property
    def steps_left(self) -> int:
        """How many more may begin."""
        left: int = lib.kc_steps_left(self._core.raw)
        return left

    @property
    def at_handler(self) -> bool:
        """Whether the next instruction is the first of a handler, of an interrupt or an exception."""
        return bool(lib.kc_at_handler(self._core.raw))

    def newest_faults(self) -> tuple[Instant, Instant]:
        """Return when the newest exception's handler was entered, and the one's before it; without any, an instant with no faults."""
        before = ffi.new("kc_moment *")
        lib.kc_faults(self._core.raw, self._moment, before)
        return Instant(self._moment.instructions, self._moment.faults), Instant(
            before.instructions, before.faults
        )

    def break_at(self, address: int, condition: Callable[[], bool] | None = None) -> Breakpoint:
        """Let runs end in front of the instruction at *address*, linear.

        Args:
            address: Of the instruction.
            condition: Called there, in the middle of a run, when the registers are exact: whether the run ends. None: it does.

        Raises:
            HostError: No memory is left.
        """
        self._core.check_rests("break_at()")
        number = lib.kc_breakpoint_add(self._core.raw, address, condition is not None)
        if number < 0:
            raise HostError("no memory for a breakpoint")
        if condition is not None:
            self._conditions[number] = condition
        return Breakpoint(self._core, number)

    @property
    def at_faults(self) -> bool:
        """Whether runs end where the handler of an exception begins, too."""
        return self._at_faults and self.mode is Stopping.STOPS

    @at_faults.setter
    def at_faults(self, on: bool) -> None:
        self._at_faults = on
        lib.kc_stop_at_faults(self._core.raw, self.at_faults)

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Let runs inside the block end in front of the first instruction that would begin: a handler's, where an interrupt comes before it."""
        lib.kc_settle(self._core.raw, True)  # noqa: FBT003 - as C has it
        try:
            yield
        finally:
            lib.kc_settle(self._core.raw, False)  # noqa: FBT003

    @contextmanager
    def trail(self, size: int) -> Iterator[Callable[[], list[Executed]]]:
        """Keep the newest instructions of runs inside the block, which are slower; what it gives returns them, the oldest first.

        Args:
            size: How many to keep.

        Raises:
            HostError: No memory is left.
        """
        self._core.check_machine_rests("trail()")
        if not lib.kc_trail_open(self._core.raw, size):
            raise HostError("no memory for the instructions of a run")
        rows = ffi.new("kc_position[]", size)

        def kept() -> list[Executed]:
            count = lib.kc_trail(self._core.raw, rows)
            return [
                Executed(
                    Instant(each.moment.instructions, each.moment.faults),
                    each.pc,
                    each.esp,
                    bool(each.is_handler),
                )
                for each in rows[0:count]
            ]

        try:
            yield kept
        finally:
            lib.kc_trail_close(self._core.raw)

    def watch(
        self,
        physical: int,
        size: int,
        condition: Callable[[], bool] | None = None,
        *,
        reads: bool = False,
        writes: bool = True,
    ) -> Watch:
        """Let runs end behind instructions that access some bytes.

        A device or a model that accesses them ends the run at the end of the block of instructions that it works for.

        Args:
            physical: The first of the bytes.
            size: How many; 1 or more.
            condition: See `break_at`; called after the access.
            reads: Whether loads do that.
            writes: Whether stores do.

        Raises:
            HostError: There is no byte, or no memory is left.
        """
        then = lib.KC_ENDS_RUN if condition is None else lib.KC_ASKS
        watch = self._watch(physical, size, reads << lib.KC_READ | writes << lib.KC_WRITE, then)
        if condition is not None:
            self._conditions[watch.number] = condition
        return watch

    def keep_writes(self, physical: int, size: int) -> Watch:
        """Keep the newest write to some bytes, whoever makes it; it ends no run, and what the bytes are after it is not kept."""
        return self._watch(physical, size, 1 << lib.KC_WRITE, lib.KC_ONLY_KEEPS)

    def _watch(self, physical: int, size: int, access: int, then: int) -> Watch:
        self._core.check_rests("watch()")
        return Watch(
            self._core, self._core.opened(lib.kc_watch(self._core.raw, physical, size, access, then)), size
        )

    @contextmanager
    def mode_for(self, mode: Stopping, notes_before: Instant | None = None) -> Iterator[None]:
        """Say what breakpoints, and the handlers of exceptions, do inside the block.

        Args:
            mode: What breakpoints do; handlers only end runs.
            notes_before: Where nothing is noted any more; None: that is nowhere.
        """
        before, self.mode = self.mode, mode
        self._moment.instructions, self._moment.faults = notes_before or (_NEVER, 0)
        lib.kc_stopping(self._core.raw, mode, self._moment)
        lib.kc_stop_at_faults(self._core.raw, self.at_faults)
        try:
            yield
        finally:
            self.mode = before
            lib.kc_stopping(self._core.raw, before, self._moment)
            lib.kc_stop_at_faults(self._core.raw, self.at_faults)

    @property
    def reached(self) -> tuple[int, Instant] | None:
        """The number of the breakpoint that was reached last, and when; None: none was, since the present `mode_for`."""
        number = lib.kc_breakpoint_reached(self._core.raw, self._moment)
        return (number, Instant(self._moment.instructions, self._moment.faults)) if number else None

    def _counts(self, number: int) -> bool:
        return bool(self._conditions[number]())
