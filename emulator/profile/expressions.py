"""Words that a profile computes from a call: ``cache->object_size``, ``*pte >> 12``, ``(result - mem_map) / sizeof(page) * 4096``.

expression = and { "|" and }            and        = comparison { "&" comparison }
comparison = shift [ ("==" | "!=" | "<") shift ]
shift      = sum { ("<<" | ">>") sum }  sum        = product { ("+" | "-") product }
product    = prefix { ("*" | "/") prefix }
prefix     = "*" prefix | "&" NAME | postfix
postfix    = primary { ( "->" | "." ) NAME { "." NAME } | "[" expression "]" }
primary    = NAME | NUMBER | "sizeof" "(" NAME ")" | "(" expression ")"

All are unsigned words of 32 bits. A name is a parameter, a value computed before, ``result`` (EAX at the return) or a symbol of the kernel: a
variable of one word has its value, a larger one its address; ``&`` always gives the address. ``*e`` loads the word at an address,
``e[n]`` the n-th from there. ``->`` is the field of the structure that a parameter, the result or a variable points to, ``.`` that of a
variable; ``sizeof`` is the size of a structure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from emulator.loader.functions.locations import Computed, Operation
from emulator.wording import shortened
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULT: Final = "result"
DEPTH_MAX: Final = 16
"""Words that a computation may need at a time."""

_TOKEN = re.compile(r"\s*(?:(0[xX][0-9a-fA-F]+|\d+)|([A-Za-z_$][\w$]*)|(->|<<|>>|==|!=|[-+*/&|()<.\[\]]))")
_SIZEOF: Final = "sizeof"
_LONGEST: Final = 200  # characters
_DEEPEST: Final = 32  # parentheses and the like


class Number(NamedTuple):
    """A constant."""

    value: int


class Name(NamedTuple):
    """A parameter, the result or a symbol; with *is_address*, the symbol's address."""

    name: str
    is_address: bool = False


class Load(NamedTuple):
    """The word at an address."""

    address: Expression


class Field(NamedTuple):
    """A field, such as ``size`` or ``body.size``, of the structure that a name points to; with *is_inside*, of the variable itself."""

    base: str
    path: str
    is_inside: bool = False


class Size(NamedTuple):
    """The size of a structure, by its tag or typedef."""

    structure: str


class Binary(NamedTuple):
    """Two expressions with an operation between them."""

    operation: Operation
    left: Expression
    right: Expression


Expression: TypeAlias = Number | Name | Load | Field | Size | Binary

_LEVELS: Final = (
    {"|": Operation.OR},
    {"&": Operation.AND},
    {"==": Operation.EQUAL, "!=": Operation.DIFFERENT, "<": Operation.LESS},
    {"<<": Operation.SHIFT_LEFT, ">>": Operation.SHIFT_RIGHT},
    {"+": Operation.ADD, "-": Operation.SUBTRACT},
    {"*": Operation.MULTIPLY, "/": Operation.DIVIDE},
)
"""Operators by how closely they bind, the loosest first."""

_LOADS: Final = {1: Operation.LOAD8, 2: Operation.LOAD16, 4: Operation.LOAD32, 8: Operation.LOAD32}


class Variable(NamedTuple):
    """A symbol of data.

    Attributes:
        address: Its linear address.
        is_word: It is a variable of one word, of which the value is meant.
    """

    address: int
    is_word: bool


