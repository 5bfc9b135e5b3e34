"""Expressions over variables and registers, as conditions of breakpoints and as what is watched: ``t->list.next->value == 3 && $eax != 0``.

or         = and { "||" and }               and     = bits { "&&" bits }
bits       = C's "|", "^", "&", "==", "!=", "<", "<=", ">", ">=", "<<", ">>", "+", "-", "*", "/", "%", as closely as C has them
prefix     = ( "*" | "&" | "-" | "+" | "~" | "!" ) prefix | postfix
postfix    = primary { "." NAME | "->" NAME | "[" or "]" }
primary    = NAME | "$" REGISTER | NUMBER | CHARACTER | "(" or ")"

They are C's, without casts, calls and assignments: what would change the machine cannot be written. Numbers are converted as C does it for i386; a
function's name is its address.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from emulator.debug.values import Value
from emulator.guest.storage import Known, Unavailable
from emulator.loader.dwarf.value_types import Kind
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST: Final = 1000  # characters
_DEEPEST: Final = 64  # parentheses, prefixes
_BITS: Final = 8
_INT_MAX: Final = 0x7FFF_FFFF
_DIGITS: Final = r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}"
_TOKEN: Final = re.compile(
    rf"\s*(?:(?P<number>{_DIGITS})[uUlL]*(?![\w.])|(?P<name>[A-Za-z_][\w]*)|\$(?P<register>\w+)"
    r"|'(?P<character>\\?.)'|(?P<mark>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>.()\[\]]))"
)
_ESCAPES: Final = {
    "0": 0,
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
_LEVELS: Final = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", "<=", ">", ">="),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
"""Operators by how closely they bind, the loosest first."""
_PREFIXES: Final = ("*", "&", "-", "+", "~", "!")


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


class Context(Protocol):
    """What names mean."""

    def variable(self, name: str) -> Value | None:
        """Return a variable; None: there is none of this name."""

    def function(self, name: str) -> int | None:
        """Return the address of a function; None: there is none of this name."""

    def label(self, name: str) -> int | None:
        """Return the address of any other symbol; None: there is none of this name."""

    def register(self, name: str) -> int:
        """Return a register.

        Raises:
            ValueError: There is none of this name.
            Unavailable: It is not known.
        """


class Expression:
    """An expression that has been read.

    Args:
        text: What it is written as.

    Attributes:
        text: As given.

    Raises:
        ValueError: It is none; one line that says where.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._root = _Parser(text).whole()

    def names(self) -> Iterator[str]:
        """Yield the names of variables, functions and labels in it."""
        return (each.text for each in _below(self._root) if each.kind == "name")

    def registers(self) -> Iterator[str]:
        """Yield the registers in it."""
        return (each.text for each in _below(self._root) if each.kind == "register")

    def result(self, context: Context) -> Value | Number:
        """Return what it is: a variable or a part of one, or a number.

        Raises:
            ValueError: A name means nothing, or an operation is not one of what it is applied to.
            Unavailable: A value is not to be had.
        """
        return _evaluated(self._root, context)

    def number(self, context: Context) -> int:
        """Return the number that it is.

        Raises:
            ValueError, Unavailable: See `result`.
        """
        return _number_of(self.result(context)).value


class _Node(NamedTuple):
    kind: str  # name, register, number, prefix, binary, member, pointer member, index
    text: str
    parts: tuple[_Node, ...] = ()
    number: Number | None = None


def _below(node: _Node) -> Iterator[_Node]:
    yield node
    for each in node.parts:
        yield from _below(each)


