"""Expressions over variables and registers, as conditions of breakpoints and as what is watched: ``t->list.next->value == 3 && $eax != 0``.

choice     = or [ "?" choice ":" choice ]
or         = and { "||" and }               and     = bits { "&&" bits }
bits       = C's "|", "^", "&", "==", "!=", "<", "<=", ">", ">=", "<<", ">>", "+", "-", "*", "/", "%", as closely as C has them
prefix     = ( "*" | "&" | "-" | "+" | "~" | "!" | "sizeof" | "(" type ")" | "{" type "}" ) prefix | "sizeof" "(" type ")" | postfix
postfix    = primary { "." NAME | "->" NAME | "[" choice "]" }
primary    = NAME | "$" REGISTER | NUMBER | CHARACTER | "(" choice ")"
type       = [ "struct" | "union" | "enum" | "class" ] NAME { "*" } [ "[" NUMBER "]" ]

They are C's, without calls and assignments: what would change the machine cannot be written. Numbers are converted as C does it for i386; a function's
name is its address. From gdb there are ``{struct task} 0x10a000``, what lies at an address, ``*first@4``, an array of things that lie side by side, more loosely bound than "+",
and "." of pointers. Of floating-point numbers there is no arithmetic.
"""

from __future__ import annotations

import operator
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from emulator.debug.values import SCALARS, Value
from emulator.guest.storage import InMemory, Known, Unavailable
from emulator.loader.dwarf.made_types import BASE_WORDS, TAG_WORDS, TypeName
from emulator.loader.dwarf.value_types import Kind
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.debug.values import Memory
    from emulator.loader.dwarf.made_types import MadeTypes
    from emulator.loader.dwarf.units import Entry
    from emulator.loader.dwarf.value_types import ValueType

_LONGEST: Final = 1000  # characters
_DEEPEST: Final = 64  # parentheses, prefixes
_BITS: Final = 8
_INT_MAX: Final = 0x7FFF_FFFF
_DIGITS: Final = r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,22}"
_TOKEN: Final = re.compile(
    rf"\s*(?:(?P<number>{_DIGITS})(?P<suffix>[uUlL]{{0,3}})(?![\w.])|(?P<name>[A-Za-z_][\w]*)|\$(?P<register>\w+)"
    r"|'(?P<character>\\(?:x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)|[^\\])'"
    r"|(?P<mark>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>.()\[\]{}?:@]))"
)
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
_LEVELS: Final = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", "<=", ">", ">="),
    ("<<", ">>"),
    ("@",),
    ("+", "-"),
    ("*", "/", "%"),
)
"""Operators by how closely they bind, the loosest first."""
_PREFIXES: Final = ("*", "&", "-", "+", "~", "!")
_QUALIFIERS: Final = frozenset(("const", "volatile"))
_REPEATED_MAX: Final = 1 << 20  # elements


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

    @property
    def memory(self) -> Memory:
        """How values are read."""

    @property
    def types(self) -> MadeTypes:
        """The types of the kernel."""

    @property
    def unit(self) -> Entry | None:
        """The unit whose types are meant if there are several of a name; None: none in particular."""


class Expression:
    """An expression that has been read.

    Args:
        text: What it is written as.
        types: Those of the kernel: they say whether ``(u32) - 1`` is a difference.

    Attributes:
        text: As given.

    Raises:
        ValueError: It is none; one line that says where.
    """

    def __init__(self, text: str, types: MadeTypes) -> None:
        self.text = text
        self._root = _Parser(text, types).whole()

    def names(self) -> Iterator[str]:
        """Yield the names of variables, functions and labels in it."""
        return (each.text for each in _below(self._root) if each.kind == "name")

    def types(self) -> Iterator[TypeName]:
        """Yield the types in it."""
        return (each.type for each in _below(self._root) if each.type is not None)

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
    kind: str  # name, register, number, prefix, binary, choice, member, pointer member, index, cast, at, size of
    text: str
    parts: tuple[_Node, ...] = ()
    number: Number | None = None
    type: TypeName | None = None


def _below(node: _Node) -> Iterator[_Node]:
    yield node
    for each in node.parts:
        yield from _below(each)


