"""The variables of a task that does not run, as far as they are known.

Its registers are those with which it goes on: where the kernel's switch has put them. What functions keep for their callers is found from there as in the
backtrace of what runs; EAX, ECX and EDX, and the registers of the FPU, are not known in any frame. Memory is read through the page tables in use, which may be another task's: there the kernel's own memory is the same,
but what lies at addresses that programs can access need not be. Of these only the kernel's image and the task's stack are read, whose backtrace shows that it is the right one.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from emulator.debug.variables import Variables
from emulator.guest.backtrace import parked_backtrace
from emulator.guest.frame_registers import REGISTERS, FrameRegisters, parked_frame_registers
from emulator.guest.storage import Unavailable
from emulator.x86 import PAGE_SIZE, WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.debug.variables import GlobalVariables
    from emulator.guest.backtrace import StackFrame
    from emulator.loader.dwarf.scopes import Scope
    from emulator.machine.core.core_types import FpuRegisters
    from emulator.machine.machine import Machine


class ParkedVariables(Variables):
    """The variables of a task that does not run; see `Variables`.

    Args:
        machine: It does not run, and does not move as long as this is used.
        globals_: See `Variables`.
        saved: The registers with which the task goes on (`emulator.guest.tasks.GuestTask.registers`).
    """

    _is_running = False

    def __init__(self, machine: Machine, globals_: GlobalVariables, saved: Mapping[str, int]) -> None:
        super().__init__(machine, globals_)
        self._saved = saved

    @cached_property
    def frames(self) -> tuple[FrameRegisters, ...]:
        """See `Variables`; none where the task has not begun, or its stack is not known."""
        return parked_frame_registers(self._machine, self._saved)

    def register(self, name: str, level: int) -> int | None:
        """See `Variables.register`; those that belong to no frame are not known."""
        if name not in self._machine.registers()._fields:
            raise ValueError(f"{name!r} is no register")
        if level >= len(self.levels) or self.levels[level].number is None:
            return self._saved.get(name) if not level else None
        return self._in_frame(name, level) if name in REGISTERS else None

    def read(self, address: int, size: int) -> bytes:
        """See `Variables.read`.

        Raises:
            Unavailable: It may be other memory in the task's address space.
        """
        first = self.linear(address)
        end = first + size
        is_own = any(start <= first and end <= stop for start, stop in self._own)
        space = self._machine.address_space()
        for page in range(first & -PAGE_SIZE, end, PAGE_SIZE) if space.is_paged and not is_own else ():
            mapping = space.mapping(page & WORD_MAX)
            if mapping is not None and mapping.user:
                raise Unavailable(f"0x{address:08x} may be other memory for the task")
        return super().read(address, size)

    @cached_property
    def _own(self) -> list[tuple[int, int]]:
        """Linear addresses [start, end) of the kernel's image and of the part of the task's stack that is known."""
        machine = self._machine
        found = [
            (start, start + each.size)
            for each in machine.image.segments
            for start in {each.virtual, each.physical}
            if machine.translate(start) == each.physical
        ]
        levels = [each.stack_frame for each in self.levels]
        return [*found, (levels[0].low, max(each.high for each in levels))] if levels else found

    def _backtrace(self) -> tuple[StackFrame, ...]:
        return parked_backtrace(self._machine, self._saved)

    def _innermost(self) -> FrameRegisters:
        return self.frames[0] if self.frames else FrameRegisters(0, {}, None, None)

    def _fpu(self) -> FpuRegisters:
        raise Unavailable("registers of the FPU and of SSE are those of the task that runs")

    def _scope_of(self, level: int) -> Scope | None:
        return self.levels[level].scope if level < len(self.levels) else None
