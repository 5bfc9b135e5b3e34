"""Findings about how a run ended: the kernel died, failed, is deadlocked, or does not agree with its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.check.call_sites import CallSites
from emulator.check.findings import CallSite, Finding, Kind
from emulator.check.null_accesses import came_up
from emulator.guest.symbolizer import NOTHING_KNOWN, Symbolizer
from emulator.run.ending import How
from emulator.wording import counted
from emulator.x86 import Eflags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.guest.symbolizer import Frame
    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine
    from emulator.machine.unanswered import Lack
    from emulator.run.ending import Ending
    from emulator.trace.trace import Trace


_DEVICES: Final = 2 << 30
"""Where devices of PCI may begin, at a physical address. Those of ISA lie below the end of RAM, or shortly after it."""


def bad_endings(image: KernelImage, ending: Ending, trace: Trace) -> list[Finding]:
    """Return a finding for a kernel that died, failed, or did not do what its model did.

    A used up budget makes none: it may be too small.
    """
    if ending.how is How.DIVERGED:
        details = tuple(line.strip() for line in str(ending.error).splitlines()[1:])
        return [Finding(Kind.DIVERGENCE, "", ending.problem, _last(trace), details=details)]
    if ending.how is How.STOPPED:
        call_site = _death(image, ending, ending.eip or 0, trace)
        return [Finding(Kind.DIED, "", f"the kernel died: {ending.problem}", call_site)]
    if ending.how is How.RESET:
        message = f"the kernel reset the PC at {ending.location}"
        call_site = _death(image, ending, (ending.eip or 0) - 1, trace)
        return [Finding(Kind.FAILED, "", message, call_site)]
    if ending.exit_value:
        return [Finding(Kind.FAILED, "", f"the kernel exited with value {ending.exit_value}", None)]
    return []


def wild_accesses(
    image: KernelImage, ending: Ending, trace: Trace, *, anybodys: bool = False
) -> list[Finding]:
    """Return a finding for each place in the code, where allocators are at work, that accessed memory in which nothing is.

    Other code may look for devices or for the end of RAM so. A kernel that takes RAM to be larger than it is goes on after its end; the
    accesses of that one are left to what is said of RAM.

    Args:
        image: The kernel.
        ending: How the run ended, with what nothing answered.
        trace: Of the run.
        anybodys: Accesses of other code count, too, where no PC has devices: below 2 GiB. They do so once an allocator has come up,
            for before that kernels look for RAM, and where no such place had done so by then.
    """
    lacks = [lack for lack in ending.lacks if lack.address is not None]
    if any(lack.ram_end for lack in lacks):
        return []
    up = came_up(trace)
    places = {(lack.eip, lack.callers[:1]) for lack in lacks if up is None or lack.event < up}
    found: dict[tuple[str, int, tuple[int, ...]], list[Lack]] = {}
    for lack in lacks:
        is_unmeant = (
            anybodys and (lack.address or 0) < _DEVICES and (lack.eip, lack.callers[:1]) not in places
        )
        if is_unmeant or _is_of_allocator(lack, trace):
            found.setdefault((lack.function, lack.eip, lack.callers), []).append(lack)
    return [_wild_access(image, each, trace) for each in found.values()]


def _is_of_allocator(lack: Lack, trace: Trace) -> bool:
    role = next((each.role for each in trace.functions if each.name == lack.function), None)
    return role is not None and (role.makes_block or role.names_block)


def _wild_access(image: KernelImage, lacks: Sequence[Lack], trace: Trace) -> Finding:
    lack = lacks[0]
    frames = Symbolizer(image).backtrace(lack.eip, lack.callers)
    inside = CallSites(trace).open_after(lack.event) if lack.function else None
    function = frames[0].function if inside is None else inside.function
    call_site = CallSite(0 if inside is None else inside.call, lack.event, lack.function or function, frames)
    verb = "write to" if lack.by_write else "read of"
    message = f"wild access: {verb} 0x{lack.address:08x}"
    details = ["neither RAM nor a device is there"]
    if len(lacks) > 1:
        details.append(f"{counted(len(lacks), 'page')} like this")
    return Finding(Kind.WILD_ACCESS, "", message, call_site, details=tuple(details))


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


def _death(image: KernelImage, ending: Ending, eip: int, trace: Trace) -> CallSite:
    """Return where an instruction ended the run: in the innermost recorded call, if there is one."""
    frame = Symbolizer(image).instruction(eip)
    inside = _innermost(trace)
    event = trace.event_count
    frames: tuple[Frame, ...] = ending.backtrace or (frame,)
    if inside is None:
        return CallSite(0, event, frame.function, frames)
    if frames[-1] == NOTHING_KNOWN:
        frames = frame, *inside.backtrace
    return CallSite(inside.call, event, inside.function, frames)


def _last(trace: Trace) -> CallSite | None:
    """Return the call that has just returned, or else the innermost one that has not."""
    rows = np.flatnonzero(trace.calls.left == trace.event_count)
    return CallSites(trace).exit(int(rows[-1]) + 1) if len(rows) else _innermost(trace)


def _innermost(trace: Trace) -> CallSite | None:
    """Return the innermost call that has not returned."""
    rows = np.flatnonzero(~trace.calls.returned)
    return CallSites(trace).entry(int(rows[-1]) + 1) if len(rows) else None