class _Parser:
    """Reads one expression by recursive descent."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise ValueError(f"the expression has {len(text)} characters, more than {_LONGEST}")
        self._text = text
        self._position = self._depth = 0
        self._token: re.Match[str] | None = None
        self._advance()

    def whole(self) -> _Node:
        node = self._binary(0)
        if self._token is not None:
            raise self._error()
        return node

    def _advance(self) -> None:
        rest = self._text[self._position :]
        if not rest.strip():
            self._token = None
            return
        self._token = _TOKEN.match(self._text, self._position)
        if self._token is None:
            raise ValueError(f"{rest.strip()[:20]!r} cannot be evaluated in {self._text!r}")
        self._position = self._token.end()

    def _error(self) -> ValueError:
        found = "its end" if self._token is None else repr(self._token[0].strip())
        return ValueError(f"{found} is not expected in {self._text!r}")

    @property
    def _mark(self) -> str:
        return "" if self._token is None else self._token["mark"] or ""

    def _binary(self, level: int) -> _Node:
        if level == len(_LEVELS):
            return self._prefix()
        left = self._binary(level + 1)
        while (mark := self._mark) in _LEVELS[level]:
            self._advance()
            left = _Node("binary", mark, (left, self._binary(level + 1)))
        return left

    def _prefix(self) -> _Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"{self._text[:40]!r}... is nested too deeply")
        try:
            mark = self._mark
            if mark not in _PREFIXES:
                return self._postfix()
            self._advance()
            return _Node("prefix", mark, (self._prefix(),))
        finally:
            self._depth -= 1

    def _postfix(self) -> _Node:
        node = self._primary()
        while (mark := self._mark) in (".", "->", "["):
            self._advance()
            if mark == "[":
                node = _Node("index", mark, (node, self._binary(0)))
                self._expect("]")
                continue
            if self._token is None or not self._token["name"]:
                raise self._error()
            node = _Node("member" if mark == "." else "pointer member", self._token["name"], (node,))
            self._advance()
        return node

    def _primary(self) -> _Node:
        if self._mark == "(":
            self._advance()
            node = self._binary(0)
            self._expect(")")
            return node
        if self._token is None or self._mark:
            raise self._error()
        token = self._token
        self._advance()
        if token["name"]:
            return _Node("name", token["name"])
        if token["register"]:
            return _Node("register", token["register"].lower())
        if token["number"]:
            return _Node("number", token["number"], number=_literal(token["number"]))
        return _Node("number", token[0], number=Number(_character(token["character"])))

    def _expect(self, mark: str) -> None:
        if self._mark != mark:
            raise self._error()
        self._advance()


def _literal(digits: str) -> Number:
    """Return a constant: of the first type of C that holds it."""
    is_decimal = digits[:2].lower() != "0x"
    value = int(digits, 10 if is_decimal else 16)
    if value <= _INT_MAX:
        return Number(value)
    if value <= WORD_MAX and not is_decimal:
        return Number(value, is_signed=False)
    if value >> 64:
        raise ValueError(f"{digits} is no number of 64 bits")
    return Number(value, 8, is_signed=not value >> 63)


def _character(text: str) -> int:
    if text[0] == "\\":
        if text[1] not in _ESCAPES:
            raise ValueError(f"'{text}' is no character")
        return _ESCAPES[text[1]]
    return ord(text)


# Evaluation.


def _evaluated(node: _Node, context: Context) -> Value | Number:  # noqa: PLR0911 - one for each kind
    match node.kind:
        case "name":
            return _named(node.text, context)
        case "register":
            return Number(context.register(node.text), is_signed=False)
        case "prefix":
            return _prefixed(node, context)
        case "binary":
            return _combined(node, context)
        case "member":
            return _value(node.parts[0], context).member(node.text)
        case "pointer member":
            return _value(node.parts[0], context).target.member(node.text)
        case "index":
            index = _number_of(_evaluated(node.parts[1], context)).value
            return _value(node.parts[0], context).element(index)
    assert node.number is not None  # noqa: S101 - a constant
    return node.number


def _named(name: str, context: Context) -> Value | Number:
    value = context.variable(name)
    if value is not None:
        return value
    address = context.function(name)
    if address is not None:
        return Number(address, is_signed=False)
    if context.label(name) is not None:
        raise ValueError(f"{name} has no type in the debug information; &{name} is its address")
    raise ValueError(f"there is no variable {name!r} here")


def _value(node: _Node, context: Context) -> Value:
    result = _evaluated(node, context)
    if isinstance(result, Number):
        raise ValueError(f"{_written(node)} is a number, which has no parts")  # noqa: TRY004 - of the expression, not of Python
    return result


def _written(node: _Node) -> str:
    return f"${node.text}" if node.kind == "register" else node.text


def _prefixed(node: _Node, context: Context) -> Value | Number:
    operand = node.parts[0]
    if node.text == "&":
        return _address(operand, context)
    if node.text == "*":
        return _value(operand, context).target
    number = _number_of(_evaluated(operand, context))
    if node.text == "!":
        return Number(int(not number.value))
    return _wrapped(_UNARY[node.text](number.value), number.size, is_signed=number.is_signed)


def _address(operand: _Node, context: Context) -> Number:
    if operand.kind == "name" and context.variable(operand.text) is None:
        function, label = context.function(operand.text), context.label(operand.text)
        found = label if function is None else function
        if found is None:
            raise ValueError(f"there is no variable {operand.text!r} here")
        return Number(found, is_signed=False)
    address = _value(operand, context).address
    if address is None:
        raise Unavailable(f"{operand.text} has no address")
    return Number(address, is_signed=False)


def _combined(node: _Node, context: Context) -> Value | Number:
    if node.text in ("&&", "||"):
        first = bool(_number_of(_evaluated(node.parts[0], context)).value)
        if first == (node.text == "||"):
            return Number(int(first))
        return Number(int(bool(_number_of(_evaluated(node.parts[1], context)).value)))
    left, right = (_evaluated(each, context) for each in node.parts)
    if node.text in ("+", "-") and isinstance(left, Value) and left.type.kind in (Kind.POINTER, Kind.ARRAY):
        return _moved(left, node.text, right)
    return _calculated(node.text, _number_of(left), _number_of(right))


def _moved(pointer: Value, mark: str, by: Value | Number) -> Value | Number:
    """Return a pointer plus or minus a number of what it points to, or the difference of two pointers."""
    size = (pointer.type.element if pointer.type.kind is Kind.ARRAY else pointer.type.target).size
    if not size:
        raise ValueError(f"the size of what {pointer.type.name} points to is not known")
    if isinstance(by, Value) and by.type.kind in (Kind.POINTER, Kind.ARRAY):
        if mark == "+":
            raise ValueError("two pointers have no sum")
        return _wrapped((pointer.number - by.number) // size, WORD_SIZE, is_signed=True)
    distance = size * _number_of(by).value * (1 if mark == "+" else -1)
    if pointer.type.kind is Kind.ARRAY:
        return Number(pointer.number + distance & WORD_MAX, is_signed=False)
    return pointer.moved_to(Known((pointer.number + distance & WORD_MAX).to_bytes(WORD_SIZE, "little")))


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


def _calculated(mark: str, left: Number, right: Number) -> Number:
    if mark in _SHIFTS:
        if not 0 <= right.value < left.size * _BITS:
            raise ValueError(f"a shift by {right.value} bits")
        return _wrapped(_SHIFTS[mark](left.value, right.value), left.size, is_signed=left.is_signed)
    size = max(left.size, right.size)
    is_signed = all(each.is_signed or each.size < size for each in (left, right))
    numbers = (_wrapped(each.value, size, is_signed=is_signed).value for each in (left, right))
    first, second = numbers
    if mark in _COMPARISONS:
        return Number(int(_COMPARISONS[mark](first, second)))
    if mark in ("/", "%") and not second:
        raise ValueError("a division by zero")
    return _wrapped(_ARITHMETIC[mark](first, second), size, is_signed=is_signed)


def _wrapped(value: int, size: int, *, is_signed: bool) -> Number:
    value &= (1 << size * _BITS) - 1
    if is_signed and value >> size * _BITS - 1:
        value -= 1 << size * _BITS
    return Number(value, size, is_signed)


def _number_of(result: Value | Number) -> Number:
    """Return what a result counts as in a computation: types smaller than int are that."""
    if isinstance(result, Number):
        return result
    value = result.number
    size = result.type.size or WORD_SIZE
    if result.type.kind is Kind.ARRAY:
        size = WORD_SIZE
    width = size * _BITS if result.bits is None else result.bits[1]
    if width < WORD_SIZE * _BITS:
        return Number(value)
    return Number(value, max(size, WORD_SIZE), result.type.is_signed and result.type.kind is not Kind.POINTER)
