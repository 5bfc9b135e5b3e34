"""Backtraces: which functions have been entered and have not returned, and where each one's part of the stack lies.

The core unwinds, by the kernel's call frame information, or where that says nothing, by frame pointers; through interrupts, too.
It does so for every recorded call, so a machine that stands still shows what was recorded there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.symbolizer import Frame, Symbolizer
from emulator.machine.call_stack import callers
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


class StackFrame(NamedTuple):
    """One level of the backtrace of a machine that stands still.

    Attributes:
        frame: The function, and where in it the machine stands, or where its callee returns to.
        low: Linear address of its part of the stack: [low, high). Inlined functions share that of the function they stand in.
        high: See *low*; the same where the end is not known, as of the outermost function.
    """

    frame: Frame
    low: int
    high: int


def backtrace(machine: Machine) -> tuple[StackFrame, ...]:
    """Return the levels of the backtrace, the function at EIP first."""
    registers = machine.registers()
    found = callers(machine)
    symbolizer = Symbolizer(machine.image)
    levels = (symbolizer.backtrace(registers.eip), *map(symbolizer.caller, found.return_addresses))
    starts = [registers.esp, *(slot + WORD_SIZE for slot in found.slots)]
    bounds = [registers.on_stack(each) for each in (*starts, found.end or starts[-1])]
    return tuple(
        StackFrame(frame, low, high)
        for frames, low, high in zip(levels, bounds, bounds[1:], strict=False)
        for frame in frames
    )
