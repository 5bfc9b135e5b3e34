"""Values of a stopped machine: written as C does, taken apart, changed.

Nothing is read before it is asked for. What cannot be had is said with the reason, in angle brackets: ``<optimised out>``.
"""

from __future__ import annotations

import math
import struct
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.guest.storage import InMemory, OnFpuStack, Unavailable
from emulator.loader.dwarf.value_types import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.guest.storage import Storage
    from emulator.loader.dwarf.value_types import Member, ValueType

_BITS: Final = 8
_TEXT_MAX: Final = 200  # characters of a string that are shown
_ITEMS_MAX: Final = 8  # members or elements in one line
_DEPTH_MAX: Final = 2  # of structures in one line
SCALARS: Final = frozenset(
    (Kind.SIGNED, Kind.UNSIGNED, Kind.CHARACTER, Kind.BOOLEAN, Kind.ENUMERATION, Kind.POINTER)
)
"""What is a number, a pointer or an enumerator."""
_FLOATS: Final = {4: "<f", 8: "<d"}
_X87_SIZE: Final = 10
_X87_EXPONENT, _X87_BIAS, _X87_FRACTION = 0x7FFF, 16383 + 63, (1 << 63) - 1
_PRINTABLE: Final = range(0x20, 0x7F)


class Memory(NamedTuple):
    """How values are read, and addresses named.

    Attributes:
        read: Returns bytes at an address as the kernel writes it, fewer where nothing is mapped.
        name: Returns what lies at an address, ``heap_lock+0x4``; "": it has no name.
    """

    read: Callable[[int, int], bytes]
    name: Callable[[int], str]