class _Parser:
    """Reads one expression by recursive descent."""

    def __init__(self, text: str, types: MadeTypes) -> None:
        if len(text) > _LONGEST:
            raise ValueError(f"the expression has {len(text)} characters, more than {_LONGEST}")
        self._text = text
        self._types = types
        self._position = self._depth = 0
        self._token: re.Match[str] | None = None
        self._advance()

    def whole(self) -> _Node:
        node = self._choice()
        if self._token is not None:
            raise self._error()
        return node

    def _choice(self) -> _Node:
        with self._nested():
            condition = self._binary(0)
            if self._mark != "?":
                return condition
            self._advance()
            first = self._choice()
            self._expect(":")
            return _Node("choice", "?", (condition, first, self._choice()))

    @contextmanager
    def _nested(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"{self._text[:40]!r}... is nested too deeply")
        yield
        self._depth -= 1

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
        with self._nested():
            mark = self._mark
            if mark in _PREFIXES:
                self._advance()
                return _Node("prefix", mark, (self._prefix(),))
            if mark == "{":
                type_ = self._type_between("{", "}")
                return _Node("at", mark, (self._prefix(),), type=type_)
            if self._word == "sizeof":
                self._advance()
                if self._begins_type():
                    return _Node("size of", "sizeof", type=self._type_between("(", ")"))
                return _Node("size of", "sizeof", (self._prefix(),))
            if self._begins_type() and (cast := self._cast()) is not None:
                return cast
            return self._postfix()

    # Types.

    @property
    def _word(self) -> str:
        return "" if self._token is None else self._token["name"] or ""

    def _begins_type(self) -> bool:
        """Return whether a parenthesis is here, and what may be the name of a type in it."""
        if self._mark != "(":
            return False
        inner = _TOKEN.match(self._text, self._position)
        word = "" if inner is None else inner["name"] or ""
        return word in _TYPE_WORDS or (bool(word) and self._types.has(word))

    def _cast(self) -> _Node | None:
        """Read a cast; None, and nothing has been read: a variable in parentheses has the name of a type."""
        position, token = self._position, self._token
        type_ = self._type_between("(", ")")
        if self._mark not in _AFTER_VALUES:
            return _Node("cast", "(", (self._prefix(),), type=type_)
        self._position, self._token = position, token
        return None

    def _type_between(self, opening: str, closing: str) -> TypeName:
        self._expect(opening)
        words = []
        while self._word:
            words += [self._word] if self._word not in _QUALIFIERS else []
            self._advance()
        pointers = self._stars()
        length = self._length() if self._mark == "[" else None
        has_tag = bool(words) and words[0] in TAG_WORDS
        if len(words) != 1 + has_tag and not (words and BASE_WORDS.issuperset(words)):
            raise ValueError(f"{' '.join(words)!r} is no type in {self._text!r}")
        self._expect(closing)
        return TypeName(tuple(words), pointers, length)

    def _stars(self) -> int:
        count = 0
        while self._mark == "*" or self._word in _QUALIFIERS:
            count += self._mark == "*"
            self._advance()
        return count

    def _length(self) -> int:
        self._advance()
        if self._token is None or not self._token["number"]:
            raise self._error()
        count = _literal(self._token["number"], "").value
        if not 1 <= count <= _REPEATED_MAX:
            raise ValueError(f"an array of {count} elements")
        self._advance()
        self._expect("]")
        return count

    def _postfix(self) -> _Node:
        node = self._primary()
        while (mark := self._mark) in (".", "->", "["):
            self._advance()
            if mark == "[":
                node = _Node("index", mark, (node, self._choice()))
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
            node = self._choice()
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
            return _Node("number", token["number"], number=_literal(token["number"], token["suffix"]))
        return _Node("number", token[0], number=Number(_character(token["character"])))

    def _expect(self, mark: str) -> None:
        if self._mark != mark:
            raise self._error()
        self._advance()


def _literal(digits: str, suffix: str) -> Number:
    """Return a constant: of the first type of C that holds it."""
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


def _character(text: str) -> int:
    """Return the number that a character is: as a char of i386, which is signed."""
    if text[0] != "\\":
        return ord(text)
    if text[1] == "x" and text[2:]:
        return _wrapped(int(f"0{text[1:]}", 0), 1, is_signed=True).value
    if text[1].isdecimal():
        return _wrapped(int(text[1:], 8), 1, is_signed=True).value
    if text[1] not in _ESCAPES:
        raise ValueError(f"'{text}' is no character")
    return _ESCAPES[text[1]]


# Evaluation.


def _evaluated(node: _Node, context: Context) -> Value | Number:
    result = _found(node, context)
    return result.target if isinstance(result, Value) and result.type.is_reference else result


def _found(node: _Node, context: Context) -> Value | Number:  # noqa: C901, PLR0911 - one case for each kind
    match node.kind:
        case "name":
            return _named(node.text, context)
        case "register":
            return Number(context.register(node.text), is_signed=False)
        case "prefix":
            return _prefixed(node, context)
        case "binary":
            return _combined(node, context)
        case "choice":
            condition, first, second = node.parts
            return _evaluated(first if _number_of(_evaluated(condition, context)).value else second, context)
        case "cast":
            return _converted(_type(node, context), _evaluated(node.parts[0], context), context)
        case "at":
            address = _number_of(_evaluated(node.parts[0], context)).value & WORD_MAX
            return Value(context.memory, _type(node, context), InMemory(context.memory.read, address))
        case "size of":
            return _size_of(node, context)
        case "member":
            of = _value(node.parts[0], context)
            return (of.target if of.type.kind is Kind.POINTER else of).member(node.text)
        case "pointer member":
            return _value(node.parts[0], context).target.member(node.text)
        case "index":
            index = _number_of(_evaluated(node.parts[1], context)).value
            return _value(node.parts[0], context).element(index)
    assert node.number is not None  # noqa: S101 - a constant
    return node.number


