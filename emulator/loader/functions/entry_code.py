"""What a function's code says of its arguments: which words above the return address it reads, and whether registers are inputs of it.

Theory. All paths from the function's first instruction are followed, through jumps into other functions, too, with what registers and
stack hold (see `entry_state`), until nothing new comes up. What a called function reads is read by the caller, if it
left an argument of its own there.

Shortcomings. Of calls through pointers it is not known what they read; where an indirect jump leads is not known.

capstone is slow to import, so import this module where it is needed.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
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
    return _reader(image).read(address)


def straight_line(image: KernelImage, address: int) -> Iterator[tuple[int, State]]:
    """Yield each instruction from a function's first one on, up to the first jump or return, and the state in front of it.

    Args:
        image: The kernel.
        address: Of the first instruction, as linked.
    """
    reader, state = _reader(image), State()
    for _ in range(_MOST_STEPS):
        decoded = reader.decode(address)
        if decoded is None:
            return
        yield address, state.copy()
        if decoded.flow in (_Flow.JUMP, _Flow.RETURN, _Flow.END):
            return
        reader.step(decoded, state, 0)
        address += decoded.instruction.size


class _Flow(Enum):
    """Where an instruction leads."""

    ON = "on"
    CALL = "call"
    JUMP = "jump"
    RETURN = "return"
    END = "end"


class _Decoded(NamedTuple):
    instruction: CsInsn
    flow: _Flow


@lru_cache(maxsize=1)
def _reader(image: KernelImage) -> _Reader:
    return _Reader(image)


class _Reader:
    """Reads functions of a kernel, each once for each depth of calls at which it is met: those that are too deep are not known."""

    def __init__(self, image: KernelImage) -> None:
        self._image = image
        self._known: dict[tuple[int, int], EntryCode] = {}
        self._decoded: dict[int, _Decoded | None] = {}
        self._open: set[int] = set()  # that are being read
        self._again: set[int] = set()  # those of them that were met again

    def read(self, address: int, depth: int = 0) -> EntryCode:
        """Return what the function at an address does.

        Args:
            address: Of its first instruction.
            depth: How many calls inside of one another lead there from the function that is asked for.
        """
        key = address, depth
        if address in self._open:
            self._again.add(address)
            return EntryCode(frozenset(), frozenset(), frozenset(), 0, is_complete=True)
        if key in self._known:
            return self._known[key]
        self._open.add(address)
        code = _Paths(self, self._image, address, depth).code()
        self._open.remove(address)
        self._again.discard(address)
        if not self._again:  # else it is only true inside of those
            self._known[key] = code
        return code

    def decode(self, address: int) -> _Decoded | None:
        """Return the instruction at an address; None: there is none."""
        if address not in self._decoded:
            code = self._image.code(address, LONGEST_INSTRUCTION)
            found = next(disassembler(detail=True).disasm(code, address, 1), None)
            self._decoded[address] = None if found is None else _Decoded(found, _flow(found))
        return self._decoded[address]

    def step(self, decoded: _Decoded, state: State, depth: int) -> frozenset[Source]:
        """Execute an instruction that does not jump, of a function at a depth; return what it may read, if it is a call through a pointer."""
        instruction = decoded.instruction
        if decoded.flow is not _Flow.CALL:
            state.execute(instruction)
            return frozenset()
        target = instruction.operands[0]
        called = (
            self.read(target.imm & WORD_MAX, depth + 1)
            if target.type == CS_OP_IMM and depth + 1 < _MOST_CALLED
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

    def __init__(self, reader: _Reader, image: KernelImage, start: int, depth: int) -> None:
        self._reader, self._image, self._depth = reader, image, depth
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
            decoded = self._reader.decode(address)
            if decoded is None:
                self._is_complete = False
            else:
                self._execute(decoded, self._states[address].copy())
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

    def _execute(self, decoded: _Decoded, state: State) -> None:
        instruction, flow = decoded
        following = instruction.address + instruction.size
        match flow:
            case _Flow.RETURN:
                self._return(instruction, state)
            case _Flow.JUMP:
                self._jump(instruction, state)
            case _Flow.ON | _Flow.CALL:
                is_dropped = self._is_dropped(instruction, state)
                self._perhaps |= self._reader.step(decoded, state, self._depth)
                if is_dropped:
                    state.registers["eax"] = UNKNOWN
                if flow is _Flow.ON or self._is_inside(instruction.address, following):
                    self._go(following, state)

    def _is_dropped(self, instruction: CsInsn, state: State) -> bool:
        """Return whether a word of the stack, not EAX as it was, is taken into EAX to be rid of it: so functions end that have no result."""
        if instruction.id != x86.X86_INS_POP or instruction.op_str != "eax":
            return False
        if only(state.load(state.registers["esp"])) == InRegister("eax"):
            return False
        following = self._reader.decode(instruction.address)
        while following is not None and following.instruction.id == x86.X86_INS_POP:
            popping = following.instruction
            following = self._reader.decode(popping.address + popping.size)
        return following is not None and following.flow is _Flow.RETURN

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


def _flow(instruction: CsInsn) -> _Flow:
    groups = instruction.groups
    if instruction.id == x86.X86_INS_RET:
        return _Flow.RETURN
    if instruction.id in _ENDS or CS_GRP_IRET in groups:
        return _Flow.END
    if CS_GRP_CALL in groups:
        return _Flow.CALL
    return _Flow.JUMP if CS_GRP_JUMP in groups or CS_GRP_BRANCH_RELATIVE in groups else _Flow.ON
