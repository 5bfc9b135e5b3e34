"""The instructions that `emulator.machine.code.steps` leaves to capstone, which is slow to import: so import this module where one is met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from capstone import (
    CS_GRP_BRANCH_RELATIVE,
    CS_GRP_CALL,
    CS_GRP_INT,
    CS_GRP_IRET,
    CS_GRP_JUMP,
    CS_OP_IMM,
    x86_const,
)

from emulator.loader.functions.disassembler import disassembler
from emulator.machine.code.steps import Next, Step
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from capstone import CsInsn

_TO_OTHER_SEGMENTS: Final = frozenset((x86_const.X86_INS_RETF, x86_const.X86_INS_LJMP))
_STOPS: Final = frozenset(
    (x86_const.X86_INS_HLT, x86_const.X86_INS_UD0, x86_const.X86_INS_UD1, x86_const.X86_INS_UD2)
)


def decode_step(code: bytes, address: int) -> Step | None:
    """Return the instruction that code begins with; None: there is none, or the code ends within it.

    Args:
        code: 32-bit code.
        address: Its linear address.
    """
    instruction = next(disassembler(detail=True).disasm(code, address, 1), None)
    if instruction is None:
        return None
    following, target = _next(instruction)
    return Step(address, instruction.size, following, target)


def _next(instruction: CsInsn) -> tuple[Next, int]:
    """Return where control goes, and the address that an instruction names for that; 0: none."""
    is_call = instruction.id == x86_const.X86_INS_CALL
    if instruction.id == x86_const.X86_INS_RET:
        return Next.RETURN, 0
    if (is_call or _is_near_jump(instruction)) and instruction.operands[0].type == CS_OP_IMM:
        is_jump = instruction.id == x86_const.X86_INS_JMP
        following = Next.CALL if is_call else Next.JUMP if is_jump else Next.BRANCH
        return following, instruction.operands[0].imm & WORD_MAX
    if _is_near_jump(instruction):
        return Next.INDIRECT, 0
    if instruction.id in _TO_OTHER_SEGMENTS or instruction.group(CS_GRP_IRET):
        return Next.LEAVE, 0
    stops = instruction.id in _STOPS or instruction.group(CS_GRP_CALL) or instruction.group(CS_GRP_INT)
    return Next.STOP if stops else Next.ON, 0


def _is_near_jump(instruction: CsInsn) -> bool:
    if instruction.id == x86_const.X86_INS_LJMP or instruction.group(CS_GRP_CALL):
        return False
    # `loop` is only the latter, an indirect jump only the former.
    return bool(instruction.group(CS_GRP_JUMP) or instruction.group(CS_GRP_BRANCH_RELATIVE))
