"""Small changes of C source, each of which a good suite of tests ought to notice.

The kernels' style is counted on: clang-format's, with blanks on both sides of binary operators and function bodies
between braces in the first column. What is no valid C is left to the compiler to refuse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_MASKED: Final = re.compile(
    r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'"""
    r"""|^\#(?!define)[^\n]*|_Static_assert\(.*?\);|^\#define\s+\w+""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_BINARY: Final = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "&&": ("||",),
    "||": ("&&",),
    "+": ("-",),
    "-": ("+",),
    "*": ("+",),
    "/": ("*",),
    "%": ("/",),
    "<<": (">>",),
    ">>": ("<<",),
    "&": ("|",),
    "|": ("&",),
    "^": ("&",),
    "+=": ("-=", "="),
    "-=": ("+=", "="),
    "*=": ("=",),
    "/=": ("=",),
    "%=": ("=",),
    "|=": ("&=",),
    "&=": ("|=",),
}
_BINARY_TOKEN: Final = re.compile(
    r"(?<=\s)(" + "|".join(re.escape(each) for each in sorted(_BINARY, key=len, reverse=True)) + r")(?=\s)"
)
_UNARY: Final = {"++": "--", "--": "++", "!": "", "~": ""}
_UNARY_TOKEN: Final = re.compile(r"\+\+|--|!(?!=)|~")
_WORDS: Final = {
    "true": "false",
    "false": "true",
    "E_OK": "E_PAR",
    "ALL_USED": "ALL_FREE",
    "ALL_FREE": "ALL_USED",
    "critical_enter()": "cpu_flags()",
}
_WORD_TOKEN: Final = re.compile(r"\b(?:true|false|E_[A-Z]+|ALL_USED|ALL_FREE)\b|\bcritical_enter\(\)")
_LOCK: Final = re.compile(r"\bspin_lock_irqsave\(&\w+\)")
_NUMBER: Final = re.compile(r"(?<![\w.])(0[xX][0-9a-fA-F]+|\d+)([uU]?)\b")
_BODY: Final = re.compile(r"^\{$.*?^\}$", re.DOTALL | re.MULTILINE)
_STATEMENT: Final = re.compile(
    r"^ +(?!return|else|case|default|static|const|struct|for|while|if|do\b|switch)([^;{}\s][^;{}]*;)$",
    re.MULTILINE,
)
_DECLARATION: Final = re.compile(r"\w+\s+\**\w+\s*(?:=|;|\[)")
_NESTED_RETURN: Final = re.compile(r"^ {8,}(return[^;{}]*;)$", re.MULTILINE)
_RETURN: Final = re.compile(r"\breturn ([^;{}]+);")
_MEMBER: Final = re.compile(r"(?<=[{,\s])(\.\w+ = [^,{}]+)(?=[,}])")
_CONDITION: Final = re.compile(r"\b(?:if|while) (?=\()")
_TWO_ARGUMENTS: Final = re.compile(r"\b\w+\(([^(),;]+), ([^(),;]+)\)")


class Mutant(NamedTuple):
    """One change of a source text.

    Attributes:
        start: Offset of the text that is replaced.
        end: After it.
        new: What stands there instead.
    """

    start: int
    end: int
    new: str

    def applied(self, source: str) -> str:
        """Return the text with the change."""
        return source[: self.start] + self.new + source[self.end :]

    def line(self, source: str) -> int:
        """Return the number of the line that changes, from 1."""
        return source.count("\n", 0, self.start) + 1

    def what(self, source: str) -> str:
        """Return what changes, as one line."""
        old = " ".join(source[self.start : self.end].split())
        return f"{old or 'nothing'}  ->  {' '.join(self.new.split()) or 'nothing'}"


def mutants(source: str) -> list[Mutant]:
    """Return all changes of a C source, in the order of their positions."""
    text = _MASKED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), source)
    found = [*_of_tokens(text), *_of_conditions(text, source)]
    for body in _BODY.finditer(text):
        found += _of_statements(text, source, body.start(), body.end())
    return sorted(set(found))


def _of_tokens(text: str) -> Iterator[Mutant]:
    for match in _BINARY_TOKEN.finditer(text):
        yield from (Mutant(match.start(), match.end(), new) for new in _BINARY[match[0]])
    for match in _UNARY_TOKEN.finditer(text):
        yield Mutant(match.start(), match.end(), _UNARY[match[0]])
    for match in _WORD_TOKEN.finditer(text):
        yield Mutant(match.start(), match.end(), _WORDS.get(match[0], "E_OK"))
    for match in _LOCK.finditer(text):
        yield Mutant(match.start(), match.end(), "cpu_flags()")
    for match in _NUMBER.finditer(text):
        value = int(match[1], 0)
        for number in {value + 1, abs(value - 1)}:
            new = f"{number:#x}u" if value > 9 else f"{number}{match[2]}"
            yield Mutant(match.start(), match.end(), new)


def _of_conditions(text: str, source: str) -> Iterator[Mutant]:
    for match in _CONDITION.finditer(text):
        end = _closing(text, match.end())
        yield Mutant(match.end(), end, f"(!{source[match.end() : end]})")


def _closing(text: str, start: int) -> int:
    """Return where the parenthesis that opens at *start* has closed."""
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if not depth:
            return index + 1
    raise ValueError(f"no ')' for the '(' at offset {start}")


def _of_statements(text: str, source: str, start: int, end: int) -> Iterator[Mutant]:
    """Yield the changes of statements in a function's body."""
    for match in _STATEMENT.finditer(text, start, end):
        if not _DECLARATION.match(match[1]):
            yield Mutant(match.start(1), match.end(1), ";")
    for match in _NESTED_RETURN.finditer(text, start, end):
        yield Mutant(match.start(1), match.end(1), ";")
    for match in _RETURN.finditer(text, start, end):
        yield Mutant(match.start(1), match.end(1), "0")
    for match in _MEMBER.finditer(text, start, end):
        yield Mutant(match.start(1), match.end(1), "")
    for match in _TWO_ARGUMENTS.finditer(text, start, end):
        first, second = (source[match.start(group) : match.end(group)] for group in (1, 2))
        yield Mutant(match.start(1), match.end(2), f"{second}, {first}")
