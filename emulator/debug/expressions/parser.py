"""Reads expressions by recursive descent."""

from __future__ import annotations

import re
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.debug.expressions.arithmetic import Number, character, literal
from emulator.loader.dwarf.made_types import BASE_WORDS, TAG_WORDS, TypeName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.made_types import MadeTypes

REPEATED_MAX: Final = 1 << 20
"""Elements of an array that an expression makes."""
_LONGEST: Final = 1000  # characters
_DEEPEST: Final = 64  # parentheses, prefixes
_DIMENSIONS_MAX: Final = 8
_DIGITS: Final = r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,22}"
_NAME: Final = r"[A-Za-z_]\w*"
_TOKEN: Final = re.compile(
    rf"\s*(?:(?P<number>{_DIGITS})(?P<suffix>[uUlL]{{0,3}})(?![\w.])|(?P<name>(?:::)?{_NAME}(?:::{_NAME})*)|\$(?P<register>\w+)"
    r"|'(?P<character>\\(?:x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)|[^\\])'"
    r"|(?P<mark>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>.()\[\]{}?:@]))"
)
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
_TYPE_WORDS: Final = BASE_WORDS | TAG_WORDS | _QUALIFIERS
_AFTER_VALUES: Final = frozenset(mark for level in _LEVELS for mark in level if mark not in _PREFIXES) | {
    *(")", "]", "}", "?", ":", ".", "->", "[")
}
"""Marks in front of which a name in parentheses is no type."""


class Node(NamedTuple):
    """A part of an expression.

    Attributes:
        kind: ``name``, ``register``, ``number``, ``prefix``, ``binary``, ``choice``, ``member``, ``pointer member``, ``index``, ``cast``, ``at`` or ``size of``.
        text: The name, the register, the member, or the mark.
        parts: What it is applied to.
        number: Of a constant.
        type: Of a cast, and what is like one.
    """

    kind: str
    text: str
    parts: tuple[Node, ...] = ()
    number: Number | None = None
    type: TypeName | None = None


def below(node: Node) -> Iterator[Node]:
    """Yield a part and all parts of it."""
    yield node
    for each in node.parts:
        yield from below(each)


class Parser:
    """Reads one expression.

    Args:
        text: What it is written as.
        types: Those of the kernel.

    Raises:
        ValueError: It is too long, or begins with nothing that is known.
    """

    def __init__(self, text: str, types: MadeTypes) -> None:
        if len(text) > _LONGEST:
            raise ValueError(f"the expression has {len(text)} characters, more than {_LONGEST}")
        self._text = text
        self._types = types
        self._position = self._depth = 0
        self._token: re.Match[str] | None = None
        self._advance()

    def whole(self) -> Node:
        """Return the expression.

        Raises:
            ValueError: It is none; one line that says where.
        """
        node = self._choice()
        if self._token is not None:
            raise self._error()
        return node

    def _choice(self) -> Node:
        with self._nested():
            condition = self._binary(0)
            if self._mark != "?":
                return condition
            self._advance()
            first = self._choice()
            self._expect(":")
            return Node("choice", "?", (condition, first, self._choice()))

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

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._prefix()
        left = self._binary(level + 1)
        while (mark := self._mark) in _LEVELS[level]:
            self._advance()
            left = Node("binary", mark, (left, self._binary(level + 1)))
        return left

    def _prefix(self) -> Node:
        with self._nested():
            mark = self._mark
            if mark in _PREFIXES:
                self._advance()
                return Node("prefix", mark, (self._prefix(),))
            if mark == "{":
                type_ = self._type_between("{", "}")
                return Node("at", mark, (self._prefix(),), type=type_)
            if self._word == "sizeof":
                self._advance()
                if self._begins_type():
                    return Node("size of", "sizeof", type=self._type_between("(", ")"))
                return Node("size of", "sizeof", (self._prefix(),))
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

    def _cast(self) -> Node | None:
        """Read a cast; None, and nothing has been read: a variable in parentheses has the name of a type."""
        position, token = self._position, self._token
        type_ = self._type_between("(", ")")
        if self._mark not in _AFTER_VALUES:
            return Node("cast", "(", (self._prefix(),), type=type_)
        self._position, self._token = position, token
        return None

    def _type_between(self, opening: str, closing: str) -> TypeName:
        self._expect(opening)
        words = []
        while self._word:
            words += [self._word] if self._word not in _QUALIFIERS else []
            self._advance()
        pointers, around = self._stars(), 0
        if self._mark == "(":
            self._advance()
            around = self._stars()
            self._expect(")")
            if not around or self._mark != "[":
                raise self._error()
        lengths = self._lengths()
        has_tag = bool(words) and words[0] in TAG_WORDS
        if len(words) != 1 + has_tag and not (words and BASE_WORDS.issuperset(words)):
            raise ValueError(f"{' '.join(words)!r} is no type in {self._text!r}")
        self._expect(closing)
        return TypeName(tuple(words), pointers, lengths, around)

    def _stars(self) -> int:
        count = 0
        while self._mark == "*" or self._word in _QUALIFIERS:
            count += self._mark == "*"
            self._advance()
        return count

    def _lengths(self) -> tuple[int, ...]:
        lengths = []
        while self._mark == "[":
            lengths.append(self._length())
        if prod(lengths) > REPEATED_MAX or len(lengths) > _DIMENSIONS_MAX:
            raise ValueError(f"an array of {len(lengths)} dimensions with {prod(lengths)} elements")
        return tuple(lengths)

    def _length(self) -> int:
        self._advance()
        if self._token is None or not self._token["number"]:
            raise self._error()
        count = literal(self._token["number"], "").value
        if not 1 <= count <= REPEATED_MAX:
            raise ValueError(f"an array of {count} elements")
        self._advance()
        self._expect("]")
        return count

    def _postfix(self) -> Node:
        node = self._primary()
        while (mark := self._mark) in (".", "->", "["):
            self._advance()
            if mark == "[":
                node = Node("index", mark, (node, self._choice()))
                self._expect("]")
                continue
            if self._token is None or not self._token["name"]:
                raise self._error()
            node = Node("member" if mark == "." else "pointer member", self._token["name"], (node,))
            self._advance()
        return node

    def _primary(self) -> Node:
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
            return Node("name", token["name"])
        if token["register"]:
            return Node("register", token["register"].lower())
        if token["number"]:
            return Node("number", token["number"], number=literal(token["number"], token["suffix"]))
        return Node("number", token[0], number=Number(character(token["character"])))

    def _expect(self, mark: str) -> None:
        if self._mark != mark:
            raise self._error()
        self._advance()
