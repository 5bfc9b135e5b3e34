"""Reads a kernel's memory as words, where a pointer counts: globals, the stack, registers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.leaks.address_spaces import AddressSpaces
from emulator.check.leaks.cpu_tables import cpu_tables, stack_tops
from emulator.check.leaks.heap_memory import Pieces, Spans
from emulator.guest.stack import stack_start
from emulator.guest.symbols import data_objects, data_symbol_lookup, is_writable
from emulator.loader.segments import SegmentFlags
from emulator.trace.queries.distinct import are_among
from emulator.x86 import PAGE_SIZE, WORD_SIZE, Cr0
from kernel_model.page_tables import PRESENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from emulator.loader.elf.symbols import Symbol
    from emulator.machine.machine import Machine
    from emulator.trace.table import I64, U32, Flags

_STACK_MAX: Final = 16 << 10  # of a stack of which nothing is known but ESP
_LOW_RAM: Final = 0xA0000  # bytes; above them are video memory and ROM
_CHUNK: Final = 1 << 24
_POINTERS: Final = ("eax", "ecx", "edx", "ebx", "ebp", "esi", "edi")


class Part(NamedTuple):
    """A range of memory.

    Attributes:
        address: Address of its first byte.
        data: Its bytes.
        physical: Whether *address* is a physical one.
        is_root: Whether it is memory of the kernel's own: in it, what allocators have handed out does not count.
    """

    address: int
    data: bytes
    physical: bool = False
    is_root: bool = False

    def words(self, offset: int = 0) -> tuple[int, U32]:
        """Return all whole words at multiples of 4, plus *offset*: the address of the first one, and their values."""
        skipped = (offset - self.address) % 4
        count = max(len(self.data) - skipped, 0) // 4
        values = np.frombuffer(self.data, "<u4", count, skipped) if count else np.empty(0, np.uint32)
        return self.address + skipped, values


class GuestWords:
    """The memory of a machine that does not run.

    Args:
        machine: Its memory and registers are read, nothing is changed.
        allocator: Names of the allocator's own variables, as far as they are known.
    """

    def __init__(self, machine: Machine, allocator: Iterable[str] = ()) -> None:
        self._machine = machine
        self._allocator = tuple(allocator)
        self._registers = machine.registers()

    @property
    def paging(self) -> bool:
        """Whether addresses are translated."""
        return bool(self._registers.cr0 & Cr0.PG)

    @property
    def registers(self) -> dict[str, int]:
        """The registers that can hold a pointer, by name; CR3 is as an entry of a page table would be."""
        pointers = {name: getattr(self._registers, name) for name in _POINTERS}
        return pointers | {"cr3": self._registers.cr3 | PRESENT} if self.paging else pointers

    @property
    def tables(self) -> list[tuple[str, int]]:
        """The memory that the CPU uses by itself: what it is, and its address."""
        return list(cpu_tables(self._machine))

    @property
    def pieces(self) -> Pieces:
        """The address space as the kernel's segments and variables cut it."""
        image = self._machine.image
        segments = [range(each.virtual, each.virtual + each.size) for each in image.segments]
        return Pieces.of(
            segments, [range(each.address, each.address + each.size) for each in data_objects(image)]
        )

    @cached_property
    def arrays(self) -> Spans:
        """The kernel's variables of more than a word, without that in which the stack lies."""
        objects = data_objects(self._machine.image)
        found = (range(each.address, each.address + each.size) for each in objects if each.size > WORD_SIZE)
        return Spans.of_ranges(each for each in found if self.stack_pointer not in each)

    @cached_property
    def spaces(self) -> AddressSpaces | None:
        """The kernel's address spaces; None while paging is off."""
        return self.walker()

    def walker(self) -> AddressSpaces | None:
        """Return the same for another walk, in which no table has been read yet."""
        return AddressSpaces.of(self._machine)

    @property
    def size(self) -> int:
        """Bytes of physical memory."""
        return len(self._machine.memory)

    def physical(self, address: int) -> int | None:
        """Return the physical address of a byte; None where nothing is mapped."""
        return self._machine.translate(address)

    def read(self, start: int, end: int) -> Iterator[Part]:
        """Yield the parts of [start, end) that are mapped."""
        if not self.paging:
            yield from self.read_physical(start, end)
            return
        at, pages = start, bytearray()  # bytes would be copied for each page: seconds for data of some MiB
        for page in range(start // PAGE_SIZE, -(-end // PAGE_SIZE)):
            low, high = max(start, page * PAGE_SIZE), min(end, (page + 1) * PAGE_SIZE)
            data = self._machine.read_linear(low, high - low)
            if len(data) < high - low and pages:
                yield Part(at, bytes(pages))
            if len(data) < high - low:
                at, pages = high, bytearray()
            else:
                pages += data
        if pages:
            yield Part(at, bytes(pages))

    def read_physical(self, start: int, end: int) -> Iterator[Part]:
        """Yield the part of [start, end), physical addresses, that is memory."""
        end = min(end, len(self._machine.memory))
        if start < end:
            yield Part(start, self._machine.memory.read(start, end - start), physical=True)

    def globals(self) -> Iterator[Part]:
        """Yield the kernel's data, without what lies below ESP in its stack: that is dead."""
        yield from self._written([self._dead])

    def plain_globals(self) -> Iterator[Part]:
        """Yield the globals without writable code, as a program in assembler has it, and without the allocator's own variables."""
        image = self._machine.image
        own = [image.symbols[name] for name in self._allocator if name in image.symbols]
        own_words = [range(each.address, each.address + each.size) for each in own]
        yield from self._written([*image.code_sections, *own_words, self._dead])

    def are_constants(self, addresses: I64, words: np.ndarray) -> Flags:
        """Return which words lie in code or among constants, and are as in the kernel's file: they know no block that was made later."""
        constant = self._constants.cover(addresses)
        for position in np.flatnonzero(constant).tolist():
            constant[position] = self._in_file(int(addresses[position])) == int(words[position])
        return constant

    def are_stack_tops(self, addresses: I64, *, physical: bool) -> Flags:
        """Return which words are the TSS's, and say where a stack of the CPU ends: they hold what lies below (`tables`)."""
        return are_among(addresses, self._stack_tops[physical])

    @cached_property
    def _stack_tops(self) -> tuple[list[int], list[int]]:
        """Where these words lie: their linear addresses, and the physical ones."""
        linear = list(stack_tops(self._machine))
        return linear, [at for at in map(self.physical, linear) if at is not None]

    @cached_property
    def _constants(self) -> Spans:
        return Spans.of_ranges(self._machine.image.constant_sections)

    def _in_file(self, address: int) -> int | None:
        """Return the word that the kernel's file has for an address; None: it has none."""
        for segment in self._machine.image.segments:
            offset = address - segment.virtual
            if 0 <= offset <= len(segment.data) - WORD_SIZE:
                return int.from_bytes(segment.data[offset : offset + WORD_SIZE], "little")
        return None

    def _written(self, without: Iterable[range]) -> Iterator[Part]:
        """Yield the writable segments, without some ranges."""
        others = list(without)
        for segment in self._machine.image.segments:
            if segment.flags & SegmentFlags.W:
                for start, end in _without(range(segment.virtual, segment.virtual + segment.size), others):
                    for part in self.read(start, end):
                        yield part._replace(is_root=True)

    def rest(self) -> Iterator[Part]:
        """Yield the RAM outside the kernel's segments, by physical addresses, without what lies below ESP in a stack there."""
        esp = self._registers.esp
        top = None if is_writable(self._machine.image, esp) else self.physical(esp)
        dead = [] if top is None else [range(max(top - _STACK_MAX, 0), top)]
        image = [range(each.physical, each.physical + each.size) for each in self._machine.image.segments]
        for low, end in ((0, _LOW_RAM), self._machine.ram):
            for start, stop in _without(range(low, end), [*image, *dead]):
                for at in range(start, stop, _CHUNK):
                    for part in self.read_physical(at, min(at + _CHUNK, stop)):
                        yield part._replace(is_root=True)

    @property
    def stack_pointer(self) -> int:
        """The linear address of the top of the stack."""
        return self._registers.esp

    def stack(self, end: int | None = None) -> Iterator[Part]:
        """Yield the live part of a stack that is not among the globals; nothing if it is.

        Args:
            end: Where the stack begins, at its upper end, if that is known.
        """
        esp = self._registers.esp
        if not is_writable(self._machine.image, esp):
            yield from self.read(esp, esp + _STACK_MAX if end is None else min(end, esp + _STACK_MAX))

    def describe(self, address: int) -> str:
        """Return what lies at an address, for people: ``global config+0x4``, ``the stack of the CPU``."""
        esp = self._registers.esp
        symbol = self._symbol_at(address)
        if esp <= address and (symbol is None or symbol.address <= esp):
            return "the stack of the CPU"
        if symbol is None:
            return f"the word at 0x{address:08x}"
        offset = address - symbol.address
        return f"global {symbol.name}+0x{offset:x}" if offset else f"global {symbol.name}"

    @cached_property
    def _dead(self) -> range:
        """The part of the stack below ESP, if the stack lies in the kernel's data."""
        esp = self._registers.esp
        start = stack_start(self._machine.image, esp)
        return range(esp if start is None else start, esp)

    @cached_property
    def _symbol_at(self) -> Callable[[int], Symbol | None]:
        return data_symbol_lookup(self._machine.image)


def _without(whole: range, others: Iterable[range]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a range that lie in none of some others."""
    at, end = whole.start, whole.stop
    for other in (*sorted(others, key=lambda each: each.start), range(end, end)):
        if at < min(other.start, end):
            yield at, min(other.start, end)
        at = max(at, other.stop)
