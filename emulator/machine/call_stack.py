"""Unwinds stacks of the guest, into return addresses. The core does it; the kernel's image says how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.loader.segments import SegmentFlags
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage
    from emulator.machine.core.stacks import Callers
    from emulator.machine.machine import Machine

_RANGES_MAX = 16


def prepare_stacks(machine: Machine) -> None:
    """Give the core what it needs to unwind the kernel's stacks: call frame information, functions, where code lies."""
    machine.stacks.set_unwind_rules(machine.image.unwind_table.rows, _code_ranges(machine.image))
    machine.stacks.set_functions(machine.image.function_extents, machine.image.linked(machine.image.entry))


def callers(machine: Machine) -> Callers:
    """Return the calls around the instruction at EIP; the machine does not run."""
    prepare_stacks(machine)
    return machine.stacks.callers(machine.registers().eip)


def callers_of_call(machine: Machine, esp: int, ebp: int) -> Callers:
    """Return a call whose return address lies at *esp*, and the calls around it; EBP was *ebp* at its entry."""
    prepare_stacks(machine)
    return machine.stacks.callers_of_call(esp, ebp)


def callers_of_parked(machine: Machine, eip: int, esp: int, ebp: int) -> Callers | None:
    """Return the calls around where a task goes on that does not run; None: it does not go on after a call.

    Args:
        machine: Does not run.
        eip: With which the task goes on: the first of the return addresses.
        esp: The same, right above that return address.
        ebp: The same.
    """
    found = callers_of_call(machine, esp - WORD_SIZE & WORD_MAX, ebp)
    return found if found.return_addresses[:1] == (eip,) else None


def _code_ranges(image: KernelImage) -> list[tuple[int, int]]:
    """Return where the kernel's code is linked and where it is loaded, at which it may run before paging is on."""
    ranges = {
        (start, start + segment.size)
        for segment in image.segments
        if segment.flags & SegmentFlags.X
        for start in (segment.virtual, segment.physical)
    }
    return sorted(ranges)[:_RANGES_MAX]
