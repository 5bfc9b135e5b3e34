"""The numbers of C for i386: constants, and what is computed with them."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

_BITS: Final = 8
_INT_MAX: Final = 0x7FFF_FFFF
_ESCAPES: Final = {
    "a": 7,
    "b": 8,
    "t": 9,
    "n": 10,
    "v": 11,
    "f": 12,
    "r": 13,
    "\\": 92,
    "'": 39,
    '"': 34,
}


class Number(NamedTuple):
    """A number with the type that C gives it.

    Attributes:
        value: In the range of the type.
        size: Bytes, 4 or 8.
        is_signed: Whether the type is.
    """

    value: int
    size: int = WORD_SIZE
    is_signed: bool = True


def literal(digits: str, suffix: str) -> Number:
    """Return a constant: of the first type of C that holds it.

    Raises:
        ValueError: It is none.
    """
    base = 16 if digits[:2].lower() == "0x" else 8 if digits[0] == "0" else 10
    try:
        value = int(digits, base)
    except ValueError:
        raise ValueError(f"{digits} is no octal number") from None
    is_unsigned, is_long = "u" in suffix.lower(), suffix.lower().count("l") > 1
    if value <= _INT_MAX and not is_long:
        return Number(value, is_signed=not is_unsigned)
    if value <= WORD_MAX and not is_long and (is_unsigned or base != 10):  # noqa: PLR2004 - decimal
        return Number(value, is_signed=False)
    if value >> 64:
        raise ValueError(f"{digits} is no number of 64 bits")
    return Number(value, 8, is_signed=not is_unsigned and not value >> 63)


def character(text: str) -> int:
    """Return the number that a character is: as a char of i386, which is signed.

    Raises:
        ValueError: It is none.
    """
    if text[0] != "\\":
        return ord(text)
    if text[1] == "x" and text[2:]:
        return wrapped(int(f"0{text[1:]}", 0), 1, is_signed=True).value
    if text[1].isdecimal():
        return wrapped(int(text[1:], 8), 1, is_signed=True).value
    if text[1] not in _ESCAPES:
        raise ValueError(f"'{text}' is no character")
    return _ESCAPES[text[1]]


def _divided(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


_UNARY: Final[dict[str, Callable[[int], int]]] = {"-": operator.neg, "+": operator.pos, "~": operator.invert}
_ARITHMETIC: Final[dict[str, Callable[[int, int], int]]] = {
    "|": operator.or_,
    "^": operator.xor,
    "&": operator.and_,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "%": lambda left, right: left - right * _divided(left, right),
}
_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SHIFTS: Final[dict[str, Callable[[int, int], int]]] = {"<<": operator.lshift, ">>": operator.rshift}


def inverted(mark: str, number: Number) -> Number:
    """Return what ``-``, ``+``, ``~`` or ``!`` makes of a number."""
    if mark == "!":
        return Number(int(not number.value))
    return wrapped(_UNARY[mark](number.value), number.size, is_signed=number.is_signed)


def calculated(mark: str, left: Number, right: Number) -> Number:
    """Return what an operation of two numbers gives, as C converts them.

    Raises:
        ValueError: It is a division by zero, or a shift by too many bits.
    """
    if mark in _SHIFTS:
        if not 0 <= right.value < left.size * _BITS:
            raise ValueError(f"a shift by {right.value} bits")
        return wrapped(_SHIFTS[mark](left.value, right.value), left.size, is_signed=left.is_signed)
    size = max(left.size, right.size)
    is_signed = all(each.is_signed or each.size < size for each in (left, right))
    numbers = (wrapped(each.value, size, is_signed=is_signed).value for each in (left, right))
    first, second = numbers
    if mark in _COMPARISONS:
        return Number(int(_COMPARISONS[mark](first, second)))
    if mark in ("/", "%") and not second:
        raise ValueError("a division by zero")
    return wrapped(_ARITHMETIC[mark](first, second), size, is_signed=is_signed)


def wrapped(value: int, size: int, *, is_signed: bool) -> Number:
    """Return a number as a type of a size holds it."""
    value &= (1 << size * _BITS) - 1
    if is_signed and value >> size * _BITS - 1:
        value -= 1 << size * _BITS
    return Number(value, size, is_signed)
