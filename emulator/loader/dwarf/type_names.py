"""Write types as C does, from DWARF.

Source: DWARF 5, section 5 (types).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emulator.loader.dwarf.entries import Entry
    from emulator.loader.dwarf.units import Units

_DEPTH_MAX: Final = 32
_POINTERS: Final = {
    "DW_TAG_pointer_type": "*",
    "DW_TAG_reference_type": "&",
    "DW_TAG_rvalue_reference_type": "&&",
}
_QUALIFIERS: Final = {
    "DW_TAG_const_type": "const ",
    "DW_TAG_volatile_type": "volatile ",
    "DW_TAG_restrict_type": "",
    "DW_TAG_atomic_type": "",
}
_TAGGED: Final = {
    "DW_TAG_structure_type": "struct ",
    "DW_TAG_union_type": "union ",
    "DW_TAG_enumeration_type": "enum ",
    "DW_TAG_class_type": "",
}
_C: Final = frozenset((0x01, 0x02, 0x0C, 0x1D, 0x2C, 0x3E))  # DW_LANG_C89, C, C99, C11, C17, C23
_TYPE: Final = "DW_AT_type"


class TypeNames:
    """Writes the types of one file.

    Args:
        units: Of the file.
    """

    def __init__(self, units: Units) -> None:
        self._units = units

    def of(self, entry: Entry, *, plain: bool = False) -> str:
        """Return the type that an entry names, ``struct page *``; ``void`` where it names none.

        Args:
            entry: Of a parameter, a function or a variable.
            plain: Write what typedefs stand for, and no ``const`` or ``volatile``.

        Raises:
            Exception: One of `DAMAGE`.
        """
        return self._of(entry, plain=plain, depth=0)

    def _of(self, entry: Entry, *, plain: bool, depth: int) -> str:
        if _TYPE not in entry.attributes:
            return "void"
        if depth > _DEPTH_MAX:
            raise ValueError("a type of itself")
        named = entry.referred(_TYPE)
        return self._named(named, plain=plain, depth=depth + 1)

    def _named(self, named: Entry, *, plain: bool, depth: int) -> str:
        tag = named.tag
        if tag in _QUALIFIERS:
            return self._qualified(named, _QUALIFIERS[tag], plain=plain, depth=depth)
        if tag in _POINTERS:
            return self._pointer(named, _POINTERS[tag], plain=plain, depth=depth)
        if tag == "DW_TAG_array_type":
            return f"{self._of(named, plain=plain, depth=depth)}[]"
        if tag == "DW_TAG_subroutine_type":
            return self._function(named, "", plain=plain, depth=depth)
        if tag == "DW_TAG_typedef" and plain:
            return self._of(named, plain=True, depth=depth)
        if "DW_AT_signature" in named.attributes:
            raise ValueError("the type is in a unit of its own")
        tagged = _TAGGED.get(tag, "")
        return f"{tagged if tagged and is_c(named) else ''}{text_of(named) or '(unnamed)'}"

    def _qualified(self, entry: Entry, qualifier: str, *, plain: bool, depth: int) -> str:
        inner = self._of(entry, plain=plain, depth=depth)
        if plain:
            return inner
        return f"{inner}{qualifier.strip()}" if inner.endswith("*") else f"{qualifier}{inner}"

    def _pointer(self, entry: Entry, mark: str, *, plain: bool, depth: int) -> str:
        if _TYPE in entry.attributes:
            target = entry.referred(_TYPE)
            if target.tag == "DW_TAG_subroutine_type":
                return self._function(target, f" ({mark})", plain=plain, depth=depth)
        inner = self._of(entry, plain=plain, depth=depth)
        return f"{inner}{'' if inner.endswith(('*', '&')) else ' '}{mark}"

    def _function(self, entry: Entry, declarator: str, *, plain: bool, depth: int) -> str:
        parameters = [
            self._of(each, plain=plain, depth=depth)
            for each in self._units.children(entry)
            if each.tag == "DW_TAG_formal_parameter"
        ]
        return f"{self._of(entry, plain=plain, depth=depth)}{declarator}({', '.join(parameters) or 'void'})"


def text_of(entry: Entry, attribute: str = "DW_AT_name") -> str:
    """Return a text of an entry; "" where it has none."""
    value = entry.attributes.get(attribute)
    return (
        value.value.decode("utf-8", "replace") if value is not None and isinstance(value.value, bytes) else ""
    )


def number_of(entry: Entry, attribute: str) -> int:
    """Return a number of an entry; 0 where it has none."""
    value = entry.attributes.get(attribute)
    return value.value if value is not None and isinstance(value.value, int) else 0


def is_c(entry: Entry) -> bool:
    """Return whether an entry is of a unit in C, where names of structs stand behind ``struct``."""
    language = entry.unit.top.attributes.get("DW_AT_language")
    return language is None or language.value in _C
