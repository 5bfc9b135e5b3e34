"""The call stack of a machine that stands still, by its frame pointers.

A function that keeps no frame pointer hides its caller, but nothing else. A damaged stack ends the walk.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.memory import load_linear
from emulator.guest.symbolizer import Symbolizer
from emulator.guest.symbols import function_at
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.machine.core_types import Registers
    from emulator.machine.machine import Machine

_DEPTH_MAX = 64
_RETURNS = (0xC3, 0xC2)
_PUSH_EBP = 0x55


class StackFrame(NamedTuple):
    """One function that has been entered and has not returned.

    Attributes:
        address: Where it stands: EIP, and for a caller the address that its callee returns to.
        function: Its name, "" where the kernel's symbols do not tell.
        offset: Of *address* in it.
        file: Its source file as the compiler recorded it, or "".
        line: Source line of *address* (of the call, for a caller); 0 unknown.
        low: Linear address of its part of the stack: [low, high).
        high: See *low*.
    """

    address: int
    function: str
    offset: int
    file: str
    line: int
    low: int
    high: int

    def __str__(self) -> str:
        """Return ``kmain+0x42 demo.c:31``, or the bare address."""
        place = f"{self.function}+0x{self.offset:x}" if self.function else f"0x{self.address:08x}"
        return f"{place} {PurePath(self.file).name}:{self.line}" if self.file else place


def call_stack(machine: Machine) -> list[StackFrame]:
    """Return who called whom, the innermost function first; at least one frame."""
    registers = machine.cpu.registers()
    symbolizer = Symbolizer(machine.image)
    frame, address = symbolizer.instruction(registers.eip), registers.eip
    low, base = registers.on_stack(registers.esp), registers.on_stack(registers.ebp)
    frames: list[StackFrame] = []
    at = _return_address_at(machine, registers)
    if at is not None:  # the caller's frame pointer is in EBP still, or again
        frames.append(StackFrame(*frame, low, at + WORD_SIZE))
        address, low = load_linear(machine, at) or 0, at + WORD_SIZE
        frame = symbolizer.caller(address)
    while address and len(frames) < _DEPTH_MAX:
        caller = load_linear(machine, base + WORD_SIZE) if base >= low else None
        high = low if caller is None else base + 2 * WORD_SIZE
        frames.append(StackFrame(*frame, low, high))
        if caller is None:
            break
        address, low, base = caller, high, registers.on_stack(load_linear(machine, base) or 0)
        frame = symbolizer.caller(address)
    return frames


def _return_address_at(machine: Machine, registers: Registers) -> int | None:
    """Where the return address lies while the function at EIP has no frame of its own; None once it has."""
    function = function_at(machine.image, registers.eip)
    pc, esp = registers.pc, registers.on_stack(registers.esp)
    code = machine.read_linear(pc, 1)
    if function is not None and function[1] == 1 and machine.read_linear(pc - 1, 1) == bytes([_PUSH_EBP]):
        return esp + WORD_SIZE
    if (function is not None and function[1] == 0) or (code and code[0] in _RETURNS):
        return esp
    return None
