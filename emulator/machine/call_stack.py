"""Call stacks of the guest: what is known for walking them, and the stack where a machine stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.loader.image import SegmentFlags

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine

_RANGES_MAX = 16


def prepare_stacks(machine: Machine) -> None:
    """Let the core know how the kernel's stacks are walked."""
    machine.cpu.set_unwind_rules(machine.image.unwind_table.rows, _code_ranges(machine.image))
    machine.cpu.set_functions(machine.image.function_extents)


def call_stack(machine: Machine) -> tuple[int, ...]:
    """Return the stack where a machine that does not run stands, as return addresses, the innermost first.

    The first stands for the place itself: it is EIP + 1, as if the instruction before it had called.
    """
    prepare_stacks(machine)
    return machine.cpu.stack_of(machine.cpu.registers().eip)


def callers(machine: Machine, esp: int, ebp: int) -> tuple[int, ...]:
    """Return the return addresses of a call, from the one that lies at *esp* outwards; EBP was *ebp* at its entry."""
    prepare_stacks(machine)
    return machine.cpu.stack_of_call(esp, ebp)


def _code_ranges(image: KernelImage) -> list[tuple[int, int]]:
    """Where the kernel's code is linked, and where it is loaded: before paging it may run there."""
    ranges = {
        (start, start + segment.size)
        for segment in image.segments
        if segment.flags & SegmentFlags.X
        for start in (segment.virtual, segment.physical)
    }
    return sorted(ranges)[:_RANGES_MAX]
