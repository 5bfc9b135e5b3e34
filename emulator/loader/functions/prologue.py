"""Where the body of a function begins, after the code that sets up its frame: from there on its variables are where its debug information says.

Some compilers mark the place in their line tables. Others do not: without optimisation it is where the second row begins. With optimisation locations are listed by
address, from the first instruction on, and nothing need be left out.

Source: DWARF 5, sections 2.6.2 (location lists) and 6.2.2 (the register prologue_end).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.loader.functions.disassembler import disassembler

if TYPE_CHECKING:
    from capstone import CsInsn

    from emulator.loader.image import KernelImage

_CALLED: Final = ("__x86.get_pc_thunk.", "__fentry__", "mcount", "_mcount")
"""Functions that prologues call: to learn where the code is, and for profilers."""


def body_of(image: KernelImage, address: int) -> int:
    """Return where the body of a function begins.

    Args:
        image: The kernel.
        address: Linked address of the function's first instruction.

    Returns:
        *address* itself where there is no prologue, or the file does not say.
    """
    described = image.subprograms.at(address)
    if described is None:
        return address
    if described.prologue_end is not None:
        return described.prologue_end
    second_row = image.prologue_end(address)
    if second_row is None or image.subprograms.lists_locations(address):
        return address
    return second_row if _sets_up_frame(image, address, second_row) else address


def _sets_up_frame(image: KernelImage, start: int, end: int) -> bool:
    """Return whether the code from one address to another one runs straight on, and moves the stack pointer."""
    from capstone import CS_GRP_CALL, CS_GRP_IRET, CS_GRP_JUMP, CS_GRP_RET
    from capstone.x86 import X86_REG_ESP

    moves = False
    for each in disassembler(detail=True).disasm(image.code(start, end - start), start):
        if each.group(CS_GRP_JUMP) or each.group(CS_GRP_RET) or each.group(CS_GRP_IRET):
            return False
        if each.group(CS_GRP_CALL):
            if not _is_of_prologues(image, each):
                return False
        else:
            moves |= X86_REG_ESP in each.regs_access()[1]
    return moves


def _is_of_prologues(image: KernelImage, call: CsInsn) -> bool:
    from capstone import CS_OP_IMM

    target = call.operands[0]
    found = image.function_at(target.imm) if target.type == CS_OP_IMM else None
    return found is not None and found[0].name.startswith(_CALLED)
