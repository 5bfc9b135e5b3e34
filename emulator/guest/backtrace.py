"""Backtraces: which functions have been entered and have not returned, and where each one's part of the stack lies.

The core unwinds, by the kernel's call frame information, or where that says nothing, by frame pointers; through interrupts, too.
It does so for every recorded call, so a machine that stands still shows what was recorded there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.symbolizer import Frame, Symbolizer
from emulator.machine.call_stack import callers, callers_of_parked
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def parked_backtrace(machine: Machine, saved: Mapping[str, int]) -> tuple[StackFrame, ...]:
    """Return the levels of the backtrace of a task that does not run: where it goes on, and the calls around that.

    Args:
        machine: Does not run.
        saved: Registers with which it goes on (`GuestTask.registers`).

    Returns:
        None where EIP is not known; one where it has not begun, or its stack is not known.
    """
    if "eip" not in saved:
        return ()
    symbolizer, registers = Symbolizer(machine.image), machine.registers()
    frame, found = symbolizer.instruction(saved["eip"]), None
    if frame.offset and {"esp", "ebp"} <= saved.keys():
        found = callers_of_parked(machine, saved["eip"], saved["esp"], saved["ebp"])
    if found is None:
        low = registers.on_stack(saved.get("esp", 0))
        return (StackFrame(frame, low, low),)
    starts = [slot + WORD_SIZE for slot in found.slots]
    bounds = [registers.on_stack(each) for each in (*starts, found.end or starts[-1])]
    return tuple(
        StackFrame(each, low, high)
        for frames, low, high in zip(
            map(symbolizer.caller, found.return_addresses), bounds, bounds[1:], strict=False
        )
        for each in frames
    )
