"""Prototypes of a kernel's functions, and the structures and variables that they are about, from DWARF.

Damaged debug information is no error: nothing is known then. A unit is read when one of its functions is asked for.

Source: DWARF 5, sections 3.3 (functions), 4.1 (parameters) and 5.7 (structures).
"""

from __future__ import annotations

import os.path
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.type_names import TypeNames, number_of, text_of
from emulator.loader.dwarf.units import declarations, declaring

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.loader.dwarf.c_types import CType
    from emulator.loader.dwarf.entries import Entry
    from emulator.loader.dwarf.types import Types
    from emulator.loader.dwarf.units import Units
    from emulator.loader.dwarf.variables import Variables
    from emulator.loader.image import KernelImage

_PARAMETER = "DW_TAG_formal_parameter"
_POINTER = "DW_TAG_pointer_type"
_NAMED = ("DW_TAG_structure_type", "DW_TAG_union_type", "DW_TAG_class_type", "DW_TAG_typedef")
_TYPE = "DW_AT_type"
_ASSEMBLER = 0x8001  # DW_LANG_Mips_Assembler: it knows no parameters


class Parameter(NamedTuple):
    """A parameter of a declaration.

    Attributes:
        name: "" where it has none.
        type: As declared: ``size_t``, ``const struct page *``.
        plain_type: What its typedefs stand for, without ``const`` and ``volatile``: ``unsigned int``, ``struct page *``.
    """

    name: str
    type: str
    plain_type: str


class Prototype(NamedTuple):
    """The declaration of a function; of a clone, that of the function it was made from.

    Attributes:
        name: Without namespaces and classes.
        result: As declared: ``void``, ``char *``.
        plain_result: As `Parameter.plain_type`.
        parameters: All of them; ``this`` of a C++ member is the first.
        is_external: Other files can call it.
        file: The source file that was compiled, without its directory.
    """

    name: str
    result: str
    plain_result: str
    parameters: tuple[Parameter, ...]
    is_external: bool
    file: str


class Field(NamedTuple):
    """A field of a structure.

    Attributes:
        offset: Bytes from the start of the structure.
        size: Bytes.
    """

    offset: int
    size: int


class Variable(NamedTuple):
    """A variable with a fixed address.

    Attributes:
        type: As `Parameter.type`.
        size: Bytes.
        is_pointer: Its value is an address.
        element_size: Bytes of what it points to, or of an array's element; 0: it is no array and no pointer, or the file does not say.
    """

    type: str
    size: int
    is_pointer: bool
    element_size: int


def prototype(image: KernelImage, address: int) -> Prototype | None:
    """Return the prototype of the function whose first instruction has a linked address; None where the file does not say."""
    return image.declarations.prototype(address)


def all_prototypes(image: KernelImage) -> Mapping[int, Prototype]:
    """Return the prototypes of all functions by the linked address of their first instruction. This reads all units."""
    return image.declarations.all_prototypes()


def field_of(image: KernelImage, address: int, parameter: int, path: str) -> Field | None:
    """Return a field of the structure that a parameter points to; None where the file does not say.

    Args:
        image: Of the kernel.
        address: Linked, of the function's first instruction.
        parameter: Which one of the declaration, from 0.
        path: Names of fields, from the outer to the inner one: ``object_size``, ``info.order``.
    """
    return image.declarations.field_of(address, parameter, path)


def field_of_result(image: KernelImage, address: int, path: str) -> Field | None:
    """Return a field of the structure that a function returns a pointer to; see `field_of`."""
    return image.declarations.field_of_result(address, path)


def field_of_variable(image: KernelImage, name: str, path: str) -> Field | None:
    """Return a field of the structure that a variable is, or points to; see `field_of`.

    Raises:
        BadImage: The symbol table is damaged.
    """
    symbol = image.symbol(name)
    return None if symbol is None else image.declarations.field_of_variable(symbol.address, path)


def structure_size(image: KernelImage, address: int, structure: str) -> int | None:
    """Return the size of a structure, by its tag or typedef, in the source file of a function; None where the file does not say."""
    return image.declarations.structure_size(address, structure)


def variable(image: KernelImage, name: str) -> Variable | None:
    """Return what a variable is; None where the file does not say.

    Args:
        image: Of the kernel.
        name: Its symbol.

    Raises:
        BadImage: The symbol table is damaged.
    """
    symbol = image.symbol(name)
    return None if symbol is None else image.declarations.variable(symbol.address)


