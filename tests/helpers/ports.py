"""Ports as the guest sees them: a few bytes of code, called in the machine, read and write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.helpers.strict_call import strict_call

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

CODE: Final = 0x0006_F000
"""Physical address of the code, in memory that the kernels do not use."""


def read_port(machine: Machine, port: int, base: int = 0) -> int:
    """Return what `in al, dx` reads.

    Args:
        machine: Its kernel stands where it can be called.
        port: Which.
        base: Where the kernel sees physical memory.
    """
    return _run(machine, b"\x31\xc0\x66\xba" + port.to_bytes(2, "little") + b"\xec\xc3", base)


def write_port(machine: Machine, port: int, value: int, base: int = 0) -> None:
    """Let `out dx, al` write a byte; see `read_port`."""
    _run(machine, b"\xb0" + bytes([value]) + b"\x66\xba" + port.to_bytes(2, "little") + b"\xee\xc3", base)


def _run(machine: Machine, code: bytes, base: int) -> int:
    machine.memory.write(CODE, code)
    machine.cpu.flush_code()  # other code was there before
    return strict_call(machine, base + CODE)
