"""Traces that the tests of exports share."""

from __future__ import annotations

from emulator.guest.symbolizer import Frame
from tests.helpers.traces import WHO, TraceBuilder

LOAD = (Frame(0x100200, "load", 0x20, "src/load.c", 7), *WHO)
HOSTILE_NAME = "a;b\n\x1b]0;x\x07\"',<script>\u202e\\"
HOSTILE = (Frame(0x100300, HOSTILE_NAME, 1, HOSTILE_NAME + "/=x.c", 1), *WHO)


def small() -> TraceBuilder:
    """Return a trace with a bit of everything.

    The heap has most, 100 + 300 bytes, after event 6, and keeps 300; two frames stay. One call fails, one gives
    back what was not taken, one does not return.
    """
    builder = TraceBuilder()
    builder.call("kmalloc", 100, result=0x20_0000)
    builder.enter("kmalloc", 300, stack=LOAD)
    builder.call("alloc_frames", 2, result=0x300, stack=LOAD)
    builder.leave(0x20_0100)
    builder.call("kfree", 0x20_0000)
    builder.call("kmalloc", 1 << 30)
    builder.call("kfree", 0xDEAD_BEE0)
    builder.enter("kmalloc", 8, stack=())
    return builder


def hostile() -> TraceBuilder:
    """Return a trace whose symbols have names that are none."""
    return TraceBuilder().call("kmalloc", 100, result=0x20_0000, stack=HOSTILE)
