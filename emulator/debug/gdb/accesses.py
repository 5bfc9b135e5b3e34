"""Accesses of watched bytes on the way back.

Forwards, a watchpoint stops the machine behind the instruction that has accessed the bytes, and so does `Debugger.back`. The protocol wants the
access undone on the way back: then the client sees the bytes change, and the next instruction is the one that has changed them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.debug.points import Watchpoint
from emulator.debug.stop import StopKind

if TYPE_CHECKING:
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Stop


def undo_newest_access(debugger: Debugger) -> Stop | None:
    """Undo the newest instruction if it has accessed watched bytes; None: it has not, and the machine stands where it stood."""
    watchpoints = [each for each in debugger.points if each.enabled and isinstance(each, Watchpoint)]
    if not watchpoints:
        return None
    here = debugger.moment
    with debugger.only(
        watchpoints
    ):  # what else stops it at the same instruction would be named in their place
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
