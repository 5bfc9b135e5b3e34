"""Evaluate the location expressions of DWARF on what registers and stack hold (`entry_state`), to find out where a value came from.

Source: DWARF 5, section 2.5; GNU extensions as GCC and gdb define them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from emulator.loader.functions.entry_state import REGISTERS, UNKNOWN, Address, State, Value, only, plus
from emulator.loader.functions.locations import IsConstant, NotKnown
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elftools.dwarf.dwarf_expr import DWARFExprOp

_PIECES: Final = ("DW_OP_piece", "DW_OP_bit_piece")
_ENTRY_VALUES: Final = ("DW_OP_entry_value", "DW_OP_GNU_entry_value")
_TYPED_REGISTERS: Final = ("DW_OP_regval_type", "DW_OP_GNU_regval_type")
_CONSTANT: Final = re.compile(r"DW_OP_(?:const(?:\d?[us])|addr)")
_LOADS: Final = ("DW_OP_deref", "DW_OP_deref_size")
_OF_ONE: Final = ("DW_OP_plus_uconst", "DW_OP_neg", "DW_OP_not", "DW_OP_stack_value", "DW_OP_nop")
_OF_TWO: Final = re.compile(r"DW_OP_(?:and|div|minus|mod|mul|or|plus|shl|shra?|xor)")
_NUMBERED: Final = re.compile(r"DW_OP_(lit|reg|breg)(\d+)")

_REMOVED: Final[Value] = frozenset((NotKnown("the compiler removed it"),))
_POINTED_TO: Final[Value] = frozenset((NotKnown("the compiler passes what it points to"),))
_AT_ENTRY: Final[Value] = frozenset((Address(WORD_SIZE),))
_FIXED: Final[dict[str, Value]] = {
    "DW_OP_GNU_parameter_ref": _REMOVED,
    "DW_OP_implicit_pointer": _POINTED_TO,
    "DW_OP_GNU_implicit_pointer": _POINTED_TO,
}


class Evaluation:
    """The evaluation of expressions at one instruction.

    Args:
        state: What registers and stack hold there.
        entry: What they hold at the function's first instruction.
        frame_base: From what the locations of variables are counted.
        frame_address: The CFA: what ESP is in the caller after its call, and so one word above the return address.
    """

    def __init__(
        self, state: State, entry: State, frame_base: Value = UNKNOWN, frame_address: Value = _AT_ENTRY
    ) -> None:
        self._state = state
        self._entry = entry
        self._frame_base = frame_base
        self._frame_address = frame_address

    def value(self, operations: Sequence[DWARFExprOp]) -> Value:
        """Return what is at the location that an expression names; of a location in pieces, what the first word is."""
        end = next(
            (index for index, each in enumerate(operations) if each.op_name in _PIECES), len(operations)
        )
        if not end:
            return _REMOVED
        *before, last = operations[:end]
        if (register := _register(last)) is not None:
            return self._state.registers.get(register, UNKNOWN)
        if last.op_name == "DW_OP_implicit_value":
            return _constant(int.from_bytes(bytes(last.args[0][:WORD_SIZE]), "little"))
        is_value = last.op_name == "DW_OP_stack_value"
        found = self.address(before if is_value else operations[:end])
        return found if is_value or isinstance(only(found), NotKnown) else self._state.load(found)

    def source(self, operations: Sequence[DWARFExprOp]) -> Value:
        """Return what an expression computes a value from, if that is one thing besides constants.

        Of a parameter that a function changes at once, clang says at the first instruction what it is after that.
        """
        stack: list[Value] = []
        for operation in operations:
            pushed = self._pushed(operation)
            if pushed is not None:
                stack.append(pushed)
            elif operation.op_name in _LOADS and operation.args in ([], [WORD_SIZE]) and stack:
                stack[-1] = self._state.load(stack[-1])
            elif _OF_TWO.fullmatch(operation.op_name) and len(stack) > 1:
                right, left = stack.pop(), stack.pop()
                stack.append(left if _is_constant(right) else right if _is_constant(left) else UNKNOWN)
            elif operation.op_name not in _OF_ONE:
                return UNKNOWN
        return stack[-1] if stack else UNKNOWN

    def address(self, operations: Sequence[DWARFExprOp]) -> Value:
        """Return the address that an expression computes, such as that of a frame base: a register's value is one, too."""
        stack: list[Value] = []
        for operation in operations:
            pushed = self._pushed(operation)
            if pushed is not None:
                stack.append(pushed)
            elif operation.op_name == "DW_OP_plus_uconst" and stack:
                stack[-1] = plus(stack[-1], operation.args[0])
            elif operation.op_name == "DW_OP_deref" and stack:
                stack[-1] = self._state.load(stack[-1])
            elif operation.op_name != "DW_OP_nop":
                return UNKNOWN
        return stack[-1] if stack else UNKNOWN

    def _pushed(self, operation: DWARFExprOp) -> Value | None:
        """Return what an operation pushes; None: it is not one that only pushes, or it is not known."""
        name, arguments = operation.op_name, operation.args
        if _CONSTANT.fullmatch(name):
            return _constant(arguments[0])
        if name in _ENTRY_VALUES:
            return Evaluation(self._entry, self._entry).value(arguments[0])
        if name in ("DW_OP_fbreg", "DW_OP_call_frame_cfa"):
            return plus(self._frame_base, arguments[0]) if arguments else self._frame_address
        if name in _TYPED_REGISTERS or name == "DW_OP_bregx":
            return plus(self._register(arguments[0]), arguments[1] if name == "DW_OP_bregx" else 0)
        if (numbered := _NUMBERED.fullmatch(name)) is not None:
            number = int(numbered[2])
            return _constant(number) if numbered[1] == "lit" else plus(self._register(number), sum(arguments))
        return _FIXED.get(name)

    def _register(self, number: int) -> Value:
        return self._state.registers.get(_name(number), UNKNOWN)


def _register(operation: DWARFExprOp) -> str | None:
    """Return the register that an operation names as a location; None: it names none."""
    if operation.op_name == "DW_OP_regx":
        return _name(operation.args[0])
    numbered = _NUMBERED.fullmatch(operation.op_name)
    return _name(int(numbered[2])) if numbered is not None and numbered[1] == "reg" else None


def _name(number: int) -> str:
    return REGISTERS[number] if number < len(REGISTERS) else ""


def _is_constant(value: Value) -> bool:
    return isinstance(only(value), IsConstant)


def _constant(number: int) -> Value:
    return frozenset((IsConstant(number & WORD_MAX),))
