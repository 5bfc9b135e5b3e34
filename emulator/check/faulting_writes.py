"""Turns a write to memory into the instruction that did it, with its backtrace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.findings import FaultingWrite
from emulator.guest.symbolizer import Symbolizer
from emulator.x86 import LONGEST_INSTRUCTION

if TYPE_CHECKING:
    from emulator.machine.core.observed import LastWrite
    from emulator.machine.machine import Machine


def faulting_write_of(machine: Machine, write: LastWrite | None, address: int) -> FaultingWrite | None:
    """Describe the instruction that did a write.

    Args:
        machine: The machine that executed it; its memory still holds the code.
        write: The write; None: it was not found, and neither is the instruction.
        address: Address of the word, as the kernel calls it.
    """
    if write is None:
        return None
    from emulator.guest.disassembler import instruction_text  # in most runs no write is looked for

    text = instruction_text(machine.read_linear(write.pc, LONGEST_INSTRUCTION), write.eip)
    backtrace = Symbolizer(machine.image).backtrace(write.eip, write.callers)
    return FaultingWrite(write.eip, text, write.event, write.before, write.after, address, backtrace)
