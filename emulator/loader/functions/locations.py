"""Where a value of a call is when a function is entered, in front of its first instruction: an argument, or what follows from arguments.

Source: System V ABI for i386, 2.2.2 (calling sequence); compilers choose other places for functions that only they call.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, TypeAlias


class OnStack(NamedTuple):
    """It lies on the stack.

    Attributes:
        offset: Bytes from ESP; 4 is the word above the return address.
    """

    offset: int


class InRegister(NamedTuple):
    """It is in a register.

    Attributes:
        register: Its name, such as ``eax``.
    """

    register: str


class IsConstant(NamedTuple):
    """The compiler knows it, so that nobody passes it.

    Attributes:
        value: As an unsigned word.
    """

    value: int


class NotKnown(NamedTuple):
    """It cannot be known.

    Attributes:
        reason: Why, such as ``the compiler removed it``.
        perhaps: A place that it may be in, as profiles name it.
    """

    reason: str
    perhaps: str = "eax"


class Operation(IntEnum):
    """What one part of a computation does, on a stack of words; the operand belongs to the first two.

    Loads are from the data segment. To divide by 0 gives 0, as does an address where nothing is. Comparisons give 1 or 0.
    """

    PUSH = 1
    VALUE = 2  # of the call, by its number
    RESULT = 3
    LOAD8 = 4
    LOAD16 = 5
    LOAD32 = 6
    ADD = 7
    SUBTRACT = 8
    MULTIPLY = 9
    DIVIDE = 10
    AND = 11
    OR = 12
    SHIFT_LEFT = 13
    SHIFT_RIGHT = 14
    EQUAL = 15
    DIFFERENT = 16
    LESS = 17


class Computed(NamedTuple):
    """It is computed from values of the call before it, from its result at the return, and from memory.

    Attributes:
        operations: Each with its operand; they never need more than 16 words, and leave one.
    """

    operations: tuple[tuple[Operation, int], ...]


Location: TypeAlias = OnStack | InRegister | IsConstant | NotKnown | Computed
