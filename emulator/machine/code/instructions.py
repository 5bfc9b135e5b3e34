"""Decode single instructions of the guest: which address one accesses, and how many lie before an offset in a block of code.

The core knows of an access only its page (Unicorn's TLB fill is given no more); the faulting instruction's operands
give the exact address. Only faults, stops at events and listings need capstone, which is slow to import, so that is done in here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.loader.functions.disassembler import disassembler
from emulator.machine.code.steps import instruction_starts
from emulator.machine.core.core_types import Access
from emulator.x86 import LONGEST_INSTRUCTION, PAGE_SIZE

if TYPE_CHECKING:
    from emulator.machine.core.core_types import Registers


def exact_address(code: bytes, registers: Registers, page: int, access: Access) -> int:
    """Return the address that an instruction accesses in a page.

    Args:
        code: The instruction's bytes (and what follows).
        registers: At the instruction.
        page: Address of the page that the access faulted in.
        access: How it was accessed.

    Returns:
        The exact address if the instruction's own address, an operand or the stack pointer leads into that page; else
        *page* (as for the second page of an access across a page's end).
    """
    if access is Access.FETCH:
        candidates = [registers.pc]
    else:
        stack = registers.on_stack(registers.esp if access is Access.READ else registers.esp - 4)
        matching, others = _operand_addresses(code, registers, access)
        candidates = [*matching, stack, *others]
    return next((each for each in candidates if each & -PAGE_SIZE == page), page)


def _operand_addresses(code: bytes, registers: Registers, access: Access) -> tuple[list[int], list[int]]:
    """Return the addresses of an instruction's memory operands: those accessed so, and the others."""
    from capstone import CS_AC_READ, CS_AC_WRITE, CS_OP_MEM

    wanted = CS_AC_READ if access is Access.READ else CS_AC_WRITE
    matching: list[int] = []
    others: list[int] = []
    for instruction in disassembler(detail=True).disasm(code[:LONGEST_INSTRUCTION], registers.eip, 1):
        for operand in instruction.operands:
            if operand.type == CS_OP_MEM:
                address = registers.operand_address(instruction, operand.mem)
                (matching if operand.access & wanted else others).append(address)
    return matching, others


class MemoryOperand(NamedTuple):
    """A memory operand of an instruction, as the registers stand.

    Attributes:
        address: Linear.
        base: What the base register holds; None: there is none.
        indexed: What the index register holds; None: there is none.
        scale: By which that is multiplied.
        offset: The constant part, signed.
        segment: What the instruction names: ``gs``; "": the usual one.
    """

    address: int
    base: int | None
    indexed: int | None
    scale: int
    offset: int
    segment: str


def memory_operands(code: bytes, registers: Registers) -> tuple[MemoryOperand, ...]:
    """Return the memory operands of the instruction that some code begins with, in the order in which they are written.

    Args:
        code: The instruction's bytes (and what follows).
        registers: At the instruction.
    """
    from capstone import CS_OP_MEM

    found: list[MemoryOperand] = []
    for instruction in disassembler(detail=True).disasm(code[:LONGEST_INSTRUCTION], registers.eip, 1):
        for memory in (each.mem for each in instruction.operands if each.type == CS_OP_MEM):
            base, index, segment = (
                instruction.reg_name(each) or "" for each in (memory.base, memory.index, memory.segment)
            )
            found.append(
                MemoryOperand(
                    registers.operand_address(instruction, memory),
                    getattr(registers, base, None),
                    getattr(registers, index, None),
                    memory.scale,
                    memory.disp,
                    segment,
                )
            )
    return tuple(found)


def instructions_before(code: bytes, offset: int, count: int) -> int:
    """Return how many instructions of a block lie before one of them.

    Args:
        code: The block's bytes.
        offset: Where that instruction starts.
        count: How many instructions the CPU has decoded in the block: that distinguishes 16-bit code from 32-bit code.
    """
    starts = instruction_starts(code)
    if starts is None or len(starts) != count:
        starts = min(
            (_disassembled(code, bits) for bits in (32, 16)), key=lambda each: abs(len(each) - count)
        )
    return sum(start < offset for start in starts)


def _disassembled(code: bytes, bits: int) -> list[int]:
    return [address for address, *_ in disassembler(bits).disasm_lite(code, 0)]