def _type(node: _Node, context: Context) -> ValueType:
    assert node.type is not None  # noqa: S101 - of these nodes
    return context.types.named(node.type, context.unit)


def _converted(type_: ValueType, result: Value | Number, context: Context) -> Value:
    """Return a number as a value of a scalar type."""
    size = type_.size
    if type_.kind not in SCALARS or size is None:
        raise ValueError(f"nothing can be converted to {type_.name}")
    number = _number_of(result).value
    if type_.kind is Kind.BOOLEAN:
        number = int(number != 0)
    data = (number & (1 << size * _BITS) - 1).to_bytes(size, "little")
    return Value(context.memory, type_, Known(data))


def _size_of(node: _Node, context: Context) -> Number:
    if node.type is not None:
        of = _type(node, context)
    else:
        result = _evaluated(node.parts[0], context)
        if isinstance(result, Number):
            return Number(result.size, is_signed=False)
        if result.bits is not None:
            raise ValueError("a bit field has no size")
        of = result.type
    if of.size is None:
        raise ValueError(f"the size of {of.name} is not known")
    return Number(of.size, is_signed=False)


def _repeated(first: Value | Number, count: int, context: Context) -> Value:
    """Return an array of values that lie side by side, like the first one."""
    if isinstance(first, Number) or first.address is None:
        raise ValueError("only what lies in memory has others beside it")
    if not 1 <= count <= _REPEATED_MAX:
        raise ValueError(f"an array of {count} elements")
    type_ = context.types.array_of(first.type, count)
    return Value(context.memory, type_, first.storage, first.offset)


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


def _address(operand: _Node, context: Context) -> Value | Number:
    if operand.kind == "name" and context.variable(operand.text) is None:
        function, label = context.function(operand.text), context.label(operand.text)
        found = label if function is None else function
        if found is None:
            raise ValueError(f"there is no variable {operand.text!r} here")
        return Number(found, is_signed=False)
    value = _value(operand, context)
    if value.address is None:
        raise Unavailable(f"{operand.text} has no address")
    try:
        type_ = context.types.pointer_to(value.type)
    except ValueError:  # of a row of an array
        return Number(value.address, is_signed=False)
    return Value(context.memory, type_, Known(value.address.to_bytes(WORD_SIZE, "little")))


def _combined(node: _Node, context: Context) -> Value | Number:
    if node.text in ("&&", "||"):
        first = bool(_number_of(_evaluated(node.parts[0], context)).value)
        if first == (node.text == "||"):
            return Number(int(first))
        return Number(int(bool(_number_of(_evaluated(node.parts[1], context)).value)))
    left, right = (_evaluated(each, context) for each in node.parts)
    if node.text == "@":
        return _repeated(left, _number_of(right).value, context)
    if node.text == "+" and _is_pointer(right) and not _is_pointer(left):
        left, right = right, left
    if node.text in ("+", "-") and isinstance(left, Value) and _is_pointer(left):
        return _moved(left, node.text, right, context)
    return _calculated(node.text, _number_of(left), _number_of(right))


def _is_pointer(result: Value | Number) -> bool:
    return isinstance(result, Value) and result.type.kind in (Kind.POINTER, Kind.ARRAY)


def _moved(pointer: Value, mark: str, by: Value | Number, context: Context) -> Value | Number:
    """Return a pointer plus or minus a number of what it points to, or the difference of two pointers."""
    size = (pointer.type.element if pointer.type.kind is Kind.ARRAY else pointer.type.target).size
    if not size:
        raise ValueError(f"the size of what {pointer.type.name} points to is not known")
    if isinstance(by, Value) and _is_pointer(by):
        if mark == "+":
            raise ValueError("two pointers have no sum")
        return _wrapped((pointer.number - by.number) // size, WORD_SIZE, is_signed=True)
    distance = size * _number_of(by).value * (1 if mark == "+" else -1)
    moved = Known((pointer.number + distance & WORD_MAX).to_bytes(WORD_SIZE, "little"))
    if pointer.type.kind is Kind.POINTER:
        return pointer.moved_to(moved)
    try:
        return Value(context.memory, context.types.pointer_to(pointer.type.element), moved)
    except ValueError:  # of rows of an array
        return Number(pointer.number + distance & WORD_MAX, is_signed=False)


def _divided(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


_TYPE_WORDS: Final = BASE_WORDS | TAG_WORDS | _QUALIFIERS
_AFTER_VALUES: Final = frozenset(mark for level in _LEVELS for mark in level if mark not in _PREFIXES) | {
    *(")", "]", "}", "?", ":", ".", "->", "[")
}
"""Marks in front of which a name in parentheses is no type."""
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
