"""Where and why a debugger has stopped."""

from __future__ import annotations

from enum import Enum, Flag, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.replay.travel import Halt

if TYPE_CHECKING:
    from emulator.check.findings import Finding
    from emulator.debug.points import Point
    from emulator.replay.moment import Moment
    from emulator.run.ending import Ending


class Access(Flag):
    """Which accesses a watchpoint is for."""

    READ = auto()
    WRITE = auto()


class StopKind(Enum):
    """Why a debugger has stopped."""

    BREAKPOINT = "breakpoint"
    WATCHPOINT = "watchpoint"
    STEP = "step"  # it is where it was to go
    EVENT = "event"
    FINDING = "finding"  # in front of a bad access
    EXCEPTION = "exception"  # at the first instruction of an exception's handler
    START = "start"  # in front of the first instruction: there is nothing before it
    ENDED = "ended"  # the run has ended; see `Stop.ending`
    CANCELLED = "cancelled"  # by `Debugger.cancel`, or because the seconds of the host are used up


KINDS: Final = {
    Halt.TARGET: StopKind.STEP,
    Halt.BREAKPOINT: StopKind.BREAKPOINT,
    Halt.FAULT: StopKind.EXCEPTION,
    Halt.EVENT: StopKind.EVENT,
    Halt.ACCESS: StopKind.FINDING,
    Halt.END: StopKind.ENDED,
    Halt.CANCELLED: StopKind.CANCELLED,
    Halt.TIME: StopKind.CANCELLED,
}
"""What a stop is after each halt, if no more is known."""


class WatchHit(NamedTuple):
    """An access of watched bytes.

    Attributes:
        address: Linear address of the first watched byte; what it was when the watchpoint was made.
        size: How many are watched.
        is_write: Whether they were written, and not read.
        before: The watched bytes before the access.
        after: The same after it.
        pc: Linear address of the instruction; of a model, the function that it stands for.
    """

    address: int
    size: int
    is_write: bool
    before: bytes
    after: bytes
    pc: int


class Stop(NamedTuple):
    """Where and why a debugger has stopped.

    Attributes:
        kind: Why.
        moment: Where.
        point: What was hit; None: nothing that has been set.
        access: Of a watchpoint.
        finding: What the bad access is that comes next.
        ending: How the run ended.
    """

    kind: StopKind
    moment: Moment
    point: Point | None = None
    access: WatchHit | None = None
    finding: Finding | None = None
    ending: Ending | None = None
