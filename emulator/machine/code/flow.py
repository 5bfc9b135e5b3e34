"""Follows the instructions of the guest from an address on.

Theory. Every path is followed: past calls, and over jumps, also those into other functions. Calls into the middle of the function that they stand
in are jumps as well, after which a return address is dropped: thunks for returns and for indirect branches are written so. What no path reaches is not
followed, so data in the code does no harm. Only where a path ends in an indirect jump, perhaps through a table of cases,
its targets are not known: then all of the function that the jump stands in is taken for code.

capstone is slow to import, so import this module where it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from capstone import (
    CS_GRP_BRANCH_RELATIVE,
    CS_GRP_CALL,
    CS_GRP_INT,
    CS_GRP_IRET,
    CS_GRP_JUMP,
    CS_OP_IMM,
    CsInsn,
    x86_const,
)

from emulator.loader.functions.disassembler import disassembler
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.loader.image import KernelImage

    Code = Callable[[int, int], bytes]

_READ_AT_ONCE: Final = 128  # bytes, more than the longest instruction
_MOST_INSTRUCTIONS: Final = 20_000  # far more than any function has; ends a search through data

_NEVER_GO_ON: Final = frozenset(
    (x86_const.X86_INS_RET, x86_const.X86_INS_RETF, x86_const.X86_INS_JMP, x86_const.X86_INS_LJMP)
)
_MAY_NOT_GO_ON: Final = frozenset(
    (x86_const.X86_INS_HLT, x86_const.X86_INS_UD0, x86_const.X86_INS_UD1, x86_const.X86_INS_UD2)
)


class Jump(NamedTuple):
    """A direct jump.

    Attributes:
        address: Its own.
        target: Where it leads to.
        fall_through: Where it goes on if it is conditional and not taken.
    """

    address: int
    target: int
    fall_through: int


class Flow:
    """The instructions that can be reached from an address.

    Args:
        image: The kernel, for its symbols.
        code: Returns the bytes at a linked address: as many as it is asked for, or fewer where there are no more.
        start: The address.

    Attributes:
        returns: Addresses of the `ret` instructions (those that return to the same code segment).
        jumps: All direct jumps.

    Raises:
        BadImage: The symbol table is damaged.
    """

    def __init__(self, image: KernelImage, code: Code, start: int) -> None:
        self.returns: set[int] = set()
        self.jumps: list[Jump] = []
        self._image = image
        self._code = code
        self._sizes: dict[int, int] = {}  # of what was decoded, by address
        self._indirect: list[int] = []
        self._disassembler = disassembler(detail=True)
        self._follow(start)
        self._sweep_after_indirect_jumps()

    def _sweep_after_indirect_jumps(self) -> None:
        swept = set()
        while self._indirect:
            extent = self._image.function_extent(self._indirect.pop())
            if extent is not None and extent not in swept:
                swept.add(extent)
                self._sweep(extent)

    def _sweep(self, extent: range) -> None:
        """Take a whole function for code."""
        address = extent.start
        while address < extent.stop and len(self._sizes) < _MOST_INSTRUCTIONS:
            self._follow(address)
            address += self._sizes.get(address, 1)

    def _follow(self, start: int) -> None:
        pending = [start]
        while pending:
            for instruction in self._path(pending.pop()):
                self._note(instruction, pending)
                if self._is_last(instruction):
                    break

    def _path(self, address: int) -> Iterator[CsInsn]:
        """Yield the instructions from an address on, up to one that is known already or that is none."""
        while code := self._code(address, _READ_AT_ONCE):
            start = address
            for instruction in self._disassembler.disasm(code, start):
                if address in self._sizes or len(self._sizes) >= _MOST_INSTRUCTIONS:
                    return
                self._sizes[address] = instruction.size
                yield instruction
                address += instruction.size
            if address == start:
                self._sizes.setdefault(address, 1)
                return

    def _note(self, instruction: CsInsn, pending: list[int]) -> None:
        """Note a `ret`, and where a jump, or a call that is one, leads to."""
        if instruction.id == x86_const.X86_INS_RET:
            self.returns.add(instruction.address)
        elif _is_near_jump(instruction):
            if instruction.operands[0].type == CS_OP_IMM:
                target = instruction.operands[0].imm & WORD_MAX
                self.jumps.append(Jump(instruction.address, target, instruction.address + instruction.size))
                pending.append(target)
            else:
                self._indirect.append(instruction.address)
        elif instruction.id == x86_const.X86_INS_CALL and instruction.operands[0].type == CS_OP_IMM:
            target = instruction.operands[0].imm & WORD_MAX
            extent = self._image.function_extent(instruction.address)
            if extent is not None and target in extent and target != extent.start:
                pending.append(target)

    def _is_last(self, instruction: CsInsn) -> bool:
        """Return whether nothing after an instruction belongs to its path."""
        if instruction.id in _NEVER_GO_ON or instruction.group(CS_GRP_IRET):
            return True
        # Where a compiler knows that a call does not return, it puts nothing after it.
        may_go_on = not (
            instruction.id in _MAY_NOT_GO_ON
            or instruction.group(CS_GRP_CALL)
            or instruction.group(CS_GRP_INT)
        )
        return not may_go_on and self._ends_function(instruction)

    def _ends_function(self, instruction: CsInsn) -> bool:
        found = self._image.function_at(instruction.address)
        return found is not None and found[1] + instruction.size == found[0].size


def _is_near_jump(instruction: CsInsn) -> bool:
    if instruction.id == x86_const.X86_INS_LJMP or instruction.group(CS_GRP_CALL):
        return False
    # `loop` is only the latter, an indirect jump only the former.
    return bool(instruction.group(CS_GRP_JUMP) or instruction.group(CS_GRP_BRANCH_RELATIVE))
