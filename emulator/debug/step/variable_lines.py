"""The variables of one level of the backtrace, as lines of a tree of which parts are open."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.debug.variables import distinct_names
from emulator.loader.dwarf.value_types import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.debug.values import Value
    from emulator.debug.variables import Variable, Variables

    Path = tuple[str, ...]
    Opens = Callable[[Path, "Value | None"], bool]
    """Whether a line is open: by its path, and its value, None of a scope."""

ARGUMENTS, LOCALS, GLOBALS, FILE = "Arguments", "Locals", "Globals", "Globals of its file"
"""Scopes: the first part of each path."""

_PARTS_MAX: Final = 256  # of one variable
_GLOBALS_MAX: Final = 2000
_DEPTH_MAX: Final = 4  # of structures that are open from the start
_STRUCTURES: Final = (Kind.STRUCT, Kind.UNION, Kind.ARRAY)


class VariableLine(NamedTuple):
    """A line.

    Attributes:
        path: What leads to it: its scope, a variable, members and elements; () of a line that says how many more there are.
        text: The value; of a scope "".
        type: As C writes it; "": it has none.
        address: Linear, of the value; None: it does not lie in memory.
        is_open: Whether what it consists of follows; None: it consists of nothing.
    """

    path: Path
    text: str = ""
    type: str = ""
    address: int | None = None
    is_open: bool | None = None


def scopes_only(_path: Path, value: Value | None) -> bool:
    """Open nothing but scopes."""
    return value is None


def scopes_and_structures(path: Path, value: Value | None) -> bool:
    """Open structures and arrays as well, but not what pointers point to."""
    return value is None or (value.type.kind in _STRUCTURES and len(path) <= _DEPTH_MAX)


def variable_lines(
    variables: Variables, level: int, opens: Opens, *, all_globals: bool
) -> Iterator[VariableLine]:
    """Yield the lines of a level; a scope in which nothing is known has none.

    Args:
        variables: Of the machine as it stands.
        level: Of the backtrace.
        opens: Which lines are open.
        all_globals: Whether there is a scope for the global variables of all files; they are looked for when it is open.
    """
    known: tuple[tuple[str, Callable[[], Sequence[Variable]]], ...] = (
        (ARGUMENTS, lambda: variables.arguments(level)),
        (LOCALS, lambda: variables.locals_(level)),
        (FILE, lambda: variables.globals_of_file(level)),
    )
    for scope, found in known:
        these = found()
        if these:
            yield from _scope(variables, scope, these, opens)
    if all_globals:
        is_open = opens((GLOBALS,), None)
        yield from _scope(variables, GLOBALS, variables.globals_() if is_open else (), opens)


def _scope(
    variables: Variables, scope: str, found: Sequence[Variable], opens: Opens
) -> Iterator[VariableLine]:
    is_open = opens((scope,), None)
    yield VariableLine((scope,), is_open=is_open)
    if not is_open:
        return
    for each, name in islice(zip(found, distinct_names(found), strict=True), _GLOBALS_MAX):
        yield from _value(variables, (scope, name), each.value, opens)
    if len(found) > _GLOBALS_MAX:
        yield VariableLine((), f"and {len(found) - _GLOBALS_MAX:,} more")


def _value(variables: Variables, path: Path, value: Value, opens: Opens) -> Iterator[VariableLine]:
    is_open = opens(path, value) if value.is_expandable else None
    yield VariableLine(path, value.text(), value.type.name, _address(variables, value), is_open)
    if not is_open:
        return
    parts = (
        value.children(0, _PARTS_MAX)
        if value.type.kind is Kind.ARRAY
        else islice(value.children(), _PARTS_MAX)
    )
    for each in parts:
        yield from _value(variables, (*path, each.name or "(unnamed)"), each.value, opens)
    more = (value.type.count or 0) - _PARTS_MAX
    if more > 0:
        yield VariableLine((), f"and {more:,} more")


def _address(variables: Variables, value: Value) -> int | None:
    return None if value.address is None else variables.linear(value.address)
