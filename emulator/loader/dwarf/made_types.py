"""Types that somebody writes in an expression: those of the file by their names, and those that are made of them, of which it may have none.

Source: DWARF 5, section 5 (types); System V ABI for i386, figure 2.1 (sizes).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.entries import Entry
from emulator.loader.dwarf.forms import Attribute
from emulator.loader.dwarf.scoped_names import SCOPE, meant, scoped_name
from emulator.loader.dwarf.type_names import is_c, text_of
from emulator.loader.dwarf.value_types import Kind, ValueType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.loader.dwarf.entries import Unit
    from emulator.loader.dwarf.units import Units

_TYPE: Final = "DW_AT_type"
_TAGGED: Final = {
    "struct": ("DW_TAG_structure_type", "DW_TAG_class_type"),
    "class": ("DW_TAG_structure_type", "DW_TAG_class_type"),
    "union": ("DW_TAG_union_type",),
    "enum": ("DW_TAG_enumeration_type",),
}
_NAMED: Final = ("DW_TAG_typedef", "DW_TAG_base_type")
_NAMED_BY_TAG: Final = (*_TAGGED["struct"], *_TAGGED["union"], *_TAGGED["enum"])
_BOOLEAN, _FLOAT, _SIGNED, _SIGNED_CHAR, _UNSIGNED, _UNSIGNED_CHAR = 0x02, 0x04, 0x05, 0x06, 0x07, 0x08
_BASE: Final[dict[tuple[str, ...], tuple[str, int, int]]] = {
    ("char",): ("char", _SIGNED_CHAR, 1),
    ("char", "signed"): ("signed char", _SIGNED_CHAR, 1),
    ("char", "unsigned"): ("unsigned char", _UNSIGNED_CHAR, 1),
    ("short",): ("short", _SIGNED, 2),
    ("short", "unsigned"): ("unsigned short", _UNSIGNED, 2),
    (): ("int", _SIGNED, 4),
    ("unsigned",): ("unsigned int", _UNSIGNED, 4),
    ("long",): ("long", _SIGNED, 4),
    ("long", "unsigned"): ("unsigned long", _UNSIGNED, 4),
    ("long", "long"): ("long long", _SIGNED, 8),
    ("long", "long", "unsigned"): ("unsigned long long", _UNSIGNED, 8),
    ("_Bool",): ("_Bool", _BOOLEAN, 1),
    ("bool",): ("bool", _BOOLEAN, 1),
    ("float",): ("float", _FLOAT, 4),
    ("double",): ("double", _FLOAT, 8),
    ("double", "long"): ("long double", _FLOAT, 12),
}
"""C's own types by their words in order, without those that change nothing: their name, encoding and size."""
BASE_WORDS: Final = frozenset(word for words in _BASE for word in words) | {"int", "signed", "void"}
"""The words of which the names of C's own types are made."""
TAG_WORDS: Final = frozenset(_TAGGED)
"""The words that stand in front of the name of a struct, or of what is like one."""


class TypeName(NamedTuple):
    """A type as an expression writes it.

    Attributes:
        words: Its name: ``struct``, ``task``; ``unsigned``, ``int``; ``u32``.
        pointers: How many stars come after it.
        lengths: Of an array of them by dimension, as in ``char *[3][2]``; none: it is no array.
        around: How many stars are in front of the array in parentheses: 1 in ``int (*)[3]``, which is a pointer to it.
    """

    words: tuple[str, ...]
    pointers: int = 0
    lengths: tuple[int, ...] = ()
    around: int = 0


