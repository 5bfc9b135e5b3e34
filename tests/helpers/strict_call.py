"""Calls of a kernel's functions that also hold the function to what every caller in C counts on."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from emulator.errors import BudgetUsedUp
from emulator.machine.address_map import CALLS_END

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.machine.core.core_types import Registers
    from emulator.machine.machine import Machine

IF: Final = 0x200
DF: Final = 0x400
_LIMIT: Final = 20_000_000  # instructions
_STEPS: Final = 30_000
KEPT: Final = {"ebx": 0xB0B0_0001, "esi": 0x0515_0002, "edi": 0x0D10_0003, "ebp": 0x0EB9_0004}
"""Registers that a function has to keep (i386 psABI 2.2.1), with values that nobody else uses."""


def strict_call(machine: Machine, function: str | int, *arguments: int, interrupts: bool = True) -> int:
    """Call a function as `Machine.call` does, with interrupts on or off, and return EAX.

    Raises:
        AssertionError: It has not kept ebx, esi, edi, ebp or esp; or IF is not as it was; or DF is set.
    """
    before = machine.cpu.registers()
    begun = _begin(machine, function, arguments, IF * interrupts)
    outcome = machine.run(max_instructions=_LIMIT)
    assert outcome.eip == return_address(machine) + 1, f"{function} did not return"
    after = machine.cpu.registers()
    assert {name: getattr(after, name) for name in KEPT} == KEPT, f"after {function}"
    assert after.esp == begun.esp + 4, f"ESP after {function}"
    assert (after.eflags ^ begun.eflags) & (IF | DF) == 0, f"IF and DF after {function}"
    machine.cpu.set_registers(before)
    return after.eax


def stepped_call(machine: Machine, function: str, *arguments: int) -> Iterator[Registers]:
    """Call a function with interrupts on, one instruction after the other.

    Yields:
        The registers before each of its instructions, and after the last one. The machine then stands after it.
    """
    yield _begin(machine, function, arguments, IF)
    for _ in range(_STEPS):
        with suppress(BudgetUsedUp):
            machine.run(max_instructions=1)
        registers = machine.cpu.registers()
        yield registers
        if registers.eip == return_address(machine):
            return
    raise AssertionError(f"{function} does not return")


def _begin(
    machine: Machine, function: str | int, arguments: tuple[int, ...], interrupt_flag: int
) -> Registers:
    """Put the machine at a function's entry."""
    before = machine.cpu.registers()
    words = (return_address(machine), *(argument & 0xFFFF_FFFF for argument in arguments))
    esp = before.esp - 4 * len(words)
    machine.write_linear(esp, struct.pack(f"<{len(words)}I", *words))
    flags = before.eflags & ~(IF | DF) | interrupt_flag
    begun = before._replace(**KEPT, esp=esp, eip=machine.address_of(function), eflags=flags)
    machine.cpu.set_registers(begun)
    return begun


def return_address(machine: Machine) -> int:
    """Return where calls from Python return to, at the address where the kernel maps it."""
    physical = min(CALLS_END)
    return next(each for each in sorted(CALLS_END) if machine.cpu.translate(each) == physical)
