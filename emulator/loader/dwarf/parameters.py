"""Find the parameters that a function gets in registers, from DWARF: by where they are at its first instruction.

Damaged debug information is no error: nothing is known then.

Source: DWARF 5, sections 2.6.2 (location lists), 3.3 (functions) and 4.1 (parameters); System V ABI for i386, table 2.14 (register numbers).
"""

from __future__ import annotations

import re
import struct
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.loader.dwarf.debug_info import damage, open_debug_info

if TYPE_CHECKING:
    from collections.abc import Iterator

_REGISTERS: Final = {0x50: "EAX", 0x51: "ECX", 0x52: "EDX"}
"""Those that regparm, fastcall and static functions use, by DW_OP_reg0 to DW_OP_reg2."""


class RegisterParameter(NamedTuple):
    """A parameter in a register.

    Attributes:
        number: Which one, from 0.
        register: Its register, in capitals.
    """

    number: int
    register: str


class Parameters:
    """The parameters of one file's functions.

    Args:
        data: The file.
    """

    def __init__(self, data: bytes) -> None:
        self._dwarf, self._info = open_debug_info(data)

    def in_register(self, function: int) -> RegisterParameter | None:
        """Return the first parameter that a function gets in a register; None: it gets none so, or the file does not say.

        Args:
            function: Linked address of its first instruction.
        """
        try:
            return next(self._in_registers(function), None)
        except damage():
            return None

    def _in_registers(self, function: int) -> Iterator[RegisterParameter]:
        for index, parameter in enumerate(self._parameters(function)):
            for start, expression in self._locations(parameter):
                if start == function and len(expression) == 1 and expression[0] in _REGISTERS:
                    yield RegisterParameter(index, _REGISTERS[expression[0]])

    def _parameters(self, function: int) -> list[Any]:
        """Return the entries of a function's parameters: the first of its children.

        Units are read entry by entry: damaged references from one to its sibling may lead back.
        """
        for match in re.finditer(re.escape(struct.pack("<I", function)), self._info):
            entries = self._dwarf.get_CU_containing(match.start()).iter_DIEs()
            for entry in entries:
                low = entry.attributes.get("DW_AT_low_pc")
                if entry.tag == "DW_TAG_subprogram" and low is not None and low.value == function:
                    return list(takewhile(lambda each: each.tag == "DW_TAG_formal_parameter", entries))
        return []

    def _locations(self, parameter: Any) -> Iterator[tuple[int, bytes]]:  # noqa: ANN401 - pyelftools has few types
        """Yield where each entry of a location list starts, and its expression.

        A single expression is none: compilers that do not follow variables write one also where it holds later only.
        """
        from elftools.dwarf.locationlists import BaseAddressEntry, LocationEntry, LocationParser

        unit, lists = parameter.cu, self._dwarf.location_lists()
        location = parameter.attributes.get("DW_AT_location")
        if lists is None or location is None:
            return
        found = LocationParser(lists).parse_from_attribute(location, unit["version"], die=parameter)
        if not isinstance(found, list):
            return
        base = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        start = 0 if base is None else base.value
        for entry in found:
            if isinstance(entry, BaseAddressEntry):
                start = entry.base_address
            elif isinstance(entry, LocationEntry):
                yield entry.begin_offset + (0 if entry.is_absolute else start), bytes(entry.loc_expr)
