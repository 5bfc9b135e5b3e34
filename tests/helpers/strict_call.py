"""Calls of a kernel's functions that also hold the function to what every caller in C counts on."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emulator.machine.machine import CALLS_END

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

IF: Final = 0x200
DF: Final = 0x400
_LIMIT: Final = 20_000_000  # instructions
_KEPT: Final = {"ebx": 0xB0B0_0001, "esi": 0x0515_0002, "edi": 0x0D10_0003, "ebp": 0x0EB9_0004}
"""Registers that a function has to keep (i386 psABI 2.2.1), with values that nobody else uses."""


def strict_call(machine: Machine, function: str, *arguments: int, interrupts: bool = True) -> int:
    """Call a function as `Machine.call` does, with interrupts on or off, and return EAX.

    Raises:
        AssertionError: It has not kept ebx, esi, edi, ebp or esp; or IF is not as it was; or DF is set.
    """
    before = machine.cpu.registers()
    return_to = next(each for each in sorted(CALLS_END) if machine.cpu.translate(each) == min(CALLS_END))
    words = (return_to, *(argument & 0xFFFF_FFFF for argument in arguments))
    esp = before.esp - 4 * len(words)
    machine.write_linear(esp, struct.pack(f"<{len(words)}I", *words))
    flags = before.eflags & ~(IF | DF) | IF * interrupts
    eip = machine.address_of(function)
    machine.cpu.set_registers(before._replace(**_KEPT, esp=esp, eip=eip, eflags=flags))
    outcome = machine.run(max_instructions=_LIMIT)
    assert outcome.eip == return_to + 1, f"{function} did not return"
    after = machine.cpu.registers()
    assert {name: getattr(after, name) for name in _KEPT} == _KEPT, f"after {function}"
    assert after.esp == esp + 4, f"ESP after {function}"
    assert after.eflags & (IF | DF) == flags & IF, f"IF and DF after {function}"
    machine.cpu.set_registers(before)
    return after.eax
