"""Turns a write to memory into the instruction that did it, with its backtrace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.check.findings import FaultingWrite
from emulator.guest.symbolizer import Symbolizer

if TYPE_CHECKING:
    from emulator.machine.core_types import LastWrite
    from emulator.machine.machine import Machine

_LONGEST: Final = 15  # bytes of an instruction


def faulting_write_of(
    machine: Machine, write: LastWrite, address: int, before: int, after: int
) -> FaultingWrite:
    """Describe the instruction that did a write.

    Args:
        machine: That executed it; its memory still holds the code.
        write: The write.
        address: Of the word, as the kernel calls it.
        before: The word while it was still right.
        after: The word as it was found.
    """
    stack = Symbolizer(machine.image).backtrace(write.eip, write.callers)
    return FaultingWrite(write.eip, _text(machine, write), write.event, before, after, address, stack)


def _text(machine: Machine, write: LastWrite) -> str:
    from capstone import CS_ARCH_X86, CS_MODE_32, Cs  # slow, and only a kernel with faults needs it

    code = machine.read_linear(write.pc, _LONGEST)
    found: list[Any] = list(Cs(CS_ARCH_X86, CS_MODE_32).disasm_lite(code, write.eip, 1))
    return " ".join(found[0][2:]).strip() if found else "(bad)"
