"""Arrays and structs in the stack frames of functions, from DWARF.

Only those with one place for as long as their function goes on, counted from the CFA or EBP: where compilers count from ESP, they do not agree on
when. Damaged debug information is no error: nothing is known of the frame then.

Source: DWARF 5, sections 2.6 (locations), 3.3 (functions; 3.3.5: frame bases) and 4.1 (variables).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader
from emulator.loader.dwarf.c_types import Array, Struct
from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.type_names import text_of
from emulator.loader.dwarf.types import Types
from emulator.loader.dwarf.units import declaring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.entries import Entry
    from emulator.loader.dwarf.units import Units

_FBREG: Final = b"\x91"  # DW_OP_fbreg
_CFA: Final = b"\x9c"  # DW_OP_call_frame_cfa
_EBP: Final = (b"\x55", b"\x75\x00")  # DW_OP_reg5, DW_OP_breg5
_EBP_AT: Final = -8  # from the CFA, where a function keeps a frame pointer
_NESTED: Final = ("DW_TAG_lexical_block", "DW_TAG_inlined_subroutine")


class FrameVariable(NamedTuple):
    """An array or a struct in a function's frame.

    Attributes:
        name: As in the source.
        offset: From the CFA, which is the address after the function's return address, to its first byte.
        size: Bytes.
    """

    name: str
    offset: int
    size: int


class FrameVariables:
    """The variables of the functions of one file.

    Args:
        units: Of the file.
    """

    def __init__(self, units: Units) -> None:
        self._units = units
        self._types = Types(units)

    def of(self, function: int) -> list[FrameVariable]:
        """Return the arrays and structs of a function, also those of functions inside of it.

        Args:
            function: Linked address of its first instruction.
        """
        try:
            entry = self._units.function_at(function)
            base = None if entry is None else _base(_expression(entry, "DW_AT_frame_base"))
            return [] if entry is None or base is None else list(self._variables(entry, base))
        except DAMAGE:
            return []

    def _variables(self, entry: Entry, base: int) -> Iterator[FrameVariable]:
        for child in self._units.children(entry):
            if child.tag in _NESTED:
                yield from self._variables(child, base)
            elif child.tag == "DW_TAG_variable":
                location = _expression(child, "DW_AT_location")
                named, typed = declaring(child, "DW_AT_name"), declaring(child, "DW_AT_type")
                if location.startswith(_FBREG) and named is not None and typed is not None:
                    offset = ByteReader(location, len(_FBREG), len(location))
                    of = self._types.of(typed)
                    place = base + offset.sleb()
                    if offset.position == offset.end and isinstance(of, (Array, Struct)) and of.size:
                        yield FrameVariable(text_of(named), place, of.size)


def _base(expression: bytes) -> int | None:
    """Return where a frame base lies, from the CFA; None: it is not known."""
    if expression == _CFA:
        return 0
    return _EBP_AT if expression in _EBP else None


def _expression(entry: Entry, attribute: str) -> bytes:
    """Return the expression of a location; b"" where it has none, or a list of them."""
    found = entry.attributes.get(attribute)
    return b"" if found is None or isinstance(found.value, int) else bytes(found.value)
