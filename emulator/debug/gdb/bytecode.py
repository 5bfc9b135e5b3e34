"""Agent expressions: the conditions that gdb lets a target evaluate, as code of a small stack machine.

A condition comes from the client: each read, each jump and the number of steps is checked.

Source: "Debugging with GDB", F.2 (Bytecode Descriptions).
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_STEPS_MAX: Final = 10_000
_STACK_MAX: Final = 256
_BITS: Final = 64
_MASK: Final = (1 << _BITS) - 1
_SIGN: Final = 1 << _BITS - 1

_EXT, _ZERO_EXT, _REG, _END, _DUP, _POP, _SWAP, _PICK, _ROT = (
    0x16,
    0x2A,
    0x26,
    0x27,
    0x28,
    0x29,
    0x2B,
    0x32,
    0x33,
)
_LOG_NOT, _BIT_NOT, _IF_GOTO, _GOTO = 0x0E, 0x12, 0x20, 0x21
_REFS: Final = {0x17: 1, 0x18: 2, 0x19: 4, 0x1A: 8}
_CONSTANTS: Final = {0x22: 1, 0x23: 2, 0x24: 4, 0x25: 8}
_OPERANDS: Final = {_EXT: 1, _ZERO_EXT: 1, _REG: 2, _IF_GOTO: 2, _GOTO: 2, _PICK: 1, **_CONSTANTS}
"""Bytes that follow an operation."""


class BadExpression(Exception):
    """An expression is none, or has no value here."""


def _signed(value: int) -> int:
    return value - (1 << _BITS) if value & _SIGN else value


def _divided(left: int, right: int) -> int:
    """Divide as C does, towards zero."""
    quotient = abs(left) // abs(right)
    return -quotient if (left < 0) != (right < 0) else quotient


def _shifted_right(left: int, right: int) -> int:
    return left >> min(right & _MASK, _BITS)


_UNSIGNED: Final[Mapping[int, Callable[[int, int], int]]] = {
    0x02: operator.add,
    0x03: operator.sub,
    0x04: operator.mul,
    0x06: operator.floordiv,
    0x08: operator.mod,
    0x09: lambda left, right: left << min(right, _BITS),
    0x0B: _shifted_right,
    0x0F: operator.and_,
    0x10: operator.or_,
    0x11: operator.xor,
    0x13: operator.eq,
    0x15: operator.lt,
}
_SIGNED: Final[Mapping[int, Callable[[int, int], int]]] = {
    0x05: _divided,
    0x07: lambda left, right: left - right * _divided(left, right),
    0x0A: _shifted_right,
    0x14: operator.lt,
}


class _Step(NamedTuple):
    """An operation, its operand, and where the next one is."""

    operation: int
    operand: int
    following: int


class Expression:
    """An agent expression.

    Args:
        code: As it was sent.

    Raises:
        BadExpression: An operation is unknown or broken off.
    """

    def __init__(self, code: bytes) -> None:
        self._steps: dict[int, _Step] = {}
        at = 0
        while at < len(code):
            step = _step(code, at)
            self._steps[at] = step
            at = step.following

    def value(self, register: Callable[[int], int], load: Callable[[int, int], int]) -> int:
        """Return the value, an unsigned number of 64 bits.

        Args:
            register: Returns the value of the register of a number.
            load: Returns the unsigned number at an address of a size in bytes.

        Raises:
            BadExpression: It divides by zero, needs what is not on its stack, jumps to where no operation is, or does not end.
            KeyError: From *register*.
            LookupError: From *load*.
        """
        stack: list[int] = []
        at = 0
        for _ in range(_STEPS_MAX):
            step = self._steps.get(at)
            if step is None:
                raise BadExpression(f"there is no operation at {at}")
            if step.operation == _END:
                return _top(stack)
            at = _jump(step, stack) if step.operation in (_GOTO, _IF_GOTO) else step.following
            if step.operation == _REG:
                stack.append(register(step.operand) & _MASK)
            elif step.operation in _REFS:
                stack.append(load(_top(stack), _REFS[step.operation]))
            else:
                _calculate(step, stack)
            if len(stack) > _STACK_MAX:
                raise BadExpression("its stack overflows")
        raise BadExpression("it does not end")


def _step(code: bytes, at: int) -> _Step:
    operation = code[at]
    size = _OPERANDS.get(operation, 0)
    following = at + 1 + size
    known = operation in _UNSIGNED or operation in _SIGNED or operation in _REFS or operation in _OPERANDS
    if not known and operation not in (_LOG_NOT, _BIT_NOT, _END, _DUP, _POP, _SWAP, _ROT):
        raise BadExpression(f"there is no operation 0x{operation:02x}")
    if following > len(code):
        raise BadExpression(f"the operation 0x{operation:02x} is broken off")
    return _Step(operation, int.from_bytes(code[at + 1 : following], "big"), following)


def _jump(step: _Step, stack: list[int]) -> int:
    return step.operand if step.operation == _GOTO or _top(stack) else step.following


def _top(stack: list[int]) -> int:
    if not stack:
        raise BadExpression("its stack is empty")
    return stack.pop()


def _calculate(step: _Step, stack: list[int]) -> None:
    """Do what needs nothing but the stack."""
    operation = step.operation
    if operation in _CONSTANTS:
        stack.append(step.operand)
    elif operation in _UNSIGNED or operation in _SIGNED:
        right, left = _top(stack), _top(stack)
        stack.append(_combined(operation, left, right))
    elif operation == _LOG_NOT:
        stack.append(int(not _top(stack)))
    elif operation == _BIT_NOT:
        stack.append(_top(stack) ^ _MASK)
    elif operation in (_EXT, _ZERO_EXT):
        stack.append(_extended(_top(stack), step.operand, is_signed=operation == _EXT))
    elif operation not in (_GOTO, _IF_GOTO):
        _rearrange(step, stack)


def _combined(operation: int, left: int, right: int) -> int:
    try:
        if operation in _SIGNED:
            return int(_SIGNED[operation](_signed(left), _signed(right))) & _MASK
        return int(_UNSIGNED[operation](left, right)) & _MASK
    except ZeroDivisionError as error:
        raise BadExpression("it divides by zero") from error


def _extended(value: int, bits: int, *, is_signed: bool) -> int:
    if not 0 < bits < _BITS:
        return value
    value &= (1 << bits) - 1
    return value | (_MASK << bits & _MASK) if is_signed and value >> bits - 1 else value


def _rearrange(step: _Step, stack: list[int]) -> None:
    needed = {_DUP: 1, _POP: 1, _SWAP: 2, _ROT: 3, _PICK: step.operand + 1}[step.operation]
    if len(stack) < needed:
        raise BadExpression(f"its stack has {len(stack)} of {needed} values")
    match step.operation:
        case 0x28 | 0x32:  # dup, pick
            stack.append(stack[-needed])
        case 0x29:  # pop
            stack.pop()
        case 0x2B:  # swap
            stack[-2:] = stack[-1], stack[-2]
        case 0x33:  # rot: a b c become c a b
            stack[-3:] = stack[-1], stack[-3], stack[-2]


def conditions(text: Sequence[bytes]) -> list[Expression]:
    """Read the conditions of a breakpoint: ``X LENGTH,CODE``, each of them, in hexadecimal digits.

    Raises:
        BadExpression: They are none.
    """
    found = []
    for each in text:
        head, comma, digits = each.partition(b",")
        try:
            length, code = int(head[1:], 16), bytes.fromhex(digits.decode("ascii"))
        except ValueError as error:
            raise BadExpression("a condition is not in hexadecimal digits") from error
        if head[:1] != b"X" or not comma or length != len(code):
            raise BadExpression("a condition is broken off")
        found.append(Expression(code))
    return found
