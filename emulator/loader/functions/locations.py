"""Where an argument is when a function is entered, in front of its first instruction.

Source: System V ABI for i386, 2.2.2 (calling sequence); compilers choose other places for functions that only they call.
"""

from __future__ import annotations

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
    """

    reason: str


Location: TypeAlias = OnStack | InRegister | IsConstant | NotKnown