class Declarations:
    """What one file declares. `KernelImage.declarations` has that of a kernel.

    Args:
        units: Of the file.
    """

    def __init__(self, units: Units) -> None:
        self._units = units
        self._names = TypeNames(self._units)
        self._prototypes: dict[int, Prototype | None] = {}

    @cached_property
    def _variables(self) -> Variables:
        from emulator.loader.dwarf.variables import Variables  # prototypes do without

        return Variables(self._units)

    @property
    def _types(self) -> Types:
        return self._variables.types

    def prototype(self, address: int) -> Prototype | None:
        """See the function `prototype`."""
        if address not in self._prototypes:
            try:
                entry = self._units.function_at(address)
                self._prototypes[address] = None if entry is None else self._prototype(entry)
            except DAMAGE:
                self._prototypes[address] = None
        return self._prototypes[address]

    def all_prototypes(self) -> dict[int, Prototype]:
        """See the function `all_prototypes`."""
        for unit in self._units.all():
            try:
                addresses = list(self._units.functions(unit))
            except DAMAGE:
                continue
            for address in addresses:
                self.prototype(address)
        return {address: found for address, found in sorted(self._prototypes.items()) if found is not None}

    def field_of(self, address: int, parameter: int, path: str) -> Field | None:
        """See the function `field_of`."""
        try:
            entry = self._units.function_at(address)
            parameters = [] if entry is None else self._parameters(entry)
            return (
                self._field_behind(parameters[parameter], path) if 0 <= parameter < len(parameters) else None
            )
        except DAMAGE:
            return None

    def field_of_result(self, address: int, path: str) -> Field | None:
        """See the function `field_of_result`."""
        try:
            entry = self._units.function_at(address)
            return None if entry is None else self._field_behind(entry, path)
        except DAMAGE:
            return None

    def field_of_variable(self, address: int, path: str) -> Field | None:
        """Return a field of the structure that the variable at a linked address is, or points to; None where the file does not say."""
        try:
            entry = self._variables.entry_at(address)
            typed = None if entry is None else declaring(entry, _TYPE)
            if typed is None:
                return None
            return self._field_behind(typed, path) or _field(self._types.of(typed), path.split("."))
        except DAMAGE:
            return None

    def has_field(self, address: int, structure: str, path: str) -> bool:
        """Return whether the unit of a function has a structure of this name or typedef, with this field."""
        return any(_field(each, path.split(".")) for each in self._structures(address, structure))

    def structure_size(self, address: int, structure: str) -> int | None:
        """See the function `structure_size`."""
        return next((each.size for each in self._structures(address, structure) if each.size), None)

    def _structures(self, address: int, name: str) -> list[CType]:
        """Return the types of this name, or typedef, in the source file of a function.

        What is optimised when the kernel is linked has its code in another unit than its declarations.
        """
        try:
            entry = self._units.function_at(address)
            if entry is None:
                return []
            units = dict.fromkeys(each.unit for each in declarations(entry))
            return [
                self._types.defined_by(found)
                for unit in units
                for found in unit.entries()
                if found.tag in _NAMED and text_of(found) == name
            ]
        except DAMAGE:
            return []

    def _field_behind(self, entry: Entry, path: str) -> Field | None:
        """Return a field of the structure that something of a pointer's type points to."""
        from emulator.loader.dwarf.types import behind_names

        typed = declaring(entry, _TYPE)
        pointer = None if typed is None else behind_names(typed)
        if pointer is None or pointer.tag != _POINTER:
            return None
        return _field(self._types.of(pointer), path.split("."))

    def variable(self, address: int) -> Variable | None:
        """Return what the variable that starts at a linked address is; None where the file does not say."""
        try:
            entry = self._variables.entry_at(address)
            return None if entry is None else self._variable(entry)
        except DAMAGE:
            return None

    def _variable(self, entry: Entry) -> Variable | None:
        from emulator.loader.dwarf.types import behind_names

        typed = declaring(entry, _TYPE)
        whole = None if typed is None else behind_names(typed)
        if typed is None or whole is None:
            return None
        is_pointer = whole.tag == _POINTER
        has_elements = is_pointer or whole.tag == "DW_TAG_array_type"
        element = self._types.of(whole).size if has_elements else 0
        return Variable(self._names.of(typed), self._types.of(typed).size, is_pointer, element)

    def _prototype(self, entry: Entry) -> Prototype | None:
        declared = declaring(entry, "DW_AT_name")
        if declared is None or number_of(entry.unit.top, "DW_AT_language") == _ASSEMBLER:
            return None
        typed = declaring(entry, _TYPE) or entry
        return Prototype(
            text_of(declared),
            self._names.of(typed),
            self._names.of(typed, plain=True),
            tuple(map(self._parameter, self._parameters(entry))),
            declaring(entry, "DW_AT_external") is not None,
            os.path.basename(text_of(declared.unit.top)),
        )

    def _parameters(self, entry: Entry) -> list[Entry]:
        """Return the parameters of a declaration.

        A clone has lost some of them, and its origin has all; in a class they have no names.
        """
        found: list[Entry] = []
        is_origin = False
        for each in declarations(entry):
            own = [child for child in self._units.children(each) if child.tag == _PARAMETER]
            if own and (is_origin or not found):
                found = own
            is_origin = "DW_AT_abstract_origin" in each.attributes
        return found

    def _parameter(self, entry: Entry) -> Parameter:
        named, typed = declaring(entry, "DW_AT_name"), declaring(entry, _TYPE) or entry
        name = "" if named is None else text_of(named)
        return Parameter(name, self._names.of(typed), self._names.of(typed, plain=True))


def _field(whole: CType, path: list[str]) -> Field | None:
    """Find a field of a structure: in it, or in one of its nameless parts."""
    from emulator.loader.dwarf.c_types import Struct

    if not isinstance(whole, Struct):
        return None
    for member in whole.members:
        found = None
        if not member.name:
            found = _field(member.type, path)
        elif member.name == path[0]:
            found = _field(member.type, path[1:]) if path[1:] else Field(0, member.type.size)
        if found is not None:
            return found._replace(offset=member.offset + found.offset)
    return None
