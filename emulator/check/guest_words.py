"""A kernel's memory as words, and where in it a pointer counts: globals, the stack, registers."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.loader.image import SegmentFlags
from emulator.machine.memory import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.symbols import Symbol
    from emulator.machine.machine import Machine
    from emulator.trace.columns import U32

_PAGING: Final = 1 << 31  # CR0.PG
_STACK_MAX: Final = 16 << 10  # of a stack of which nothing is known but ESP
_POINTERS: Final = ("eax", "ecx", "edx", "ebx", "ebp", "esi", "edi")


class Words(NamedTuple):
    """Words of memory.

    Attributes:
        address: Of the first one; a multiple of 4. The others follow.
        values: What they hold.
    """

    address: int
    values: U32


class GuestWords:
    """The memory of a machine that stands still.

    Args:
        machine: Its memory and registers are read, nothing is changed.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._registers = machine.cpu.registers()

    @property
    def paging(self) -> bool:
        """Whether addresses are translated."""
        return bool(self._registers.cr0 & _PAGING)

    @property
    def registers(self) -> dict[str, int]:
        """The registers that can hold a pointer, by name."""
        return {name: getattr(self._registers, name) for name in _POINTERS}

    def read(self, start: int, end: int) -> Words:
        """Return the whole words in [start, end), up to the first that is not mapped."""
        start = -(-start // 4) * 4
        end = max(end // 4 * 4, start)
        if self.paging:
            pages = range(start // PAGE_SIZE, -(-end // PAGE_SIZE))
            data = b"".join(
                self._machine.read_linear(low, min(end, (page + 1) * PAGE_SIZE) - low)
                for page in pages
                for low in (max(start, page * PAGE_SIZE),)
            )
        else:
            end = min(end, len(self._machine.memory))
            data = self._machine.memory.read(start, end - start) if start < end else b""
        return Words(start, np.frombuffer(data, "<u4", len(data) // 4))

    def globals(self) -> Iterator[Words]:
        """Yield the kernel's data, without what lies below the top of the stack: that is dead."""
        dead = self._dead
        for segment in self._machine.image.segments:
            if segment.flags & SegmentFlags.W:
                start, end = segment.virtual, segment.virtual + segment.size
                for low, high in ((start, min(dead.start, end)), (max(dead.stop, start), end)):
                    if low < high:
                        yield self.read(low, high)

    def stack(self) -> Words:
        """Return the live part of a stack that is not among the globals; no words if it is."""
        esp = self._registers.esp
        if self._segment_end(esp):
            return self.read(esp, esp)
        return self.read(esp, esp + _STACK_MAX)

    def place(self, address: int) -> str:
        """Return a place for people: ``global config+0x4``, ``the stack of the CPU``."""
        esp = self._registers.esp
        symbol = self._symbol(address)
        if esp <= address and (symbol is None or symbol.address <= esp):
            return "the stack of the CPU"
        if symbol is None:
            return f"the word at 0x{address:08x}"
        offset = address - symbol.address
        return f"global {symbol.name}+0x{offset:x}" if offset else f"global {symbol.name}"

    @property
    def _dead(self) -> range:
        """The part of the stack below ESP, if the stack lies in the kernel's data."""
        esp = self._registers.esp
        symbol = self._symbol(esp - 4)
        return range(symbol.address if symbol and self._segment_end(esp - 4) else esp, esp)

    def _segment_end(self, address: int) -> int:
        """Return where the segment of data ends that holds an address; 0: none does."""
        for segment in self._machine.image.segments:
            end = segment.virtual + segment.size
            if segment.flags & SegmentFlags.W and segment.virtual <= address < end:
                return end
        return 0

    def _symbol(self, address: int) -> Symbol | None:
        """Return the symbol of data that an address lies in; a label reaches to the next symbol."""
        starts, symbols = self._data_symbols
        index = bisect_right(starts, address) - 1
        if index < 0 or not self._segment_end(address):
            return None
        symbol = symbols[index]
        return symbol if not symbol.size or address < symbol.address + symbol.size else None

    @cached_property
    def _data_symbols(self) -> tuple[list[int], list[Symbol]]:
        data = [
            symbol for symbol in self._machine.image.symbols.values() if self._segment_end(symbol.address)
        ]
        data.sort(key=lambda symbol: (symbol.address, symbol.size))
        return [symbol.address for symbol in data], data
