"""Which variables an instruction can see: those of its function, of the functions that are inlined around it, and of the blocks it is in.

Source: DWARF 5, sections 3.3 (functions, 3.3.8: inlined ones), 3.5 (blocks) and 4.1 (variables and parameters).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.type_names import text_of
from emulator.loader.dwarf.units import FUNCTION, declarations, declaring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.entries import Entry, Unit
    from emulator.loader.dwarf.units import Units

_PARAMETER: Final = "DW_TAG_formal_parameter"
_VARIABLE: Final = "DW_TAG_variable"
_BLOCK: Final = "DW_TAG_lexical_block"
_INLINED: Final = "DW_TAG_inlined_subroutine"
_GLOBAL: Final = frozenset((_VARIABLE, FUNCTION))
_ORIGIN: Final = "DW_AT_abstract_origin"
_LOCATIONS: Final = frozenset(("DW_AT_location", "DW_AT_const_value"))


class Declared(NamedTuple):
    """A variable in a scope.

    Attributes:
        name: As in the source.
        typed: The entry that names its type.
        entry: The entry that says where it is; None: it has none, for the compiler has left the variable out.
    """

    name: str
    typed: Entry
    entry: Entry | None


class Scope(NamedTuple):
    """A function, or a copy of one that is inlined, with what is visible at an instruction in it.

    Attributes:
        entry: Of the function or the copy.
        block: Of the innermost block in it that the instruction is in; of the function or the copy itself where it is in none.
        parameters: In the order of their declarations.
        variables: Those of inner blocks first; of one name only the first can be named there.
    """

    entry: Entry
    block: Entry
    parameters: tuple[Declared, ...]
    variables: tuple[Declared, ...]


def scopes_at(units: Units, address: int) -> tuple[Scope, ...]:
    """Return the scopes that an instruction at a linked address is in, innermost first: the last one is the function itself.

    None where the file does not say.
    """
    try:
        function = units.function_around(address)
        return () if function is None else tuple(reversed(list(_scopes(units, function, address))))
    except DAMAGE:
        return ()


def global_variables(unit: Unit) -> Iterator[Declared]:
    """Yield the variables of a unit that are outside of functions and have a location, those in namespaces, too.

    Raises:
        Exception: One of `DAMAGE`.
    """
    for *around, entry in unit.walk(_GLOBAL):
        if entry.tag == _VARIABLE and not _LOCATIONS.isdisjoint(entry.attributes) and not around:
            yield from _declared(entry)


def _scopes(units: Units, entry: Entry, address: int) -> Iterator[Scope]:
    """Yield a function and the copies in it that an address is in, outermost first."""
    inner: Entry | None = entry
    while inner is not None:
        scope, inner = _scope(units, inner, address)
        yield scope


def _scope(units: Units, entry: Entry, address: int) -> tuple[Scope, Entry | None]:
    """Return one scope, and the inlined copy inside of it that an address is in."""
    parameters: list[Declared] = []
    blocks: list[list[Declared]] = []
    block: Entry | None = entry
    inlined: Entry | None = None
    innermost = entry
    while block is not None and inlined is None:
        here: list[Declared] = []
        innermost = block
        children, block = units.children(block), None
        for child in children:
            if child.tag == _PARAMETER:
                parameters += _declared(child)
            elif child.tag == _VARIABLE:
                here += _declared(child)
            elif child.tag in (_BLOCK, _INLINED) and any(address in piece for piece in child.code()):
                block, inlined = (child, inlined) if child.tag == _BLOCK else (block, child)
        blocks.append(here)
    lost_parameters, lost = _left_out(units, entry)
    own = tuple(each for here in reversed(blocks) for each in here)
    in_order = _in_order(units, entry, [*parameters, *lost_parameters])
    return Scope(entry, innermost, in_order, (*own, *lost)), inlined


def _left_out(units: Units, entry: Entry) -> tuple[list[Declared], list[Declared]]:
    """Return the parameters and variables of a copy's origin of which the copy has none."""
    if _ORIGIN not in entry.attributes:
        return [], []
    origin = entry.referred(_ORIGIN)
    kept = {child.referred(_ORIGIN).offset for child in _inside(units, entry) if _ORIGIN in child.attributes}
    lost: tuple[list[Declared], list[Declared]] = [], []
    for child in units.children(origin):
        if child.tag in (_PARAMETER, _VARIABLE) and child.offset not in kept and not _is_elsewhere(child):
            lost[child.tag == _VARIABLE].extend(each._replace(entry=None) for each in _declared(child))
    return lost


def _inside(units: Units, entry: Entry) -> Iterator[Entry]:
    """Yield the parameters and variables of a function, also those of its blocks."""
    for child in units.children(entry):
        if child.tag in (_PARAMETER, _VARIABLE):
            yield child
        elif child.tag == _BLOCK:
            yield from _inside(units, child)


def _in_order(units: Units, entry: Entry, parameters: list[Declared]) -> tuple[Declared, ...]:
    """Return parameters in the order of their declaration, which a copy may have changed."""
    if _ORIGIN not in entry.attributes:
        return tuple(parameters)
    origin = entry.referred(_ORIGIN)
    names = [text_of(each) for each in units.children(origin) if each.tag == _PARAMETER]
    known = {name: number for number, name in enumerate(names)}
    return tuple(sorted(parameters, key=lambda each: known.get(each.name, len(known))))


def _declared(entry: Entry) -> Iterator[Declared]:
    """Yield a variable, if it has a name and is defined here."""
    named, typed = declaring(entry, "DW_AT_name"), declaring(entry, "DW_AT_type")
    if named is not None and not _is_elsewhere(entry):
        yield Declared(text_of(named), typed or entry, entry)


def _is_elsewhere(entry: Entry) -> bool:
    """Return whether an entry only says that a variable is defined elsewhere, or that it is static and has its own entry."""
    return "DW_AT_location" not in entry.attributes and any(
        "DW_AT_declaration" in each.attributes for each in declarations(entry)
    )
