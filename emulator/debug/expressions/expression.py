"""An expression that has been read, and can be evaluated again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.debug.expressions.evaluation import evaluated, number_of
from emulator.debug.expressions.parser import Parser, below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.debug.expressions.arithmetic import Number
    from emulator.debug.expressions.evaluation import Context
    from emulator.debug.values import Value
    from emulator.loader.dwarf.made_types import MadeTypes, TypeName


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
        self._root = Parser(text, types).whole()

    def names(self) -> Iterator[str]:
        """Yield the names of variables, functions and labels in it."""
        return (each.text for each in below(self._root) if each.kind == "name")

    def types(self) -> Iterator[TypeName]:
        """Yield the types in it."""
        return (each.type for each in below(self._root) if each.type is not None)

    def registers(self) -> Iterator[str]:
        """Yield the registers in it."""
        return (each.text for each in below(self._root) if each.kind == "register")

    def result(self, context: Context) -> Value | Number:
        """Return what it is: a variable or a part of one, or a number.

        Raises:
            ValueError: A name means nothing, or an operation is not one of what it is applied to.
            Unavailable: A value is not to be had.
        """
        return evaluated(self._root, context)

    def number(self, context: Context) -> int:
        """Return the number that it is.

        Raises:
            ValueError, Unavailable: See `result`.
        """
        return number_of(self.result(context)).value
