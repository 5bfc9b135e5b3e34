"""What lies at an address of a kernel's memory: variables by their parts, blocks of the allocators, stacks."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import BadImage
from emulator.guest.symbols import data_objects, writable_symbols
from emulator.loader.dwarf.c_types import Encoding, part_at
from emulator.loader.dwarf.variables import Variables
from emulator.loader.functions.demangling import demangled
from emulator.x86 import WORD_SIZE
from kernel_model.audit import Location, LocationKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.guest.backtrace import StackFrame
    from emulator.hle.kernels import Models
    from emulator.loader.dwarf.variables import Variable
    from emulator.loader.elf.symbols import Symbol
    from emulator.machine.machine import Machine


class Field(NamedTuple):
    """Neighbouring bytes that are read together.

    Attributes:
        location: What they belong to; None where nothing is known of them.
        start: Physical address of the first byte.
        end: First address after the last one.
        encoding: How to read them.
    """

    location: Location | None
    start: int
    end: int
    encoding: Encoding = Encoding.BYTES


class Locator:
    """Says what the bytes of one machine's memory belong to, as the machine stands.

    Args:
        machine: Whose memory. Blocks and stacks are read from it at each call; debug information is read once.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def field_at(self, address: int, end: int, stack: Sequence[StackFrame] = ()) -> Field:
        """Return the field that a byte belongs to.

        Args:
            address: Physical address of the byte.
            end: Physical; what lies there and after it is not asked for.
            stack: The machine's backtrace.

        Returns:
            A field that holds *address*. It may begin before it. It ends after *end* only if it has a name of its own:
            of a stack, a block's body and memory without a name, it is the part from *address* to *end*.
        """
        return (
            self._on_stack(address, end, stack)
            or self._in_variable(address)
            or self._in_models(address, end)
            or self._after_label(address)
            or Field(None, address, end)
        )

    def _on_stack(self, address: int, end: int, stack: Sequence[StackFrame]) -> Field | None:
        for level in stack:
            low = self._machine.translate(level.low)
            if low is not None and low <= address < low + level.high - level.low:
                location = Location(LocationKind.STACK, level.frame.name, low, low + level.high - level.low)
                return Field(location, address, min(end, location.end))
        return None

    def _in_variable(self, address: int) -> Field | None:
        found = self._object_at(address)
        if found is None:
            return None
        start, symbol = found
        variable = self._variables.at(symbol.address)
        if variable is None or variable.type.size != symbol.size:
            return _word_of(symbol, start, address)
        return _part_of(variable, start, address)

    def _in_models(self, address: int, end: int) -> Field | None:
        """Return what the kernel's own structures say of an address that belongs to no variable."""
        if self._models is None:
            return None
        try:
            location = self._models.locate(address)
        except IndexError:  # the kernel's pointers lead out of memory
            return None
        if location is None:
            return None
        if location.is_body:
            return Field(location._replace(byte=None), address, min(end, location.end))
        if location.kind is LocationKind.BITMAP:
            return Field(location, location.start, location.end, Encoding.UNSIGNED)
        start = address - address % WORD_SIZE
        return Field(location, start, start + WORD_SIZE, Encoding.UNSIGNED)

    def _after_label(self, address: int) -> Field | None:
        """Return the word of writable data that a label of assembly names, which says no size: it reaches to the next symbol."""
        image = self._machine.image
        starts, labels = self._labels
        index = bisect_right(starts, address) - 1
        if index < 0 or labels[index].size:
            return None
        start, label = starts[index], labels[index]
        ends = (
            each.physical + each.size
            for each in image.segments
            if each.virtual <= label.address < each.virtual + each.size
        )
        end = next(ends)
        size = end - start if address - start >= WORD_SIZE else min(WORD_SIZE, end - start)
        return _word_of(label._replace(size=size), start, address) if address < end else None

    @cached_property
    def _labels(self) -> tuple[list[int], list[Symbol]]:
        """Physical starts and symbols of all that is in writable segments, ascending, labels after objects at the same address."""
        image = self._machine.image
        found = sorted((image.physical(each.address), -each.size, each) for each in writable_symbols(image))
        return [start for start, *_ in found], [symbol for *_, symbol in found]

    def _object_at(self, address: int) -> tuple[int, Symbol] | None:
        starts, symbols = self._objects
        index = bisect_right(starts, address) - 1
        if index < 0 or address >= starts[index] + symbols[index].size:
            return None
        return starts[index], symbols[index]

    @cached_property
    def _objects(self) -> tuple[list[int], list[Symbol]]:
        """Physical starts and symbols of all data objects, ascending."""
        image = self._machine.image
        objects = sorted((image.physical(each.address), each) for each in data_objects(image))
        return [start for start, _ in objects], [symbol for _, symbol in objects]

    @cached_property
    def _variables(self) -> Variables:
        return Variables(self._machine.image.units)

    @cached_property
    def _models(self) -> Models | None:
        from emulator.hle.kernels import recognize

        try:
            found = recognize(self._machine)
        except BadImage:
            return None
        return None if found is None else found[1]


def _word_of(symbol: Symbol, start: int, address: int) -> Field:
    """Return the word of an object without a type that an address lies in; the object begins at *start*, physical."""
    offset = address - start
    byte = offset - offset % WORD_SIZE
    first, end = start + byte, start + min(byte + WORD_SIZE, symbol.size)
    encoding = Encoding.UNSIGNED if end - first == WORD_SIZE else Encoding.BYTES
    known = byte if symbol.size > WORD_SIZE else None
    return Field(
        Location(LocationKind.VARIABLE, demangled(symbol.name), first, end, byte=known), first, end, encoding
    )


def _part_of(variable: Variable, start: int, address: int) -> Field:
    """Return the scalar of a variable that an address lies in; the variable begins at *start*, physical."""
    part = part_at(variable.type, address - start)
    first = start + part.start
    end = first + (part.type.size or 1)
    kind = LocationKind.PADDING if part.is_padding else LocationKind.VARIABLE
    item, rest = None, part.steps
    if rest and isinstance(rest[0], int):
        item, rest = rest[0], rest[1:]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)
    location = Location(kind, variable.name, first, end, item=item, field=path.removeprefix("."))
    return Field(location, first, end, part.type.encoding)
