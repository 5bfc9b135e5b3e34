"""Where a function of the guest ends: found by disassembling it.

capstone is slow to import, so it is imported only when functions are watched to their end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import UnsupportedFunction

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage
    from emulator.loader.symbols import Symbol


def find_exits(image: KernelImage, function: Symbol) -> list[int]:
    """Addresses of all `ret` instructions of a function, as linked.

    Raises:
        UnsupportedFunction: It has no size, no code in the image, no `ret`, or leaves by a jump.
    """
    from capstone import CS_ARCH_X86, CS_GRP_JUMP, CS_GRP_RET, CS_MODE_32, CS_OP_IMM, Cs

    code = image.code(function.address, function.size)
    if not code:
        raise UnsupportedFunction(function.name, f"its symbol at 0x{function.address:08x} covers no code")
    disassembler = Cs(CS_ARCH_X86, CS_MODE_32)
    disassembler.detail = True
    exits = []
    for instruction in disassembler.disasm(code, function.address):
        if instruction.group(CS_GRP_RET):
            exits.append(instruction.address)
        elif instruction.group(CS_GRP_JUMP) and instruction.operands[0].type == CS_OP_IMM:
            target = instruction.operands[0].imm & 0xFFFFFFFF
            if not function.address <= target < function.address + function.size:
                raise UnsupportedFunction(
                    function.name, f"it leaves by a jump to 0x{target:08x} at 0x{instruction.address:08x}"
                )
    if not exits:
        raise UnsupportedFunction(function.name, "it has no ret instruction")
    return exits
