"""Findings about how a run ended: the kernel died, failed, is deadlocked, or does not agree with its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.check.call_sites import CallSites
from emulator.check.findings import CallSite, Finding, Kind
from emulator.guest.symbolizer import Symbolizer
from emulator.run.ending import How
from emulator.x86 import Eflags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine
    from emulator.machine.unanswered import Lack
    from emulator.run.ending import Ending
    from emulator.trace.trace import Trace


def bad_endings(image: KernelImage, ending: Ending, trace: Trace) -> list[Finding]:
    """Return a finding for a kernel that died, failed, or did not do what its model did.

    A used up budget makes none: it may be too small.
    """
    if ending.how is How.DIVERGED:
        details = tuple(line.strip() for line in str(ending.error).splitlines()[1:])
        return [Finding(Kind.DIVERGENCE, "", ending.problem, _last(trace), details=details)]
    if ending.how is How.STOPPED:
        call_site = _death(image, ending.eip or 0, trace)
        return [Finding(Kind.DIED, "", f"the kernel died: {ending.problem}", call_site)]
    if ending.how is How.RESET:
        message = f"the kernel reset the PC at {ending.location}"
        call_site = _death(image, (ending.eip or 0) - 1, trace)
        return [Finding(Kind.FAILED, "", message, call_site)]
    if ending.exit_value:
        return [Finding(Kind.FAILED, "", f"the kernel exited with value {ending.exit_value}", None)]
    return []


def wild_accesses(image: KernelImage, ending: Ending, trace: Trace) -> list[Finding]:
    """Return a finding for each page in which nothing is that an allocator accessed.

    Other code may look for devices or for the end of RAM so. A kernel that takes RAM to be larger than it is goes on after its end; the
    accesses of that one are left to what is said of RAM.
    """
    if any(lack.ram_end for lack in ending.lacks):
        return []
    roles = {function.name: function.role for function in trace.functions}
    return [
        _wild_access(image, lack, trace)
        for lack in ending.lacks
        if lack.address is not None
        and (role := roles.get(lack.function))
        and (role.makes_block or role.names_block)
    ]


def _wild_access(image: KernelImage, lack: Lack, trace: Trace) -> Finding:
    frame = Symbolizer(image).instruction(lack.eip)
    call_site = CallSite(0, lack.event, lack.function, (frame,))
    inside = CallSites(trace).open_after(lack.event)
    if inside is not None:
        call_site = CallSite(inside.call, lack.event, inside.function, (frame, *inside.backtrace))
    verb = "wrote to" if lack.by_write else "read"
    message = f"{lack.function} {verb} 0x{lack.address:08x}, where nothing is"
    return Finding(Kind.WILD_ACCESS, "", message, call_site)


def deadlocks(machine: Machine, ending: Ending, trace: Trace, waiting: Sequence[str]) -> list[Finding]:
    """Return a finding for a kernel that halted for good while tasks wait.

    Args:
        machine: The machine, as the run left it.
        ending: How the run ended.
        trace: The trace of the run.
        waiting: A line for each task that waits, which says for what.
    """
    if ending.how is not How.HALTED or not waiting:
        return []
    tasks = "1 task waits" if len(waiting) == 1 else f"{len(waiting)} tasks wait"
    is_on = machine.registers().eflags & Eflags.IF
    why = "no device to interrupt it" if is_on else "interrupts off"
    message = f"deadlock: the kernel halted for good, with {why}, while {tasks}"
    return [Finding(Kind.DEADLOCK, "", message, _innermost(trace), details=tuple(waiting))]


def _death(image: KernelImage, eip: int, trace: Trace) -> CallSite:
    """Return where an instruction ended the run: in the innermost recorded call, if there is one."""
    frame = Symbolizer(image).instruction(eip)
    inside = _innermost(trace)
    event = trace.event_count
    if inside is None:
        return CallSite(0, event, frame.function, (frame,))
    return CallSite(inside.call, event, inside.function, (frame, *inside.backtrace))


def _last(trace: Trace) -> CallSite | None:
    """Return the call that has just returned, or else the innermost one that has not."""
    rows = np.flatnonzero(trace.calls.left == trace.event_count)
    return CallSites(trace).exit(int(rows[-1]) + 1) if len(rows) else _innermost(trace)


def _innermost(trace: Trace) -> CallSite | None:
    """Return the innermost call that has not returned."""
    rows = np.flatnonzero(~trace.calls.returned)
    return CallSites(trace).entry(int(rows[-1]) + 1) if len(rows) else None
