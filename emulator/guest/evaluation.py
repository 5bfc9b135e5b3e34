"""Evaluate location expressions of DWARF on the registers of a frame.

What would have to be guessed is refused with the reason: a register that a function has not kept for its caller, a value that the compiler has left out. A parameter whose
place is used for something else by now may be known from the caller, which says what it passed at the call (entry values); not after a tail call, for then
somebody else has called.

Source: DWARF 5, sections 2.5 and 2.6, 3.4 (call sites); the GNU extensions of DWARF 4 for call sites as GCC writes them;
System V ABI for i386, table 2.14 (numbers of registers).
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.guest.frame_registers import REGISTERS
from emulator.guest.storage import InMemory, InPieces, Known, OnFpuStack, Piece, Unavailable
from emulator.loader.dwarf.call_frames import EBP, ESP
from emulator.loader.dwarf.locations import INDEXED, parse_expression
from emulator.loader.dwarf.type_names import number_of
from emulator.loader.dwarf.units import FUNCTION, start_of
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elftools.dwarf.dwarf_expr import DWARFExprOp

    from emulator.guest.frame_registers import FrameRegisters
    from emulator.guest.locations import Places
    from emulator.guest.storage import Storage
    from emulator.loader.dwarf.call_sites import CallSite
    from emulator.loader.dwarf.entries import Entry

OPTIMISED_OUT: Final = "optimised out"
DAMAGED: Final = "its debug information is damaged"
_POINTED_TO: Final = "optimised out: only what it points to is kept"
_BITS: Final = 8
_STEPS_MAX: Final = 10_000  # of an expression: they may loop
_DEPTH_MAX: Final = 16  # of frames whose callers are asked

_NUMBERED: Final = re.compile(r"DW_OP_(lit|reg|breg)(\d+)")
_CONSTANT: Final = re.compile(r"DW_OP_(?:const\d?[us]|addr)")
_ENTRY_VALUES: Final = ("DW_OP_entry_value", "DW_OP_GNU_entry_value")
_IMPLICIT_POINTERS: Final = ("DW_OP_implicit_pointer", "DW_OP_GNU_implicit_pointer")
_ST, _XMM = range(11, 19), range(21, 29)  # by the ABI's numbers
_PIECES: Final = ("DW_OP_piece", "DW_OP_bit_piece")
_BOOLEAN, _SIGNED, _SIGNED_CHAR, _UNSIGNED, _UNSIGNED_CHAR, _ADDRESS = 0x02, 0x05, 0x06, 0x07, 0x08, 0x01
_INTEGERS: Final = frozenset((_BOOLEAN, _SIGNED, _SIGNED_CHAR, _UNSIGNED, _UNSIGNED_CHAR, _ADDRESS))


class _Type(NamedTuple):
    """An integer type of a value on the stack of an expression."""

    size: int
    is_signed: bool

    def value(self, number: int) -> int:
        number &= (1 << self.size * _BITS) - 1
        return (
            number - (1 << self.size * _BITS)
            if self.is_signed and number >> self.size * _BITS - 1
            else number
        )


_GENERIC: Final = _Type(WORD_SIZE, is_signed=False)
_SIGNED_WORD: Final = _Type(WORD_SIZE, is_signed=True)


class _Word(NamedTuple):
    """A value on the stack: of the generic type, which is an address, or of an integer type."""

    number: int
    type: _Type | None = None

    @property
    def unsigned(self) -> int:
        return self.number & WORD_MAX


def _divided(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: int, right: int) -> int:
    return left - right * _divided(left, right)


def _shifted_left(left: int, right: int) -> int:
    return left << min(right & WORD_MAX, 64)


def _shifted_right(left: int, right: int) -> int:
    return left >> min(right & WORD_MAX, 64)


_BINARY: Final[dict[str, tuple[Callable[[int, int], int], bool | None]]] = {
    "plus": (operator.add, None),
    "minus": (operator.sub, None),
    "mul": (operator.mul, None),
    "and": (operator.and_, None),
    "or": (operator.or_, None),
    "xor": (operator.xor, None),
    "div": (_divided, True),
    "mod": (_remainder, False),
    "shl": (_shifted_left, None),
    "shr": (_shifted_right, False),
    "shra": (_shifted_right, True),
}
"""Operations of two values, and how values of the generic type count: as signed, as unsigned, or it makes no difference."""
_COMPARISONS: Final = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_UNARY: Final[dict[str, Callable[[int], int]]] = {"neg": operator.neg, "not": operator.invert, "abs": abs}


class Evaluation:
    """Evaluates expressions for one entry in one frame.

    Args:
        places: Of the machine.
        entry: In which the expressions stand.
        frame: Number of the frame; None: there is none.
        depth: How many frames further in have been asked for something from here.
    """

    def __init__(self, places: Places, entry: Entry, frame: int | None, depth: int = 0) -> None:
        self._places = places
        self._entry = entry
        self._number = frame
        self._depth = depth

    def storage(self, operations: Sequence[DWARFExprOp], size: int | None) -> Storage:
        """Return what an expression locates.

        Raises:
            Unavailable, Exception: See `Places.holding`.
        """
        if not operations:
            raise Unavailable(OPTIMISED_OUT)
        if not any(each.op_name in _PIECES for each in operations):
            return self._simple(operations, size)
        pieces, begin = [], 0
        for index, each in enumerate(operations):
            if each.op_name in _PIECES:
                pieces.append(self._piece(operations[begin:index], each))
                begin = index + 1
        return InPieces(pieces)

    def value(self, operations: Sequence[DWARFExprOp]) -> int:
        """Return the word that an expression computes.

        Raises:
            Unavailable, Exception: See `Places.holding`.
        """
        return self._compute(operations).unsigned

    def _piece(self, operations: Sequence[DWARFExprOp], piece: DWARFExprOp) -> Piece:
        if piece.op_name == "DW_OP_bit_piece":
            size_bits, skipped = piece.args
        else:
            size_bits, skipped = piece.args[0] * _BITS, 0
        if not operations:
            return Piece(size_bits, None, problem=OPTIMISED_OUT)
        try:
            return Piece(size_bits, self._simple(operations, (size_bits + _BITS - 1) // _BITS), skipped)
        except Unavailable as error:
            return Piece(size_bits, None, problem=str(error))

    def _simple(self, operations: Sequence[DWARFExprOp], size: int | None) -> Storage:
        *before, last = operations
        name = last.op_name
        if name in _IMPLICIT_POINTERS:
            raise Unavailable(_POINTED_TO)
        if name == "DW_OP_implicit_value":
            return Known(bytes(last.args[0]))
        if name == "DW_OP_stack_value":
            return Known(self._bytes(before, size))
        if name == "DW_OP_GNU_uninit":
            return self._simple(before, size)
        register = _register_number(last)
        if before or register is None:
            return InMemory(self._places.read, self.value(operations))
        return self._in_register(register, size)

    def _in_register(self, register: int, size: int | None) -> Storage:
        if register in _XMM:
            return Known(self._vector(register))
        if register in _ST:
            return self._on_fpu_stack(register - _ST.start)
        data = self._register(register).to_bytes(WORD_SIZE, "little")
        is_here = self._places.is_running and self._number == 0 and (size is None or size <= WORD_SIZE)
        return Known(data, REGISTERS[register] if is_here else "")

    def _bytes(self, operations: Sequence[DWARFExprOp], size: int | None) -> bytes:
        word = self._compute(operations)
        width = _GENERIC.size if word.type is None else word.type.size
        if size is None or size <= width:
            return (word.number & (1 << width * _BITS) - 1).to_bytes(width, "little")[:size]
        if len(operations) == 1 and word.type is None:  # a constant, which need not be an address
            number = int(operations[0].args[0] if operations[0].args else word.number)
            return number.to_bytes(size, "little", signed=number < 0)
        raise Unavailable(f"its debug information has {width} of its {size} bytes")

    # The stack machine.

    def _compute(self, operations: Sequence[DWARFExprOp]) -> _Word:
        stack: list[_Word] = []
        offsets = {each.offset: index for index, each in enumerate(operations)}
        index = steps = 0
        while index < len(operations):
            steps += 1
            if steps > _STEPS_MAX:
                raise Unavailable(DAMAGED)
            operation = operations[index]
            index += 1
            if operation.op_name in ("DW_OP_bra", "DW_OP_skip"):
                if operation.op_name == "DW_OP_skip" or stack.pop().number:
                    target = operation.offset + 3 + operation.args[0]
                    index = offsets.get(target, len(operations))
            else:
                self._step(operation, stack)
        return stack[-1]

    def _step(self, operation: DWARFExprOp, stack: list[_Word]) -> None:  # noqa: C901, PLR0912 - one case for each operation
        name, arguments = operation.op_name.removeprefix("DW_OP_"), operation.args
        pushed = self._pushed(operation)
        if pushed is not None:
            stack.append(pushed)
        elif name in _BINARY or name in _COMPARISONS:
            right, left = stack.pop(), stack.pop()
            stack.append(_combined(name, left, right))
        elif name in _UNARY:
            word = stack.pop()
            of = word.type or (_SIGNED_WORD if name == "abs" else _GENERIC)
            stack.append(_Word(of.value(_UNARY[name](of.value(word.number))), word.type))
        elif name == "plus_uconst":
            word = stack.pop()
            stack.append(_Word((word.type or _GENERIC).value(word.number + arguments[0]), word.type))
        elif name in ("deref", "deref_size"):
            size = arguments[0] if arguments else WORD_SIZE
            stack.append(_Word(self._load(stack.pop().unsigned, size)))
        elif name in ("deref_type", "GNU_deref_type"):
            of = self._type(arguments[1])
            stack.append(_Word(of.value(self._load(stack.pop().unsigned, arguments[0])), of))
        elif name in ("convert", "GNU_convert", "reinterpret", "GNU_reinterpret"):
            word = stack.pop()
            to = self._type(arguments[0]) if arguments[0] else None
            stack.append(_Word((to or _GENERIC).value(word.number), to))
        elif name == "dup":
            stack.append(stack[-1])
        elif name == "drop":
            stack.pop()
        elif name == "over":
            stack.append(stack[-2])
        elif name == "pick":
            stack.append(stack[-1 - arguments[0]])
        elif name == "swap":
            stack[-1], stack[-2] = stack[-2], stack[-1]
        elif name == "rot":
            stack[-1], stack[-2], stack[-3] = stack[-2], stack[-3], stack[-1]
        elif name not in ("nop", "GNU_uninit"):
            raise Unavailable(f"kmemu does not evaluate {operation.op_name}")

    def _pushed(self, operation: DWARFExprOp) -> _Word | None:
        """Return what an operation pushes that takes nothing from the stack; None: it is none."""
        name, arguments = operation.op_name, operation.args
        if name in _IMPLICIT_POINTERS:
            raise Unavailable(_POINTED_TO)
        if (numbered := _NUMBERED.fullmatch(name)) is not None:
            return self._numbered(numbered[1], int(numbered[2]), arguments)
        if _CONSTANT.fullmatch(name):
            return _Word(_GENERIC.value(arguments[0]))
        return self._typed(name, arguments) or self._from_frame(name, arguments)

    def _numbered(self, kind: str, number: int, arguments: Sequence[int]) -> _Word | None:
        if kind == "lit":
            return _Word(number)
        return _Word(self._register(number) + arguments[0] & WORD_MAX) if kind == "breg" else None

    def _typed(self, name: str, arguments: Sequence[Any]) -> _Word | None:
        if name in ("DW_OP_regval_type", "DW_OP_GNU_regval_type"):
            of = self._type(arguments[1])
            return _Word(of.value(self._register(arguments[0])), of)
        if name in ("DW_OP_const_type", "DW_OP_GNU_const_type"):
            of = self._type(arguments[0])
            return _Word(of.value(int.from_bytes(bytes(arguments[1]), "little")), of)
        return None

    def _from_frame(self, name: str, arguments: Sequence[Any]) -> _Word | None:
        """Return what an operation pushes of the frame, its caller, or the unit."""
        number = None
        if name == "DW_OP_bregx":
            number = self._register(arguments[0]) + arguments[1]
        elif name == "DW_OP_fbreg":
            number = self._frame_base() + arguments[0]
        elif name == "DW_OP_call_frame_cfa":
            number = self._frame_address()
        elif name in _ENTRY_VALUES:
            number = self._entry_value(arguments[0])
        elif name in INDEXED:
            number = self._entry.unit.address(arguments[0])
        elif name == "DW_OP_GNU_parameter_ref":
            parameter = arguments[0] + self._entry.unit.start
            number = self._passed(lambda site: site.value_of_parameter(parameter))
        return None if number is None else _Word(number & WORD_MAX)

    # What expressions refer to.

    @property
    def _frame(self) -> FrameRegisters:
        if self._number is None:
            raise Unavailable(DAMAGED)  # a global variable has no frame
        return self._places.frame(self._number)

    def _vector(self, number: int) -> bytes:
        """Return a register of SSE, which no function keeps for its caller."""
        if self._number != 0:
            raise Unavailable(f"xmm{number - _XMM.start} of this frame is not known")
        return self._places.fpu().xmm[number - _XMM.start].to_bytes(16, "little")

    def _on_fpu_stack(self, number: int) -> Storage:
        """Return what a register of the FPU holds, as it is numbered now."""
        name = f"st{number}"
        if self._number != 0:
            raise Unavailable(f"{name} of this frame is not known")
        fpu = self._places.fpu()
        if fpu.is_empty(number):
            raise Unavailable(f"{name} is empty")
        return OnFpuStack(name, fpu.stack[number])

    def _register(self, number: int) -> int:
        if number >= len(REGISTERS):
            raise Unavailable(
                f"it is in register {number} of the debug information, which kmemu does not show"
            )
        if number not in self._frame.known:
            raise Unavailable(f"{REGISTERS[number]} of this frame is not known")
        return self._frame.known[number]

    def _load(self, address: int, size: int) -> int:
        return int.from_bytes(InMemory(self._places.read, address).read(0, size), "little")

    def _type(self, offset: int) -> _Type:
        """Return the integer type at an offset in the unit."""
        unit = self._entry.unit
        entry = unit.entry(unit.start + offset)
        if number_of(entry, "DW_AT_encoding") not in _INTEGERS:
            raise Unavailable("it is computed with floating-point numbers")
        return _Type(
            number_of(entry, "DW_AT_byte_size"), number_of(entry, "DW_AT_encoding") in (_SIGNED, _SIGNED_CHAR)
        )

    def _frame_address(self) -> int:
        found = self._frame.frame_address
        if found is None:
            raise Unavailable("where its frame lies is not known")
        return found

    def _function(self) -> Entry:
        """Return the function that the entry is in, around inlined copies."""
        entry: Entry | None = self._entry
        while entry is not None and entry.tag != FUNCTION:
            entry = entry.unit.parent(entry)
        if entry is None:
            raise Unavailable(DAMAGED)
        return entry

    def _frame_base(self) -> int:
        function = self._function()
        operations = self._places.holding(function, "DW_AT_frame_base", self._number)
        register = _register_number(operations[0]) if len(operations) == 1 else None
        if register == ESP:
            return self._after_prologue(function)
        if register == EBP:
            return self._frame_pointer()
        evaluation = Evaluation(self._places, function, self._number, self._depth)
        return evaluation.value(operations) if register is None else self._register(register)

    def _frame_pointer(self) -> int:
        """Return EBP as it is in the function's body; before and after that it is still, or again, the caller's."""
        rules = self._places.image.frame_rules.at(self._places.image.linked(self._frame.address))
        if rules is not None and rules.register != EBP:
            return self._frame_address() - 2 * WORD_SIZE
        return self._register(EBP)

    def _after_prologue(self, function: Entry) -> int:
        """Return ESP as it is after the prologue: it moves when arguments are pushed, and the locations mean that one."""
        image = self._places.image
        described = image.subprograms.at(start_of(function) or 0)
        end = None if described is None else described.prologue_end
        rules = None if end is None else image.frame_rules.at(end)
        if rules is None or rules.register != ESP:
            raise Unavailable("from where its place is counted is not known")
        return self._frame_address() - rules.offset

    # What the caller passed.

    def _entry_value(self, operations: Sequence[DWARFExprOp]) -> int:
        """Return what a register was when the function was entered."""
        register = _register_number(operations[0]) if len(operations) == 1 else None
        if register is None:
            raise Unavailable("what was in memory when the function was entered is not known")
        return self._passed(lambda site: site.value_of_register(register))

    def _passed(self, value_of: Callable[[CallSite], Any]) -> int:
        """Return a value that the caller's call site describes."""
        places = self._places
        frame = places.frames[self._number or 0]
        unknown = Unavailable("what the caller passed is not known")
        outer = (self._number or 0) + 1
        if frame.return_address is None or outer >= len(places.frames) or self._depth >= _DEPTH_MAX:
            raise unknown
        site = places.call_sites.at(places.image.linked(frame.return_address))
        if site is None:
            raise unknown
        caller = Evaluation(places, site.entry, outer, self._depth + 1)
        if not self._was_called_from(site, caller):
            raise unknown
        expression = value_of(site)
        if expression is None:
            raise unknown
        return caller.value(parse_expression(site.entry, expression))

    def _was_called_from(self, site: CallSite, caller: Evaluation) -> bool:
        """Return whether a call site has called this function: not another one, which has left its frame to this one."""
        function = self._function()
        if not self._places.call_sites.keeps_its_parameters(function):
            return False
        if site.target is not None:
            return caller.value(parse_expression(site.entry, site.target)) == start_of(function)
        return site.calls(function)


def _combined(name: str, left: _Word, right: _Word) -> _Word:
    of = left.type
    if name in _COMPARISONS:
        as_type = of or _SIGNED_WORD
        return _Word(int(_COMPARISONS[name](as_type.value(left.number), as_type.value(right.number))))
    function, is_signed = _BINARY[name]
    as_type = of or (_SIGNED_WORD if is_signed else _GENERIC)
    if name in ("shr", "shra"):
        as_type = _Type(as_type.size, name == "shra")
    numbers = as_type.value(left.number), as_type.value(right.number)
    if name in ("div", "mod") and not numbers[1]:
        raise Unavailable("its debug information divides by zero")
    return _Word((of or _GENERIC).value(function(*numbers)), of)


def _register_number(operation: DWARFExprOp) -> int | None:
    """Return the register that an operation names as a location; None: it names none."""
    if operation.op_name == "DW_OP_regx":
        return int(operation.args[0])
    numbered = _NUMBERED.fullmatch(operation.op_name)
    return int(numbered[2]) if numbered is not None and numbered[1] == "reg" else None
