"""What lies at an address of a kernel's memory: variables by their parts, blocks of the allocators, stacks."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import BadImage
from emulator.guest.symbols import data_objects
from emulator.loader.dwarf.c_types import Encoding, part_at
from emulator.loader.dwarf.variables import Variables
from emulator.x86 import WORD_SIZE
from kernel_model.audit import LocationKind
from kernel_model.text import location_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.guest.backtrace import StackFrame
    from emulator.hle.kernels import Models
    from emulator.loader.elf.symbols import Symbol
    from emulator.machine.machine import Machine


class Place(NamedTuple):
    """What some neighbouring bytes are.

    Attributes:
        name: ``memmap.total_frames``, ``heap block 0x0010a000 .size``, ``stack of kmain``, ``symbol+0x1c``, ``0x00123456``.
        start: Physical address of the first byte.
        end: First address after the last one.
        encoding: How to read them.
    """

    name: str
    start: int
    end: int
    encoding: Encoding = Encoding.BYTES


class Places:
    """Names the bytes of one machine's memory, as the machine stands.

    Args:
        machine: Whose memory. Blocks and stacks are read from it at each call; debug information is read once.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def name(self, address: int, end: int, stack: Sequence[StackFrame] = ()) -> Place:
        """Return what lies at a physical address.

        Args:
            address: The first byte.
            end: Physical; what lies there and after it is not asked for.
            stack: The machine's call stack.

        Returns:
            A place that holds *address*. It may begin before it and end after *end*.
        """
        return (
            self._on_stack(address, end, stack)
            or self._in_variable(address)
            or self._in_models(address, end)
            or Place(f"0x{address:08x}", address, end)
        )

    def _on_stack(self, address: int, end: int, stack: Sequence[StackFrame]) -> Place | None:
        for frame in stack:
            low = self._machine.translate(frame.low)
            if low is not None and low <= address < low + frame.high - frame.low:
                name = f"stack of {frame.frame.function or f'0x{frame.frame.address:08x}'}"
                return Place(name, address, min(end, low + frame.high - frame.low))
        return None

    def _in_variable(self, address: int) -> Place | None:
        found = self._object_at(address)
        if found is None:
            return None
        start, symbol = found
        offset = address - start
        variable = self._variables.at(symbol.address)
        if variable is None or variable.type.size != symbol.size:
            at = offset - offset % WORD_SIZE
            name = f"{symbol.name}+0x{at:x}" if symbol.size > WORD_SIZE else symbol.name
            encoding = Encoding.UNSIGNED if symbol.size - at >= WORD_SIZE else Encoding.BYTES
            return Place(name, start + at, start + min(at + WORD_SIZE, symbol.size), encoding)
        part = part_at(variable.type, offset)
        size = part.type.size or 1
        return Place(
            variable.name + part.path, start + part.start, start + part.start + size, part.type.encoding
        )

    def _in_models(self, address: int, end: int) -> Place | None:
        """What the kernel's own structures say of an address that belongs to no variable."""
        if self._models is None:
            return None
        try:
            location = self._models.locate(address)
        except IndexError:  # the kernel's pointers lead out of memory
            return None
        if location is None:
            return None
        if location.is_body:
            name = location_text(location._replace(byte=None))
            return Place(name, address, min(end, location.end))
        name = location_text(location)
        if location.kind is LocationKind.BITMAP:
            return Place(name, location.start, location.end, Encoding.UNSIGNED)
        start = address - address % WORD_SIZE
        return Place(name, start, start + WORD_SIZE, Encoding.UNSIGNED)

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
        return Variables(self._machine.image.data)

    @cached_property
    def _models(self) -> Models | None:
        from emulator.hle.kernels import recognize

        try:
            found = recognize(self._machine)
        except BadImage:
            return None
        return None if found is None else found[1]
