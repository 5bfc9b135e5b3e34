"""What a function's code says of its arguments: which words above the return address it reads, and whether registers are inputs of it.

Theory. All paths from the function's first instruction are followed, through jumps into other functions, too, with what registers and
stack hold (see `entry_state`), until nothing new comes up. What a called function reads is read by the caller, if it
left an argument of its own there.

Shortcomings. Of calls through pointers it is not known what they read; where an indirect jump leads is not known.

capstone is slow to import, so import this module where it is needed.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple

from capstone import (
    CS_GRP_BRANCH_RELATIVE,
    CS_GRP_CALL,
    CS_GRP_IRET,
    CS_GRP_JUMP,
    CS_OP_IMM,
    CS_OP_MEM,
    CsInsn,
)
from capstone import x86_const as x86

from emulator.loader.functions.disassembler import disassembler
from emulator.loader.functions.entry_state import RETURN_ADDRESS, UNKNOWN, Address, State, only
from emulator.loader.functions.locations import InRegister, OnStack
from emulator.x86 import LONGEST_INSTRUCTION, WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capstone.x86 import X86Op

    from emulator.loader.functions.entry_state import Source
    from emulator.loader.image import KernelImage

SCRATCH: Final = ("eax", "edx", "ecx")
"""Registers in which compilers pass arguments. A function need not keep them for its caller (System V ABI for i386, 2.2.1)."""

_MOST_STEPS: Final = (
    4000  # executed instructions; enough for functions of a thousand, whose loops are followed more than once
)
_MOST_CALLED: Final = 3  # functions that call one another
_MOST_ARGUMENTS: Final = 6  # that are looked for on the stack of a call through a pointer
_MOST_CASES: Final = 256
_ENDS: Final = frozenset(
    (x86.X86_INS_RETF, x86.X86_INS_LJMP, x86.X86_INS_HLT, x86.X86_INS_UD0, x86.X86_INS_UD1, x86.X86_INS_UD2)
)


class EntryCode(NamedTuple):
    """What a function does with what it is given.

    Attributes:
        reads: Words above the return address, by their places at the entry, and registers that it reads before it writes them.
        perhaps: Those that it may read: it calls or jumps through a pointer with them in place, or takes an address on the stack below them.
        kept: Registers among `SCRATCH` that are at each of its returns what they were.
        popped: Bytes of arguments that it takes from the stack when it returns.
        is_complete: All its paths were followed to their ends.
    """

    reads: frozenset[Source]
    perhaps: frozenset[Source]
    kept: frozenset[str]
    popped: int
    is_complete: bool


def read_entry_code(image: KernelImage, address: int) -> EntryCode:
    """Return what the function that begins at a linked address does with what it is given."""
    return _Reader(image).read(address)


def straight_line(image: KernelImage, address: int) -> Iterator[tuple[int, State]]:
    """Yield each instruction from a function's first one on, up to the first jump or return, and the state in front of it.

    Args:
        image: The kernel.
        address: Of the first instruction, as linked.
    """
    reader, state = _Reader(image), State()
    for _ in range(_MOST_STEPS):
        instruction = reader.decode(address)
        if instruction is None:
            return
        yield address, state.copy()
        if _is_jump(instruction) or _is_end(instruction):
            return
        reader.step(instruction, state)
        address += instruction.size


class _Reader:
    """Reads functions of a kernel, each once."""

    def __init__(self, image: KernelImage) -> None:
        self._image = image
        self._known: dict[int, EntryCode] = {}
        self._depth = 0

    def read(self, address: int) -> EntryCode:
        if address not in self._known:
            self._known[address] = EntryCode(
                frozenset(), frozenset(), frozenset(), 0, is_complete=True
            )  # of a call of itself
            self._depth += 1
            self._known[address] = _Paths(self, self._image, address).code()
            self._depth -= 1
        return self._known[address]

    def decode(self, address: int) -> CsInsn | None:
        """Return the instruction at an address; None: there is none."""
        code = self._image.code(address, LONGEST_INSTRUCTION)
        return next(disassembler(detail=True).disasm(code, address, 1), None)

    def step(self, instruction: CsInsn, state: State) -> frozenset[Source]:
        """Execute an instruction that does not jump; return what it may read, if it is a call through a pointer."""
        if not instruction.group(CS_GRP_CALL):
            state.execute(instruction)
            return frozenset()
        target = instruction.operands[0]
        called = (
            self.read(target.imm & WORD_MAX)
            if target.type == CS_OP_IMM and self._depth < _MOST_CALLED
            else None
        )
        if target.type != CS_OP_IMM:
            state.read_target(instruction)
        stack = only(state.registers["esp"])
        top = stack if isinstance(stack, Address) else None
        perhaps = _passed(called, state, top)
        for name in SCRATCH:
            if called is None or name not in called.kept:
                state.registers[name] = UNKNOWN
        if top is not None:
            popped = 0 if called is None else called.popped
            state.registers["esp"] = frozenset((top._replace(offset=top.offset + popped),))
        return perhaps


_EVERYTHING: Final[frozenset[Source]] = frozenset(
    (*map(InRegister, SCRATCH), *(OnStack(WORD_SIZE * (index + 1)) for index in range(_MOST_ARGUMENTS)))
)


def _passed(called: EntryCode | None, state: State, top: Address | None) -> frozenset[Source]:
    """Read what a called function reads.

    Args:
        called: The function; None: it is not known, and may read everything.
        state: At the call.
        top: Where its first argument is on the stack.

    Returns:
        What it may read.
    """

    def left_there(sources: frozenset[Source]) -> Iterator[Source]:
        for source in sources:
            if isinstance(source, InRegister) and source.register in SCRATCH:
                yield from state.registers[source.register]
            elif isinstance(source, OnStack) and top is not None:
                yield from state.at(top._replace(offset=top.offset + source.offset - WORD_SIZE))

    if called is None:
        return frozenset(left_there(_EVERYTHING))
    state.reads.update(left_there(called.reads))
    return frozenset(left_there(called.perhaps))


class _Paths:
    """The paths of one function."""

    def __init__(self, reader: _Reader, image: KernelImage, start: int) -> None:
        self._reader, self._image = reader, image
        self._start = start
        self._states: dict[int, State] = {start: State()}
        self._pending = [start]
        self._reads = self._states[start].reads
        self._perhaps: set[Source] = set()
        self._kept = set(SCRATCH)
        self._popped: set[int] = set()
        self._is_complete = True

    def code(self) -> EntryCode:
        steps = 0
        while self._pending and steps < _MOST_STEPS:
            steps += 1
            address = self._pending.pop()
            instruction = self._reader.decode(address)
            if instruction is None:
                self._is_complete = False
            else:
                self._execute(instruction, self._states[address].copy())
        self._is_complete &= not self._pending
        for lent in {state.lent for state in self._states.values() if state.lent is not None}:
            self._perhaps.update(OnStack(lent + WORD_SIZE * index) for index in range(_MOST_ARGUMENTS))
        inputs = frozenset(map(InRegister, SCRATCH))
        reads, perhaps = (
            frozenset(each for each in found if each in inputs or isinstance(each, OnStack))
            for found in (self._reads, self._perhaps)
        )
        kept = frozenset(self._kept if self._popped else ())
        return EntryCode(reads, perhaps - reads, kept, max(self._popped, default=0), self._is_complete)

    def _execute(self, instruction: CsInsn, state: State) -> None:
        following = instruction.address + instruction.size
        if instruction.id == x86.X86_INS_RET:
            self._return(instruction, state)
        elif _is_jump(instruction):
            self._jump(instruction, state)
        elif not _is_end(instruction):
            self._perhaps |= self._reader.step(instruction, state)
            if not instruction.group(CS_GRP_CALL) or self._is_inside(instruction.address, following):
                self._go(following, state)

    def _return(self, instruction: CsInsn, state: State) -> None:
        self._popped.add(instruction.operands[0].imm if instruction.operands else 0)
        self._kept.intersection_update(
            name for name in SCRATCH if only(state.registers[name]) == InRegister(name)
        )
        state.read(state.registers["eax"] - {InRegister("eax")})  # it is no result of every function

    def _jump(self, instruction: CsInsn, state: State) -> None:
        target = instruction.operands[0]
        if target.type == CS_OP_IMM:
            if instruction.id != x86.X86_INS_JMP:
                state.execute(instruction)  # `loop` counts
                self._go(instruction.address + instruction.size, state)
            self._go(target.imm & WORD_MAX, state)
            return
        state.read_target(instruction)
        cases = self._cases(instruction, target)
        for case in cases:
            self._go(case, state)
        if not cases:
            self._is_complete = False
            if only(state.registers["esp"]) == Address(RETURN_ADDRESS):
                self._perhaps |= _passed(None, state, Address(WORD_SIZE))

    def _cases(self, instruction: CsInsn, target: X86Op) -> list[int]:
        """Return where a jump through a table of addresses in its function leads; none where it is no such jump."""
        extent = self._image.function_extent(instruction.address)
        if extent is None or target.type != CS_OP_MEM or target.mem.base or target.mem.scale != WORD_SIZE:
            return []
        table = self._image.code(target.mem.disp & WORD_MAX, WORD_SIZE * _MOST_CASES)
        found = (
            int.from_bytes(table[at : at + WORD_SIZE], "little") for at in range(0, len(table), WORD_SIZE)
        )
        return list(dict.fromkeys(takewhile(extent.__contains__, found)))

    def _go(self, address: int, state: State) -> None:
        there = self._states.get(address)
        if there is None:
            self._states[address] = state.copy()
        elif not there.join(state):
            return
        self._pending.append(address)

    def _is_inside(self, address: int, following: int) -> bool:
        """Return whether a call is followed by more of its function: compilers put nothing after one that does not return."""
        extent = self._image.function_extent(address)
        return extent is None or following in extent


def _is_jump(instruction: CsInsn) -> bool:
    if instruction.id == x86.X86_INS_LJMP or instruction.group(CS_GRP_CALL):
        return False
    return bool(instruction.group(CS_GRP_JUMP) or instruction.group(CS_GRP_BRANCH_RELATIVE))


def _is_end(instruction: CsInsn) -> bool:
    return (
        instruction.id in _ENDS or instruction.id == x86.X86_INS_RET or bool(instruction.group(CS_GRP_IRET))
    )
