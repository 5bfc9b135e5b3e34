"""What a model call needs to know of the guest function that it stands in for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import GuestStopped

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from kernel_model.abi import Function


def stack_words(machine: Machine, esp: int, count: int) -> tuple[int, ...]:
    """The *count* words from ESP upwards; at a function's entry the return address, then its arguments.

    Raises:
        GuestStopped: The stack is not in memory.
    """
    physical = machine.cpu.translate(esp)
    if physical is None or physical + 4 * count > len(machine.memory):
        eip = machine.cpu.registers().eip
        raise GuestStopped(f"the stack at 0x{esp:08x} is not in memory", eip, machine.image.location(eip))
    return machine.memory.load_words(physical, count)


def call_text(function: Function, arguments: tuple[int, ...]) -> str:
    """A call for people: ``kmalloc(0x00000040)``."""
    return f"{function.name}({', '.join(f'0x{word:08x}' for word in arguments)})"
