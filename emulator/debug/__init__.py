"""Inspect a machine that stands still, and move it forwards and backwards.

``from emulator import debug`` gives `debugger`, which puts a kernel under a `Debugger`, and the types that this uses. They are imported when they
are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.debug.kernel_debugger import Debugger, debugger
    from emulator.debug.points import Breakpoint, EventPoint, Point, Watchpoint
    from emulator.debug.stop import Access, Stop, StopKind, WatchHit
    from emulator.replay.moment import Moment
    from emulator.replay.newest_write import Write

__all__ = [
    "Access",
    "Breakpoint",
    "Debugger",
    "EventPoint",
    "Moment",
    "Point",
    "Stop",
    "StopKind",
    "WatchHit",
    "Watchpoint",
    "Write",
    "addresses",
    "dap",
    "debugger",
    "gdb",
    "listening",
    "step",
    "timeline",
    "writer",
]

_HOMES = {
    "Access": "emulator.debug.stop",
    "Breakpoint": "emulator.debug.points",
    "Debugger": "emulator.debug.kernel_debugger",
    "EventPoint": "emulator.debug.points",
    "Moment": "emulator.replay.moment",
    "Point": "emulator.debug.points",
    "Stop": "emulator.debug.stop",
    "StopKind": "emulator.debug.stop",
    "WatchHit": "emulator.debug.stop",
    "Watchpoint": "emulator.debug.points",
    "Write": "emulator.replay.newest_write",
    "debugger": "emulator.debug.kernel_debugger",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