class Value:
    """A value with its type.

    Args:
        memory: How memory is read.
        type: Its type.
        storage: Where it lies.
        offset: Of its first byte there.
        bits: Of a bit field its first bit and its width; None: it is whole bytes.
    """

    def __init__(
        self,
        memory: Memory,
        type_: ValueType,
        storage: Storage,
        offset: int = 0,
        bits: tuple[int, int] | None = None,
    ) -> None:
        self._memory = memory
        self.type = type_
        self.storage = storage
        self.offset = offset
        self.bits = bits

    @property
    def address(self) -> int | None:
        """Where it lies, as the kernel writes it; None: not in memory, or it is a bit field."""
        return self.storage.address(self.offset) if self.bits is None else None

    @property
    def is_scalar(self) -> bool:
        """Whether it is a number, a pointer or an enumerator."""
        return self.type.kind in SCALARS

    @property
    def number(self) -> int:
        """The number that a scalar is.

        Raises:
            Unavailable: It is none, or not known.
        """
        kind, size = self.type.kind, self.type.size
        if kind is Kind.ARRAY and self.address is not None:  # as in C
            return self.address
        if kind is Kind.FLOAT:
            raise Unavailable(f"{self.type.name} is a floating-point type, with which nothing is computed")
        if kind not in SCALARS or size is None:
            raise Unavailable(f"{self.type.name} is no number")
        if self.bits is None:
            return int.from_bytes(self.storage.read(self.offset, size), "little", signed=self.type.is_signed)
        first, width = self.bits
        number = self.storage.bits(self.offset * _BITS + first, width)
        return number - (1 << width) if self.type.is_signed and number >> width - 1 else number

    # Text.

    def text(self, depth: int = 0) -> str:
        """Return it as C would write it, shortened; why not, in angle brackets, where it cannot be had.

        Args:
            depth: In how many structures it lies that are written around it.
        """
        try:
            return self._known_text(depth)
        except Unavailable as error:
            return f"<{error}>"

    def _known_text(self, depth: int) -> str:
        kind = self.type.kind
        if kind in SCALARS:
            return self._scalar_text(self.number)
        if kind is Kind.FLOAT:
            return self._float_text()
        if kind is Kind.ARRAY and self._is_string:
            return self._string_text()
        if kind in (Kind.STRUCT, Kind.UNION, Kind.ARRAY):
            return self._aggregate_text(depth)
        if kind is Kind.FUNCTION:
            return self._pointer_text(self.address or 0)
        raise Unavailable("its type is not known" if kind is Kind.UNKNOWN else "void")

    def _scalar_text(self, number: int) -> str:
        match self.type.kind:
            case Kind.POINTER:
                return self._pointer_text(number)
            case Kind.ENUMERATION:
                return self._enumerator_text(number)
            case Kind.BOOLEAN if number in (0, 1):
                return "true" if number else "false"
            case Kind.CHARACTER if self.type.size == 1:
                return f"{number} {_quoted(bytes([number & 0xFF]), chr(39))}"
        return str(number)

    def _pointer_text(self, number: int) -> str:
        text = f"0x{number:08x}"
        if self.type.kind is Kind.POINTER and self.type.target.kind is Kind.CHARACTER and number:
            data = self._memory.read(number, _TEXT_MAX)
            shown, nul, _ = data.partition(b"\0")
            return f"{text} {_quoted(shown)}{'' if nul else '...'}" if data else text
        name = self._memory.name(number)
        return f"{text} <{name}>" if name else text

    def _enumerator_text(self, number: int) -> str:
        names = self.type.enumerators
        if number in names:
            return f"{names[number]} ({number})"
        flags = {value: name for value, name in names.items() if value > 0 and not value & value - 1}
        parts = [name for value, name in sorted(flags.items()) if number & value]
        rest = number & ~sum(value for value in flags if number & value)
        if number <= 0 or not parts or rest:
            return str(number)
        return f"{' | '.join(parts)} ({number})"

    def _float_text(self) -> str:
        if isinstance(self.storage, OnFpuStack):
            data = self.storage.number.to_bytes(_X87_SIZE, "little")
            return f"{_extended(data)} <in {self.storage.name}, if the stack of the FPU has not moved>"
        size = self.type.size or 0
        data = self.storage.read(self.offset, size)
        if size in _FLOATS:
            return repr(struct.unpack(_FLOATS[size], data)[0])
        return _extended(data)

    @property
    def _is_string(self) -> bool:
        element = self.type.element
        return element.kind is Kind.CHARACTER and element.size == 1

    def _string_text(self) -> str:
        count = self.type.count
        if count is None:
            raise Unavailable("its length is not known")
        return _string(self.storage.read(self.offset, min(count, _TEXT_MAX)), count)

    def _aggregate_text(self, depth: int) -> str:
        if depth >= _DEPTH_MAX:
            return "{...}" if self.is_expandable else "{}"
        if self.type.kind is Kind.ARRAY and self.type.size is None:
            raise Unavailable("its length is not known")
        items = list(islice(self.children(), _ITEMS_MAX + 1))
        is_array = self.type.kind is Kind.ARRAY
        texts = [each.value.text(depth + 1) for each in items[:_ITEMS_MAX]]
        if len(set(texts)) == 1 and texts[0].startswith("<"):  # nothing of it is to be had
            raise Unavailable(texts[0][1:-1])
        parts = [
            text if is_array or not each.name else f"{each.name} = {text}"
            for each, text in zip(items, texts, strict=False)
        ]
        more = ["..."] if len(items) > _ITEMS_MAX else []
        return f"{{{', '.join(parts + more)}}}"

    # Parts.

    @property
    def is_expandable(self) -> bool:
        """Whether it has parts."""
        kind = self.type.kind
        if kind is Kind.POINTER:
            return self._points_to_something
        if kind is Kind.ARRAY:
            return bool(self.type.count) and self.type.element.size is not None
        try:
            return kind in (Kind.STRUCT, Kind.UNION) and next(self._members(), None) is not None
        except Unavailable:
            return False

    @property
    def _points_to_something(self) -> bool:
        if self.type.target.kind in (Kind.VOID, Kind.FUNCTION, Kind.UNKNOWN) or not self.type.target.size:
            return False
        try:
            return bool(self._memory.read(self.number, 1)) and self.number != 0
        except Unavailable:
            return False

    def children(self, start: int = 0, count: int | None = None) -> Iterator[Part]:
        """Yield members, elements, or what a pointer points to.

        Args:
            start: Of an array, the first element.
            count: Of an array, how many; None: all.

        Raises:
            Unavailable: Which variant of an enum of Rust it is, is not known.
        """
        kind = self.type.kind
        if kind is Kind.ARRAY:
            whole = (self.type.count or 0) if self.is_expandable else 0
            for index in range(start, whole if count is None else min(whole, start + count)):
                yield Part(f"[{index}]", self.element(index))
        elif kind in (Kind.STRUCT, Kind.UNION):
            yield from (Part(each.name, self._part(each)) for each in self._members())
        elif self.is_expandable:
            target = self.target
            if target.type.kind in (Kind.STRUCT, Kind.UNION):
                yield from target.children()
            else:
                yield Part("*", target)

    def _members(self) -> Iterator[Member]:
        """Yield the members that the value has."""
        yield from self.type.members
        variants = self.type.variants
        if variants is not None:
            by = self._part(variants.by)
            number = int.from_bytes(by.storage.read(by.offset, by.type.size or 0), "little")
            found = variants.members.get(number, variants.members.get(None))
            if found is None:
                raise Unavailable(f"{self.type.name} has no variant {number}")
            yield found

    def _part(self, member: Member) -> Value:
        return Value(self._memory, member.type, self.storage, self.offset + member.offset, member.bits)

    def element(self, index: int) -> Value:
        """Return an element of an array, or of what a pointer points into.

        Raises:
            Unavailable: It is neither, or the size of elements is not known.
        """
        of = self.type.element if self.type.kind is Kind.ARRAY else self.type.target
        if self.type.kind not in (Kind.ARRAY, Kind.POINTER) or of.size is None:
            raise Unavailable(f"{self.type.name} has no elements")
        if self.type.kind is Kind.POINTER:
            return Value(self._memory, of, InMemory(self._memory.read, self.number + index * of.size))
        return Value(self._memory, of, self.storage, self.offset + index * of.size)

    @property
    def target(self) -> Value:
        """What a pointer points to.

        Raises:
            Unavailable: It is none, or not known.
        """
        if self.type.kind is Kind.ARRAY:
            return self.element(0)
        if self.type.kind is not Kind.POINTER:
            raise Unavailable(f"{self.type.name} is no pointer")
        return Value(self._memory, self.type.target, InMemory(self._memory.read, self.number))

    def member(self, name: str) -> Value:
        """Return a member of a struct, also one of a nameless struct in it.

        Raises:
            Unavailable: There is none.
        """
        for each in self._members():
            value = self._part(each)
            if each.name == name:
                return value
            if not each.name and value.type.kind in (Kind.STRUCT, Kind.UNION):
                try:
                    return value.member(name)
                except Unavailable:
                    continue
        raise Unavailable(f"{self.type.name} has no member {name!r}")

    def moved_to(self, storage: Storage) -> Value:
        """Return a value of the same type that lies elsewhere."""
        return Value(self._memory, self.type, storage)

    # Change.

    def encoded(self, number: int) -> bytes:
        """Return the bytes that make the value a number; of a bit field all that it shares with others.

        Raises:
            Unavailable: It is no scalar, or the number does not fit.
        """
        size = self.type.size
        if self.type.kind not in SCALARS or size is None:
            raise Unavailable(f"a value of type {self.type.name} cannot be set")
        first, width = self.bits or (0, size * _BITS)
        low = -(1 << width - 1)  # both -1 and 0xffffffff are such words
        if not low <= number < 1 << width:
            raise Unavailable(f"{number} does not fit into {width} bits")
        number &= (1 << width) - 1
        if self.bits is None:
            return number.to_bytes(size, "little")
        data = self.storage.read(self.offset, (first + width + _BITS - 1) // _BITS)
        around = int.from_bytes(data, "little") & ~(((1 << width) - 1) << first)
        return (around | number << first).to_bytes(len(data), "little")


class Part(NamedTuple):
    """A part of a value.

    Attributes:
        name: Of the member, ``[3]`` of an element, ``*`` of what a pointer points to; "" of a nameless struct.
        value: Of it.
    """

    name: str
    value: Value


def _extended(data: bytes) -> str:
    """Return a number in x87's extended format; as a product where Python's numbers do not reach."""
    mantissa, exponent = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:_X87_SIZE], "little")
    sign, power = "-" if exponent >> 15 else "", (exponent & _X87_EXPONENT) - _X87_BIAS
    if exponent & _X87_EXPONENT == _X87_EXPONENT:
        return f"{sign}inf" if not mantissa & _X87_FRACTION else "nan"
    if mantissa and not -1000 < power + mantissa.bit_length() < 1000:  # noqa: PLR2004 - well inside of Python's range
        return f"{sign}{mantissa} * 2**{power}"
    return f"{sign}{math.ldexp(mantissa, power)!r}"


def _string(data: bytes, size: int) -> str:
    """Return the first bytes of an array as a string of C, up to their NUL; dots where there is more in it."""
    text, nul, rest = data.partition(b"\0")
    is_whole = not any(rest) if nul else len(data) == size
    return f"{_quoted(text)}{'' if is_whole else '...'}"


def _quoted(text: bytes, mark: str = '"') -> str:
    escapes = {
        0: "\\000",
        7: "\\a",
        8: "\\b",
        9: "\\t",
        10: "\\n",
        11: "\\v",
        12: "\\f",
        13: "\\r",
        27: "\\033",
        92: "\\\\",
        ord(mark): f"\\{mark}",
    }
    shown = (escapes.get(byte) or (chr(byte) if byte in _PRINTABLE else f"\\{byte:03o}") for byte in text)
    return f"{mark}{''.join(shown)}{mark}"