class MadeTypes:
    """Finds and makes the types of one file.

    Args:
        units: Of the file.
    """

    def __init__(self, units: Units) -> None:
        self._units = units
        self._found: dict[tuple[tuple[str, ...], str], Entry | None] = {}

    def has(self, name: str) -> bool:
        """Return whether a name without ``struct`` and the like is that of a type."""
        return name in BASE_WORDS or self._named_alone(name, None) is not None

    def named(self, name: TypeName, unit: Unit | None = None) -> ValueType:
        """Return a type.

        Args:
            name: As it is written.
            unit: Where it is looked for first; None: nowhere in particular.

        Raises:
            ValueError: There is none of this name.
        """
        found = self._named(name.words, unit)
        for _ in range(name.pointers):
            found = self.pointer_to(found)
        for length in reversed(name.lengths):
            found = self.array_of(found, length)
        for _ in range(name.around):
            found = self.pointer_to(found)
        return found

    def pointer_to(self, target: ValueType) -> ValueType:
        """Return the type of a pointer to values of a type."""
        if target.has_definition and (target.kind is not Kind.ARRAY or target.is_named):
            return ValueType(self._units, _naming(_pointer(target.definition)))
        return _MadePointer(self._units, target)

    def array_of(self, element: ValueType, count: int) -> ValueType:
        """Return the type of an array."""
        return _MadeArray(self._units, element, count)

    def _named(self, words: Sequence[str], unit: Unit | None) -> ValueType:
        if words == ("void",):
            return ValueType(self._units, _naming(None))
        if all(word in BASE_WORDS for word in words):
            return ValueType(self._units, _naming(_base(words)))
        tag, name = words if len(words) > 1 else ("", words[0])
        found = self._entry(_TAGGED[tag], name, unit) if tag else self._named_alone(name, unit)
        if found is None:
            raise ValueError(f"there is no type {' '.join(words)!r} in the debug information")
        return ValueType(self._units, _naming(found))

    def _named_alone(self, name: str, unit: Unit | None) -> Entry | None:
        """Return the entry of a type that its name alone means; of a struct it does so in other languages than C."""
        found = self._entry(_NAMED, name, unit)
        if found is None:
            found = self._entry(_NAMED_BY_TAG, name, unit)
            found = None if found is None or is_c(found) else found
        return found

    def _entry(self, tags: tuple[str, ...], name: str, unit: Unit | None) -> Entry | None:
        """Return the entry of a type: of a unit the first one that is whole, else of all.

        Raises:
            ValueError: The name has scopes, and may mean several.
        """
        if SCOPE in name:
            return self._scoped_entry(tags, name)
        if unit is not None and (here := self._best(_types(unit, tags, name))) is not None:
            return here
        if (tags, name) not in self._found:
            try:
                all_ = (each for unit in self._units.naming([name]) for each in _types(unit, tags, name))
                self._found[tags, name] = self._best(all_)
            except DAMAGE:
                self._found[tags, name] = None
        return self._found[tags, name]

    def _scoped_entry(self, tags: tuple[str, ...], name: str) -> Entry | None:
        if (tags, name) not in self._found:
            plain = name.rpartition(SCOPE)[2]
            found: dict[str, list[Entry]] = {}
            try:
                for unit in self._units.naming([plain]):
                    for each in _types(unit, tags, plain):
                        found.setdefault(scoped_name(each), []).append(each)
            except DAMAGE:
                found = {}
            entries = meant(name, found)
            self._found[tags, name] = None if entries is None else self._best(iter(entries))
        return self._found[tags, name]

    def _best(self, found: Iterator[Entry]) -> Entry | None:
        declared = None
        for each in found:
            if "DW_AT_declaration" not in each.attributes:
                return each
            declared = declared or each
        return declared


def _types(unit: Unit, tags: tuple[str, ...], name: str) -> Iterator[Entry]:
    try:
        yield from (each for each in unit.entries() if each.tag in tags and text_of(each) == name)
    except DAMAGE:
        return


def _base(words: Sequence[str]) -> Entry:
    """Return one of C's own types.

    Raises:
        ValueError: The words are none.
    """
    told = [word for word in words if word not in ("int", "signed")]
    if "signed" in words and ("char" in words or "unsigned" in words):
        told.append("signed")
    is_right = words.count("int") <= 1 and not ("int" in words and {"char", "float", "double"} & {*words})
    if not is_right or tuple(sorted(told)) not in _BASE:
        raise ValueError(f"{' '.join(words)!r} is no type")
    name, encoding, size = _BASE[tuple(sorted(told))]
    return _Made("DW_TAG_base_type", name=name.encode(), encoding=encoding, byte_size=size)


# Entries that no file has, as far as types are read from them.


class _Made(Entry):
    """An entry that is in no unit.

    Args:
        tag: See `Entry`.
        type_: The entry of the type that it names; None: it is void.
        values: Of its other attributes, by the ends of their names.
    """

    __slots__ = ("_type",)

    def __init__(self, tag: str, type_: Entry | None = None, **values: object) -> None:
        self.tag = tag
        self.has_children = False
        self.attributes = {f"DW_AT_{name}": Attribute(0, value) for name, value in values.items()}
        if type_ is not None:
            self._type = type_
            self.attributes[_TYPE] = Attribute(0, None)

    def referred(self, _name: str) -> Entry:
        return self._type


def _naming(type_: Entry | None) -> Entry:
    """Return what names a type; None: it is void."""
    return _Made("", type_)


def _pointer(target: Entry | None) -> Entry:
    return _Made("DW_TAG_pointer_type", target)


class _MadeArray(ValueType):
    """An array of which no entry says what it has.

    Args:
        units: Of the file.
        element: The type of its elements.
        count: How many there are.
    """

    has_definition = False

    def __init__(self, units: Units, element: ValueType, count: int) -> None:
        super().__init__(units, _naming(_Made("DW_TAG_array_type")))
        self._element = element
        self._count = count

    @property
    def _has_rows(self) -> bool:
        return self._element.kind is Kind.ARRAY and not self._element.is_named

    @property
    def counts(self) -> list[int | None]:
        return [self._count, *(self._element.counts if self._has_rows else ())]

    @property
    def element(self) -> ValueType:
        return self._element

    @property
    def target(self) -> ValueType:
        """See `ValueType`: the type of what lies in the innermost array."""
        return self._element.target if self._has_rows else self._element


class _MadePointer(ValueType):
    """A pointer to what no entry defines: an array, or such a pointer.

    Args:
        units: Of the file.
        target: What it points to.
    """

    has_definition = False

    def __init__(self, units: Units, target: ValueType) -> None:
        super().__init__(units, _naming(_pointer(None)))
        self._target = target

    @cached_property
    def name(self) -> str:
        """See `ValueType`: ``int (*)[3]``."""
        of = self._target
        if of.kind is Kind.POINTER:
            return of.name.replace("(*", "(**", 1)
        base = of.target.name
        counts = of.name.removeprefix(base)
        return f"{base}{'' if base.endswith('*') else ' '}(*){counts}"

    @property
    def target(self) -> ValueType:
        return self._target
