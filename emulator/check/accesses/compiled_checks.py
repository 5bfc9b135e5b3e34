"""Finds the instruction that a check of the compiler's belongs to: it comes after the call that reports the access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.loader.functions.disassembler import disassembler
from emulator.machine.core.core_types import Access
from emulator.x86 import LONGEST_INSTRUCTION, WORD_MAX

if TYPE_CHECKING:
    from emulator.machine.core.observed import BadAccess
    from emulator.machine.machine import Machine

_MOST: Final = 16  # instructions between a check and its access
_CALL: Final = 5  # bytes of a call


def accessing_instruction(machine: Machine, access: BadAccess) -> int:
    """Return the address (EIP) of the instruction that makes an access.

    Where the kernel has checked the access itself, that is the first one after the check's call that accesses memory there, as far as registers tell. If
    none is found, it is that call.
    """
    eip = access.registers.eip
    if machine.image.kasan is None or not _is_report(machine, access):
        return eip
    known = {name: getattr(access.registers, name) for name in _KEPT}
    at = eip + _CALL
    for _ in range(_MOST):
        code = machine.read_linear(access.registers.cs_base + at, LONGEST_INSTRUCTION)
        step = next(disassembler(detail=True).disasm(code, at, 1), None)
        if step is None:
            return eip
        if step.mnemonic == "jmp" and step.operands[0].type == _IMMEDIATE:
            at = step.operands[0].imm & WORD_MAX
            continue
        if step.mnemonic.startswith(("call", "j", "ret", "int", "hlt")):
            return eip
        if any(_is_it(step, operand, known, access) for operand in step.operands):
            return at
        _execute(step, known)
        at += step.size
    return eip


_IMMEDIATE: Final = 2  # capstone.CS_OP_IMM
_MEMORY: Final = 3  # capstone.CS_OP_MEM
_READ, _WRITE = 1, 2  # capstone.CS_AC_READ, CS_AC_WRITE
_KEPT: Final = ("ebx", "esi", "edi", "ebp", "esp")  # what a function that is called leaves as it is


def _is_report(machine: Machine, access: BadAccess) -> bool:
    code = machine.read_linear(access.registers.pc, LONGEST_INSTRUCTION)
    step = next(disassembler(detail=True).disasm(code, access.registers.eip, 1), None)
    if step is None or step.mnemonic != "call" or step.operands[0].type != _IMMEDIATE:
        return False
    return machine.image.location(step.operands[0].imm & WORD_MAX).function.startswith("__asan_")


def _is_it(step: Any, operand: Any, known: dict[str, int], access: BadAccess) -> bool:  # noqa: ANN401 - capstone's
    """Return whether an operand is the memory that was accessed, for all that is known."""
    kind = _WRITE if access.access is Access.WRITE else _READ
    if (
        operand.type != _MEMORY
        or operand.size > max(access.size, 1)
        or not operand.access & kind
        or step.mnemonic == "lea"
    ):
        return False
    names = [step.reg_name(each) for each in (operand.mem.base, operand.mem.index) if each]
    if any(name not in known for name in names):
        return not names or "esp" not in names  # a register that the function has loaded anew
    base = known[step.reg_name(operand.mem.base)] if operand.mem.base else 0
    index = known[step.reg_name(operand.mem.index)] if operand.mem.index else 0
    at = (base + index * operand.mem.scale + operand.mem.disp) & WORD_MAX
    is_there: bool = access.linear <= at < access.linear + max(access.size, 1)
    return is_there


def _execute(step: Any, known: dict[str, int]) -> None:  # noqa: ANN401 - capstone's
    """Let registers be known after an instruction as far as they are."""
    first = step.operands[0] if step.operands else None
    name = step.reg_name(first.reg) if first is not None and first.type == 1 else ""
    if step.mnemonic in ("add", "sub") and name == "esp" and step.operands[1].type == _IMMEDIATE:
        amount = step.operands[1].imm if step.mnemonic == "add" else -step.operands[1].imm
        known["esp"] = (known["esp"] + amount) & WORD_MAX
        return
    for register in step.regs_access()[1]:
        known.pop(step.reg_name(register), None)
