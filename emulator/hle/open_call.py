"""A call in lockstep between its entry and its exit, and the part of the stack that it may use."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.machine.core.observed import WatchState
from emulator.x86 import PAGE_SIZE, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.loader.elf.symbols import Symbol
    from emulator.machine.core.core_types import Registers
    from emulator.machine.core.observers import WrittenPages
    from emulator.machine.machine import Machine
    from kernel_model.abi import Function

STACK_GUESS = 2048
"""Bytes of stack that a call may use where the stack's size is not known: more than any allocator needs."""

_POPPED_MAX = 16  # words that a wrong function takes from its caller's stack


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call between its entry and its exit.

    Attributes:
        function: Of the model.
        number: Number of the call in lockstep, from 1.
        written: The pages that the native code writes.
        esp: ESP at the entry; the return address lies there.
        return_at: Physical address of the return address.
        arguments: Words from the stack.
        registers: At the entry.
        stack: Physical addresses of the part of the stack that the native code may use.
        result: EAX as the model says.
        changes: Each byte that the model wrote: physical address -> value.
        console: What the model printed.
        console_size: Bytes that the guest had printed at the entry.
    """

    function: Function
    number: int
    written: WrittenPages
    esp: int
    return_at: int
    arguments: tuple[int, ...]
    registers: Registers
    stack: tuple[range, ...]
    result: int
    changes: dict[int, int]
    console: str
    console_size: int

    def starts_again(self, function: Function, registers: Registers) -> bool:
        """Return whether it is the call whose entry is reached: its first instruction has raised an exception, and comes again."""
        if self.function is not function or self.esp != registers.esp:
            return False
        before = self.registers._replace(
            cr2=registers.cr2, eflags=registers.eflags
        )  # an exception may set these
        return before == registers and self.written.state is WatchState.RESUMED

    def goes_on_in(self, other: OpenCall) -> bool:
        """Return whether the call was made inside of another one, on its stack."""
        return self.number > other.number and any(self.return_at in each for each in other.stack)

    @property
    def wrong_exits(self) -> range:
        """ESP at a `ret` of the call that takes another word than its own for the return address."""
        return range(self.esp - STACK_GUESS, self.esp + WORD_SIZE * _POPPED_MAX)


def data_objects(symbols: Iterable[Symbol]) -> list[range]:
    """Return the addresses of all data objects, ascending."""
    spans = sorted(
        (each.address, each.address + each.size) for each in symbols if each.kind == "object" and each.size
    )
    return [range(*span) for span in spans]


def stack_depth(objects: list[range], esp: int) -> int:
    """Return how many bytes below ESP native code may use.

    Args:
        objects: From `data_objects`. The stack ends with the one that it lies in; without one, `STACK_GUESS` is assumed.
        esp: At the entry of a function.
    """
    index = bisect_right(objects, esp, key=lambda each: each.start) - 1
    known = index >= 0 and esp < objects[index].stop
    return esp - objects[index].start if known else min(STACK_GUESS, esp)


def used_stack(machine: Machine, esp: int, depth: int, arguments: int) -> tuple[range, ...]:
    """Return the physical addresses that a call may use: its arguments, and everything below to the stack's end.

    Args:
        machine: Its page tables translate, page by page; what is not mapped is left out.
        esp: At the entry.
        depth: Bytes below ESP, see `stack_depth`.
        arguments: Words.
    """
    found: list[range] = []
    at, end = max(0, esp - depth), esp + WORD_SIZE * (1 + arguments)
    while at < end:
        stop = min(end, (at | PAGE_SIZE - 1) + 1)
        start = machine.translate(at)
        if start is not None and found and found[-1].stop == start:
            found[-1] = range(found[-1].start, start + stop - at)
        elif start is not None:
            found.append(range(start, start + stop - at))
        at = stop
    return tuple(found)
