"""Tells writes to the kernel's code and constants that are meant from mistakes.

Theory. Kernels change their own code on purpose: to suit the CPU, to switch tracing on, or because an `int n` has no other operand than its own
byte. That shows in how they do it. What is taken for meant:

- what is written before the allocator comes up; and what the same place in the code, an instruction or a call of such as memcpy(), writes later;
- where the instruction names the address, as it stands in the code or with an index: a wild pointer is not there;
- while CR0.WP is clear, in a kernel that has it set in the end;
- through another address than the kernel is linked at.

What changes code later on, by a pointer, is left to suppressions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.accesses.code_places import code_place
from emulator.check.null_accesses import came_up
from emulator.guest.symbolizer import Symbolizer
from emulator.machine.code.instructions import memory_operands
from emulator.machine.core.observed import Poison
from emulator.x86 import LONGEST_INSTRUCTION, WORD_MAX, Cr0

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.machine.core.observed import BadAccess
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace


class MeantWrites:
    """Knows what a kernel writes to its code and constants on purpose.

    Args:
        machine: The machine that ran; its memory still holds the code.
        trace: Of the run.
    """

    def __init__(self, machine: Machine, trace: Trace) -> None:
        self._machine = machine
        self._image = machine.image
        self._trace = trace
        self._symbolizer = Symbolizer(machine.image)

    def left_out(self, accesses: Iterable[BadAccess]) -> Iterator[BadAccess]:
        """Yield accesses without the writes that are meant.

        Args:
            accesses: In order of the first ones.
        """
        up = None
        places: set[tuple[int, ...]] = set()
        for access in accesses:
            if access.poison is not Poison.READ_ONLY:
                yield access
                continue
            up = came_up(self._trace) if up is None else up
            place = code_place(self._symbolizer, access.registers.eip, access.callers)
            if up is None or access.event < up:
                places.add(place)
            elif place not in places and not self._is_meant(access):
                yield access

    def _is_meant(self, access: BadAccess) -> bool:
        image, registers = self._image, access.registers
        is_linked = any(
            0 <= access.linear - each.virtual < each.size
            and access.physical - each.physical == access.linear - each.virtual
            for each in image.segments
        )
        is_open = self._machine.registers().cr0 & Cr0.WP and not registers.cr0 & Cr0.WP
        return not is_linked or is_open or self._is_named(access)

    def _is_named(self, access: BadAccess) -> bool:
        """Return whether the instruction has the address in itself, or where an array begins."""
        code = self._machine.read_linear(access.registers.pc, LONGEST_INSTRUCTION)
        return any(
            operand.offset & WORD_MAX in section
            for operand in memory_operands(code, access.registers)
            for section in self._image.constant_sections
        )
