"""What registers and stack words hold while a function begins, as far as it comes from what the function was given.

Theory. An abstract machine: each register and each word of the stack holds a set of sources. A source is a place in which the caller left
something (`InRegister`, `OnStack`), a constant, or an address on the stack. The empty set is a value that was computed, of which nothing is known.
Copies keep their source. Where two paths meet, the sets are joined. A source counts as read once an instruction does more
with it than to copy it to a register or to the stack: saved registers, and registers that are pushed to keep the stack aligned, are not read.

Shortcomings. What is written through pointers is taken to leave the stack alone. Of a register of which only a part is written, the rest is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from capstone import CS_AC_READ, CS_AC_WRITE, CS_OP_IMM, CS_OP_MEM, CS_OP_REG, CsInsn
from capstone import x86_const as x86

from emulator.loader.functions.locations import InRegister, IsConstant, NotKnown, OnStack
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from capstone.x86 import X86Op

RETURN_ADDRESS: Final = 0
"""Where it lies at the entry, from ESP; arguments lie above it."""

REGISTERS: Final = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
"""In the order of their numbers (System V ABI for i386, figure 2.14)."""

_PARTS: Final = {
    part: f"e{letter}x" for letter in "abcd" for part in (f"{letter}l", f"{letter}h", f"{letter}x")
}
_FULL_NAMES: Final = {name: name for name in REGISTERS} | {name[1:]: name for name in REGISTERS} | _PARTS
_MOST_SOURCES: Final = 4
_TOO_MANY: Final = frozenset((NotKnown("it comes from many places"),))
_EXTENDING: Final = frozenset((x86.X86_INS_MOVZX, x86.X86_INS_MOVSX))
_COPIES: Final = frozenset((x86.X86_INS_MOV, *_EXTENDING))
_CLEARS: Final = frozenset((x86.X86_INS_XOR, x86.X86_INS_SUB, x86.X86_INS_SBB))
_CONDITIONAL: Final = frozenset(
    number for name, number in vars(x86).items() if name.startswith("X86_INS_CMOV")
)
_NOTHING: Final = frozenset((x86.X86_INS_NOP, x86.X86_INS_ENDBR32, x86.X86_INS_ENDBR64))
_ALL_PUSHED: Final = 8 * WORD_SIZE


class Address(NamedTuple):
    """An address on the stack.

    Attributes:
        offset: Bytes from ESP at the entry.
        is_aligned: ESP has been rounded down since: bytes from there.
    """

    offset: int
    is_aligned: bool = False


Source: TypeAlias = OnStack | InRegister | IsConstant | NotKnown | Address
Value: TypeAlias = frozenset[Source]
UNKNOWN: Final[Value] = frozenset()


def only(value: Value) -> Source | None:
    """Return the source of a value that has one."""
    return next(iter(value)) if len(value) == 1 else None


def plus(value: Value, number: int) -> Value:
    """Return what a value and a number add up to."""
    match only(value):
        case Address(offset, is_aligned):
            return frozenset((Address(offset + number, is_aligned),))
        case IsConstant(constant):
            return frozenset((IsConstant(constant + number & WORD_MAX),))
    return UNKNOWN if number else value


class State:
    """The registers and the stack in front of one instruction.

    Attributes:
        registers: By their names of 32 bits.
        memory: Words of the stack that were written.
        reads: Sources that were read so far. Copies of the state share it.
        lent: Lowest word of the caller's, from ESP at the entry, of which the address was taken; None: none. What has it may read all above.
    """

    def __init__(self) -> None:
        self.registers: dict[str, Value] = {name: frozenset((InRegister(name),)) for name in REGISTERS}
        self.registers["esp"] = frozenset((Address(RETURN_ADDRESS),))
        self.memory: dict[Address, Value] = {}
        self.reads: set[Source] = set()
        self.lent: int | None = None

    def copy(self) -> State:
        """Return a state that goes on alone, but for its reads."""
        twin = State.__new__(State)
        twin.registers, twin.memory = dict(self.registers), dict(self.memory)
        twin.reads, twin.lent = self.reads, self.lent
        return twin

    def join(self, other: State) -> bool:
        """Add what another path brings here; return whether that is new."""
        before = (dict(self.registers), dict(self.memory), self.lent)
        for name, value in other.registers.items():
            self.registers[name] = _joined(self.registers[name], value)
        for address in other.memory.keys() | self.memory.keys():
            self.memory[address] = _joined(self.at(address), other.at(address))
        self.lent = _lower(self.lent, other.lent)
        return before != (self.registers, self.memory, self.lent)

    def at(self, address: Address) -> Value:
        """Return the word at an address on the stack."""
        if address in self.memory or address.is_aligned or address.offset <= RETURN_ADDRESS:
            return self.memory.get(address, UNKNOWN)
        return frozenset((OnStack(address.offset),))

    def load(self, pointer: Value) -> Value:
        """Return the word that a value points to."""
        address = only(pointer)
        return self.at(address) if isinstance(address, Address) else UNKNOWN

    def read(self, value: Value) -> None:
        """Note that something is done with a value."""
        self.reads.update(value)

    def push(self, value: Value) -> None:
        """Put a word on the stack."""
        self.registers["esp"] = plus(self.registers["esp"], -WORD_SIZE)
        self._store(self.registers["esp"], value)

    def pop(self) -> Value:
        """Take a word from the stack."""
        value = self.load(self.registers["esp"])
        self.registers["esp"] = plus(self.registers["esp"], WORD_SIZE)
        return value

    def read_target(self, instruction: CsInsn) -> None:
        """Note that a call or jump goes where its operand points."""
        self.read(self._value(instruction, instruction.operands[0]))

    def execute(self, instruction: CsInsn) -> None:
        """Execute an instruction that is no jump, call or return."""
        operands = instruction.operands
        if instruction.id in _NOTHING:
            return
        if instruction.id in _COPIES:
            value = self._value(instruction, operands[1])
            if instruction.id in _EXTENDING:
                self.read(value)
            self._put(instruction, operands[0], value)
        elif instruction.id in _CONDITIONAL:
            value = _joined(self._value(instruction, operands[1]), self._value(instruction, operands[0]))
            self._put(instruction, operands[0], value)
        elif instruction.id == x86.X86_INS_LEA:
            self._put(instruction, operands[0], self._lend(self._pointer(instruction, operands[1])))
        elif not self._execute_stack(instruction) and not self._execute_registers(instruction):
            self._execute_other(instruction)

    def _execute_stack(self, instruction: CsInsn) -> bool:
        """Execute an instruction that is about the stack; return whether it is one."""
        match instruction.id:
            case x86.X86_INS_PUSH:
                self.push(self._value(instruction, instruction.operands[0]))
            case x86.X86_INS_POP:
                self._put(instruction, instruction.operands[0], self.pop())
            case x86.X86_INS_PUSHFD:
                self.push(UNKNOWN)
            case x86.X86_INS_POPFD:
                self.pop()
            case x86.X86_INS_PUSHAL:
                self.registers["esp"] = plus(self.registers["esp"], -_ALL_PUSHED)
            case x86.X86_INS_POPAL:
                esp = plus(self.registers["esp"], _ALL_PUSHED)
                self.registers = dict.fromkeys(REGISTERS, UNKNOWN) | {"esp": esp}
            case x86.X86_INS_LEAVE:
                self.registers["esp"] = self.registers["ebp"]
                self.registers["ebp"] = self.pop()
            case _:
                return False
        return True

    def _execute_registers(self, instruction: CsInsn) -> bool:
        """Execute what clears a register, exchanges two, or counts an address on the stack; return whether it is that."""
        if len(instruction.operands) != 2 or instruction.operands[0].type != CS_OP_REG:  # noqa: PLR2004 - destination, source
            return False
        first, second = instruction.operands
        name = self._name(instruction, first)
        if second.type == CS_OP_REG and instruction.id == x86.X86_INS_XCHG:
            other = self._name(instruction, second)
            self.registers[name], self.registers[other] = self.registers[other], self.registers[name]
        elif second.type == CS_OP_REG and second.reg == first.reg and instruction.id in _CLEARS:
            self.registers[name] = UNKNOWN
        elif second.type != CS_OP_IMM or not isinstance(only(self.registers.get(name, UNKNOWN)), Address):
            return False
        elif instruction.id == x86.X86_INS_AND:
            self.registers[name] = frozenset((Address(0, is_aligned=True),))
        elif instruction.id in (x86.X86_INS_ADD, x86.X86_INS_SUB):
            sign = 1 if instruction.id == x86.X86_INS_ADD else -1
            self.registers[name] = plus(self.registers[name], sign * second.imm)
        else:
            return False
        return True

    def _execute_other(self, instruction: CsInsn) -> None:
        for operand in instruction.operands:
            if operand.type == CS_OP_MEM:
                pointer = self._pointer(instruction, operand)
                if operand.access & CS_AC_READ or not operand.access:
                    self.read(self.load(pointer))
                if operand.access & CS_AC_WRITE:
                    self._store(pointer, UNKNOWN)
        reads, writes = instruction.regs_access()
        for register in reads:
            self.read(self.registers.get(_full_name(instruction, register), UNKNOWN))
        for register in writes:
            name = _full_name(instruction, register)
            if name in self.registers:
                self.registers[name] = UNKNOWN

    def _value(self, instruction: CsInsn, operand: X86Op) -> Value:
        """Return what an operand holds; a word of the caller's stack is read with that."""
        if operand.type == CS_OP_IMM:
            return frozenset((IsConstant(operand.imm & WORD_MAX),))
        if operand.type == CS_OP_REG:
            return self.registers.get(self._name(instruction, operand), UNKNOWN)
        value = self.load(self._pointer(instruction, operand))
        self.reads.update(source for source in value if isinstance(source, OnStack))
        return value

    def _put(self, instruction: CsInsn, operand: X86Op, value: Value) -> None:
        if operand.type == CS_OP_MEM:
            self._store(self._pointer(instruction, operand), value)
        elif (name := self._name(instruction, operand)) in self.registers:
            self.registers[name] = value

    def _store(self, pointer: Value, value: Value) -> None:
        """Write a word. What leaves the stack is read with that."""
        address = only(pointer)
        if isinstance(address, Address):
            self.memory[address] = value
        else:
            self.read(value)

    def _pointer(self, instruction: CsInsn, operand: X86Op) -> Value:
        """Return the address of a memory operand; what it is computed from is read with that."""
        memory = operand.mem
        base = self.registers.get(_full_name(instruction, memory.base), UNKNOWN)
        index = self.registers.get(_full_name(instruction, memory.index), UNKNOWN)
        if not (
            instruction.id == x86.X86_INS_LEA
            and memory.base == instruction.operands[0].reg
            and not memory.disp
        ):
            self.read(base)  # compilers fill gaps with instructions such as `lea esi, [esi + eiz]`
        self.read(index)
        is_plain = not memory.index or instruction.reg_name(memory.index) == "eiz"
        return plus(base, memory.disp) if memory.base and is_plain and not memory.segment else UNKNOWN

    def _lend(self, pointer: Value) -> Value:
        address = only(pointer)
        if isinstance(address, Address) and not address.is_aligned and address.offset > RETURN_ADDRESS:
            self.lent = _lower(self.lent, address.offset)
        return pointer

    def _name(self, instruction: CsInsn, operand: X86Op) -> str:
        return _full_name(instruction, operand.reg)


def _full_name(instruction: CsInsn, register: int) -> str:
    """Return the register of 32 bits that a register is, or is a part of; "" if it is another one."""
    return _FULL_NAMES.get(instruction.reg_name(register) or "", "")


def _joined(one: Value, other: Value) -> Value:
    both = one | other
    return both if len(both) <= _MOST_SOURCES and not both & _TOO_MANY else _TOO_MANY


def _lower(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)
