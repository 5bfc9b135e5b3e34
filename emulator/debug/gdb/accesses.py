"""Accesses of watched bytes on the way back.

Forwards, a watchpoint stops the machine behind the instruction that has accessed the bytes, and so does `Debugger.back`. The protocol wants the
access undone on the way back: then the client sees the bytes change, and the next instruction is the one that has changed them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from emulator.debug.points import Watchpoint
from emulator.debug.stop import StopKind
from emulator.guest.backtrace import backtrace
from emulator.guest.disassembler import instruction_at, source_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.points import Point
    from emulator.debug.stop import Stop, WatchHit
    from emulator.guest.symbolizer import Frame
    from emulator.replay.moment import Moment


class Write(NamedTuple):
    """A write to some bytes.

    Attributes:
        moment: In front of the instruction that wrote.
        event: The newest event there.
        access: What was written.
        text: The instruction; "": a model or a device wrote.
        source: Its line, as far as it is known; "": it is not.
        backtrace: The instruction's frame, then its callers; of a model, its function.
    """

    moment: Moment
    event: int
    access: WatchHit
    text: str
    source: str
    backtrace: tuple[Frame, ...]


def last_write(debugger: Debugger, address: int, size: int) -> Write | None:
    """Return the last write to some bytes before where a debugger stands, and where it stands afterwards; None: there was none.

    Args:
        debugger: What else stops it does not.
        address: Linear, as now mapped.
        size: Bytes, 1 or more.

    Raises:
        ValueError: There is no memory at *address*; or it was cancelled.
    """
    here = debugger.moment
    point = debugger.watch(address, size)
    try:
        with _only(debugger, [point]):
            stop = undo_newest_access(debugger) or undone(debugger, debugger.back())
        if stop.kind is StopKind.CANCELLED:
            raise ValueError("interrupted")
        return _write(debugger, stop)
    finally:
        point.remove()
        debugger.go_to(here)


def _write(debugger: Debugger, stop: Stop) -> Write | None:
    if stop.access is None:
        return None
    machine = debugger.machine
    registers = machine.registers()
    if stop.access.pc != registers.pc:
        frame = machine.image.location(stop.access.pc)
        return Write(debugger.moment, debugger.event, stop.access, "", "", (frame,))
    line = machine.image.source_line(registers.eip)
    source = "" if line is None else source_text(machine.image, line)
    frames = tuple(each.frame for each in backtrace(machine))
    text = instruction_at(machine, registers.eip, registers.pc)
    return Write(debugger.moment, debugger.event, stop.access, text, source, frames)


def undo_newest_access(debugger: Debugger) -> Stop | None:
    """Undo the newest instruction if it has accessed watched bytes; None: it has not, and the machine stands where it stood."""
    watchpoints = [each for each in debugger.points if each.enabled and isinstance(each, Watchpoint)]
    if not watchpoints:
        return None
    here = debugger.moment
    with _only(debugger, watchpoints):
        stop = debugger.step_back()
        if stop.kind is StopKind.STEP:
            stop = debugger.step()
            if stop.kind is StopKind.WATCHPOINT:
                return undone(debugger, stop)
    if stop.kind is not StopKind.CANCELLED and debugger.moment != here:
        stop = debugger.go_to(here)
    return stop if stop.kind is StopKind.CANCELLED else None


def undone(debugger: Debugger, stop: Stop) -> Stop:
    """Undo the access that has stopped a debugger, if one has; return where it has stopped then."""
    if stop.kind is not StopKind.WATCHPOINT:
        return stop
    before = debugger.step_back()
    return before if before.kind is StopKind.CANCELLED else stop._replace(moment=before.moment)


@contextmanager
def _only(debugger: Debugger, points: Collection[Point]) -> Iterator[None]:
    """Let nothing but some points stop a debugger: what else stops it at the same instruction would be named in their place."""
    others = [each for each in debugger.points if each.enabled and each not in points]
    stops = debugger.stop_at_findings, debugger.stop_at_exceptions
    debugger.stop_at_findings = debugger.stop_at_exceptions = False
    for each in others:
        each.enabled = False
    try:
        yield
    finally:
        debugger.stop_at_findings, debugger.stop_at_exceptions = stops
        for each in others:
            each.enabled = True
