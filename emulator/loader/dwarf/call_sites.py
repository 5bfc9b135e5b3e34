"""Calls as DWARF describes them: what is called, and what is passed, in terms of what the caller still has after the call.

Source: DWARF 5, section 3.4; GCC writes the same in DWARF 4 with names of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.loader.dwarf.type_names import text_of
from emulator.loader.dwarf.units import declarations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.entries import Entry
    from emulator.loader.dwarf.units import Units

_SITES: Final = ("DW_TAG_call_site", "DW_TAG_GNU_call_site")
_PARAMETERS: Final = ("DW_TAG_call_site_parameter", "DW_TAG_GNU_call_site_parameter")
_VALUES: Final = ("DW_AT_call_value", "DW_AT_GNU_call_site_value")
_TARGETS: Final = ("DW_AT_call_target", "DW_AT_GNU_call_site_target")
_TAIL_CALLS: Final = ("DW_AT_call_tail_call", "DW_AT_GNU_tail_call")
_ORIGINS: Final = ("DW_AT_call_origin", "DW_AT_abstract_origin")
_DECLARED: Final = ("DW_AT_call_parameter", "DW_AT_abstract_origin")
_RETURN: Final = ("DW_AT_call_return_pc", "DW_AT_low_pc")
_REGISTER: Final = 0x50  # DW_OP_reg0


class CallSite:
    """A call.

    Args:
        units: Of the file.
        entry: Of the call.

    Attributes:
        entry: See there.
    """

    def __init__(self, units: Units, entry: Entry) -> None:
        self._units = units
        self.entry = entry

    @property
    def target(self) -> Any | None:  # noqa: ANN401 - the bytes of an expression
        """The expression for the address that is called; None: the call names its function, or nothing is known of it."""
        return _first(self.entry, _TARGETS)

    @property
    def origin(self) -> Entry | None:
        """The function that is called, perhaps only its declaration; None: not known."""
        name = next((each for each in _ORIGINS if each in self.entry.attributes), None)
        return None if name is None else self.entry.referred(name)

    def calls(self, function: Entry) -> bool:
        """Return whether the call names a function."""
        return self.origin is not None and _is_same(self.origin, function)

    def value_of_register(self, number: int) -> Any | None:  # noqa: ANN401 - as above
        """Return the expression for what is passed in a register; None: not known."""
        for each in self._parameters():
            location = _first(each, ("DW_AT_location",))
            if (
                location is not None
                and not isinstance(location, int)
                and bytes(location) == bytes([_REGISTER + number])
            ):
                return _first(each, _VALUES)
        return None

    def value_of_parameter(self, offset: int) -> Any | None:  # noqa: ANN401 - as above
        """Return the expression for what is passed as the parameter whose entry is at an offset; None: not known."""
        for each in self._parameters():
            name = next((name for name in _DECLARED if name in each.attributes), None)
            if name is not None and each.referred(name).offset == offset:
                return _first(each, _VALUES)
        return None

    def _parameters(self) -> Iterator[Entry]:
        return (each for each in self._units.children(self.entry) if each.tag in _PARAMETERS)


class CallSites:
    """The calls of one file.

    Args:
        units: Of the file.
    """

    def __init__(self, units: Units) -> None:
        self._units = units

    def at(self, return_address: int) -> CallSite | None:
        """Return the call that goes on at a linked address; None: it is not described.

        Raises:
            Exception: One of `DAMAGE`.
        """
        function = self._units.function_around(return_address - 1)
        for each in () if function is None else self._below(function):
            if _first(each, _RETURN) == return_address:
                return CallSite(self._units, each)
        return None

    def keeps_its_parameters(self, function: Entry) -> bool:
        """Return whether a function that goes on was entered by the call that its return address comes from.

        It was not if it may have jumped to its own beginning, itself or through others: then it has other parameters by now.

        Raises:
            Exception: One of `DAMAGE`.
        """
        todo, seen = [function], set()
        while todo:
            entry = todo.pop()
            for site in self._below(entry):
                if not any(each in site.attributes for each in _TAIL_CALLS):
                    continue
                called = CallSite(self._units, site).origin
                if called is None or _is_same(called, function):
                    return False
                whole = self._definition(called)
                if whole is None:
                    return False
                if whole.offset not in seen:
                    seen.add(whole.offset)
                    todo.append(whole)
        return True

    def _definition(self, called: Entry) -> Entry | None:
        """Return the entry with the code of a function that is called; None: none is known."""
        for unit in self._units.naming([text_of(each) for each in declarations(called) if text_of(each)][:1]):
            for each in self._units.functions(unit).values():
                if _is_same(called, each):
                    return each
        return None

    def _below(self, entry: Entry) -> Iterator[Entry]:
        """Yield the entries of the calls in a function."""
        for child in self._units.children(entry):
            if child.tag in _SITES:
                yield child
            elif child.has_children:
                yield from self._below(child)


def _is_same(called: Entry, function: Entry) -> bool:
    """Return whether what a call names is a function, or its declaration elsewhere."""
    mine = {each.offset for each in declarations(function)}
    if any(each.offset in mine for each in declarations(called)):
        return True
    is_elsewhere = any("DW_AT_declaration" in each.attributes for each in declarations(called))
    is_external = any("DW_AT_external" in each.attributes for each in declarations(function))
    return is_elsewhere and is_external and _name(called) == _name(function) != ""


def _name(function: Entry) -> str:
    names = (
        text_of(each, name)
        for name in ("DW_AT_linkage_name", "DW_AT_name")
        for each in declarations(function)
    )
    return next(filter(None, names), "")


def _first(entry: Entry, names: tuple[str, ...]) -> Any | None:  # noqa: ANN401 - the value of an attribute
    return next((entry.attributes[name].value for name in names if name in entry.attributes), None)
