"""Local pointers that a line of a function declares, and what they point to, from DWARF.

`struct task *t = take(sizeof *t);` declares one, and calls a function in the same line. Damaged debug information is no error: nothing
is declared then.

Source: DWARF 5, sections 3.3 (functions) and 4.1 (variables).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.c_types import Struct
from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.type_names import TypeNames, number_of, text_of
from emulator.loader.dwarf.types import Types, behind_names
from emulator.loader.dwarf.units import declaring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.entries import Entry
    from emulator.loader.dwarf.units import Units

_BLOCK: Final = "DW_TAG_lexical_block"
_VARIABLE: Final = "DW_TAG_variable"
_POINTER: Final = "DW_TAG_pointer_type"


class DeclaredPointer(NamedTuple):
    """A local variable that points to a struct.

    Attributes:
        name: Of the variable.
        of: The struct's type as C writes it.
        struct: The struct.
    """

    name: str
    of: str
    struct: Struct


class DeclaredPointers:
    """The local pointers of one file.

    Args:
        units: Of the file.
    """

    def __init__(self, units: Units) -> None:
        self._units = units
        self._types = Types(units)
        self._names = TypeNames(units)

    def at(self, function: int, line: int) -> DeclaredPointer | None:
        """Return the pointer to a struct that is the only variable declared in a line of a function; None: there is none.

        Args:
            function: Linked address of the function's first instruction.
            line: Of the file in which the function is declared.
        """
        try:
            entry = self._units.function_at(function)
            if entry is None:
                return None
            file = _number(entry, "DW_AT_decl_file")
            found = [
                each
                for each in self._variables(entry)
                if (_number(each, "DW_AT_decl_file"), _number(each, "DW_AT_decl_line")) == (file, line)
            ]
            return self._pointer(found[0]) if len(found) == 1 else None
        except DAMAGE:
            return None

    def _variables(self, entry: Entry) -> Iterator[Entry]:
        for child in self._units.children(entry):
            if child.tag == _VARIABLE:
                yield child
            elif child.tag == _BLOCK:
                yield from self._variables(child)

    def _pointer(self, variable: Entry) -> DeclaredPointer | None:
        named, typed = declaring(variable, "DW_AT_name"), declaring(variable, "DW_AT_type")
        pointer = None if named is None or typed is None else behind_names(typed)
        if named is None or pointer is None or pointer.tag != _POINTER:
            return None
        target = behind_names(pointer)
        struct = None if target is None else self._types.defined_by(target)
        if not isinstance(struct, Struct) or not struct.size:
            return None
        return DeclaredPointer(text_of(named), self._names.of(pointer), struct)


def _number(entry: Entry, attribute: str) -> int:
    found = declaring(entry, attribute)
    return 0 if found is None else number_of(found, attribute)
