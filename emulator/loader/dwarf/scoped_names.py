"""Names with their scopes in C++ and Rust: ``sched::Queue``.

Source: DWARF 5, sections 3.2.2 (namespaces) and 5.7 (classes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from emulator.loader.dwarf.type_names import text_of
from emulator.loader.dwarf.units import declarations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.loader.dwarf.entries import Entry

SCOPE: Final = "::"
_SCOPES: Final = frozenset(
    f"DW_TAG_{each}"
    for each in ("namespace", "structure_type", "class_type", "union_type", "enumeration_type")
)

_Meant = TypeVar("_Meant")


def scoped_name(entry: Entry) -> str:
    """Return the name of a variable or a type with the scopes around its declaration; those without a name are left out.

    Raises:
        Exception: One of `DAMAGE`.
    """
    *_, declared = declarations(entry)  # that of a member is in its class
    parts = [text_of(declared)]
    around = declared.unit.parent(declared)
    while around is not None and around.tag in _SCOPES:
        parts += filter(None, [text_of(around)])
        around = around.unit.parent(around)
    return SCOPE.join(reversed(parts))


def meant(name: str, found: Mapping[str, _Meant]) -> _Meant | None:
    """Return what a name means whose outer scopes may be left out; None: nothing.

    Args:
        name: Such as ``sched::Queue``; with ``::`` in front of it, nothing is left out.
        found: By whole names.

    Raises:
        ValueError: It may mean several.
    """
    whole = name.removeprefix(SCOPE)
    if whole in found:
        return found[whole]
    ends = [each for each in found if each.endswith(f"{SCOPE}{name}")]
    if len(ends) > 1:
        raise ValueError(f"{name!r} may be each of {', '.join(sorted(ends))}")
    return found[ends[0]] if ends else None