class Scope(Protocol):
    """What the names in an expression mean, of one function of one kernel."""

    def value(self, name: str) -> int | None:
        """Return the number of a parameter or of a value computed before; None: there is none of this name."""

    def variable(self, name: str) -> Variable | None:
        """Return a symbol of the kernel; None: it has none."""

    def field(self, base: str, path: str) -> tuple[int, int] | None:
        """Return offset and size of a field of the structure that a name is, or points to; None: that is not known."""

    def size(self, structure: str) -> int | None:
        """Return the size of a structure; None: that is not known."""


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ValueError: It is none; one line that says where.
    """
    return _Parser(text).whole()


def names_in(expression: Expression) -> Iterator[str]:
    """Yield the names that stand in an expression, fields left out."""
    match expression:
        case Name(name):
            yield name
        case Field(base):
            yield base
        case Load(address):
            yield from names_in(address)
        case Binary(_, left, right):
            yield from names_in(left)
            yield from names_in(right)


def compute(expression: Expression, scope: Scope) -> Computed:
    """Return the operations that compute an expression.

    Raises:
        ValueError: A name means nothing in the scope, or it needs more than `DEPTH_MAX` words.
    """
    operations = tuple(_operations(expression, scope))
    if _depth(operations) > DEPTH_MAX:
        raise ValueError(f"it needs more than {DEPTH_MAX} words at a time")
    return Computed(operations)


class _Parser:
    """Reads one expression from left to right.

    Args:
        text: The expression.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        expression = self._binary(0)
        if self._next():
            raise self._wrong()
        return expression

    def _split(self) -> list[str]:
        if len(self._text) > _LONGEST:
            raise ValueError(f"expression {shortened(self._text)} is longer than {_LONGEST} characters")
        tokens, position, text = [], 0, self._text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise ValueError(
                    f"expression {shortened(self._text)}: {shortened(text[position:].strip())} is not understood"
                )
            tokens.append(match[0].strip())
            position = match.end()
        return tokens

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, *expected: str) -> str:
        """Go on after the next token if it is an expected one; "": it is not."""
        token = self._next()
        if token not in expected:
            return ""
        self._at += 1
        return token

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise self._wrong()

    def _wrong(self) -> ValueError:
        where = f"at {shortened(self._next())}" if self._next() else "at its end"
        return ValueError(f"expression {shortened(self._text)} is not understood {where}")

    def _binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._prefix()
        operators = _LEVELS[level]
        left = self._binary(level + 1)
        while operator := self._take(*operators):
            left = Binary(operators[operator], left, self._binary(level + 1))
        return left

    def _prefix(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"expression {shortened(self._text)} is nested too deeply")
        if self._take("*"):
            expression: Expression = Load(self._prefix())
        elif self._take("&"):
            expression = Name(self._name(), is_address=True)
        else:
            expression = self._postfix()
        self._depth -= 1
        return expression

    def _postfix(self) -> Expression:
        expression = self._primary()
        while True:
            if arrow := self._take("->", "."):
                if not isinstance(expression, Name):
                    raise ValueError(
                        f"expression {shortened(self._text)}: {arrow} goes after a name only; elsewhere write *(e + offset)"
                    )
                expression = Field(expression.name, self._path(), is_inside=arrow == ".")
            elif self._take("["):
                offset = Binary(Operation.MULTIPLY, self._binary(0), Number(WORD_SIZE))
                expression = Load(Binary(Operation.ADD, expression, offset))
                self._need("]")
            else:
                return expression

    def _path(self) -> str:
        path = [self._name()]
        while self._take("."):
            path.append(self._name())
        return ".".join(path)

    def _primary(self) -> Expression:
        if self._take("("):
            expression = self._binary(0)
            self._need(")")
            return expression
        if self._next()[:1].isdigit():
            return Number(self._number())
        name = self._name()
        if name == _SIZEOF and self._take("("):
            structure = self._name()
            self._need(")")
            return Size(structure)
        return Name(name)

    def _number(self) -> int:
        token = self._tokens[self._at]
        value = int(token, 0) if token[:2].lower() == "0x" else int(token)
        if value > WORD_MAX:
            raise ValueError(f"expression {shortened(self._text)}: {token} is more than a word of 32 bits")
        self._at += 1
        return value

    def _name(self) -> str:
        token = self._next()
        if not (token[:1].isalpha() or token[:1] in ("_", "$")) or not token:
            raise self._wrong()
        self._at += 1
        return token


def _operations(expression: Expression, scope: Scope) -> Iterator[tuple[Operation, int]]:
    match expression:
        case Number(value):
            yield Operation.PUSH, value
        case Name():
            yield from _of_name(expression, scope)
        case Load(address):
            yield from _operations(address, scope)
            yield Operation.LOAD32, 0
        case Field():
            yield from _of_field(expression, scope)
        case Size(structure):
            size = scope.size(structure)
            if not size:
                raise ValueError(f"the kernel's debug information does not say how large {structure} is")
            yield Operation.PUSH, size
        case Binary(operation, left, right):
            yield from _operations(left, scope)
            yield from _operations(right, scope)
            yield operation, 0


def _of_name(name: Name, scope: Scope) -> Iterator[tuple[Operation, int]]:
    number = None if name.is_address else scope.value(name.name)
    if number is not None:
        yield Operation.VALUE, number
    elif name.name == RESULT and not name.is_address:
        yield Operation.RESULT, 0
    else:
        variable = scope.variable(name.name)
        if variable is None:
            raise ValueError(f"{name.name} is neither a parameter nor a variable of the kernel")
        yield Operation.PUSH, variable.address
        if variable.is_word and not name.is_address:
            yield Operation.LOAD32, 0


def _of_field(field: Field, scope: Scope) -> Iterator[tuple[Operation, int]]:
    base, path, is_inside = field
    shown = f"{base}{'.' if is_inside else '->'}{path}"
    found = scope.field(base, path)
    start = tuple(_of_name(Name(base, is_address=is_inside), scope))
    if found is None or found[1] not in _LOADS:
        raise ValueError(
            f"the kernel's debug information does not say where {shown} lies; its offset does: *({base} + 12)"
        )
    yield from (*start, (Operation.PUSH, found[0]), (Operation.ADD, 0), (_LOADS[found[1]], 0))


def _depth(operations: tuple[tuple[Operation, int], ...]) -> int:
    """Return how many words operations need at a time."""
    depth = deepest = 0
    for operation, _ in operations:
        if operation in (Operation.PUSH, Operation.VALUE, Operation.RESULT):
            depth += 1
        elif operation not in (Operation.LOAD8, Operation.LOAD16, Operation.LOAD32):
            depth -= 1
        deepest = max(deepest, depth)
    return deepest
