"""Registers and memory: read, and written as edits of the run."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from emulator.debug.gdb.answers import HEX, OK, Refused, answer, obeyed
from emulator.debug.gdb.packets import PACKET_MAX
from emulator.debug.gdb.registers import NUMBERS, REGISTERS, WRITABLE, all_bytes, register_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.debug.gdb.answers import Answer
    from emulator.debug.gdb.output import NewOutput
    from emulator.debug.gdb.threads import Threads
    from emulator.debug.kernel_debugger import Debugger

_READ_MAX: Final = PACKET_MAX // 2  # bytes whose digits fit into a packet
_BYTES = rb"((?:[0-9a-fA-F]{2})*)"
_TOTAL: Final = sum(register.size for register in REGISTERS)


class State:
    """Registers and memory of a debugger's machine.

    Args:
        debugger: Its machine stands still.
        threads: Of the machine.
        output: Of the machine.
    """

    def __init__(self, debugger: Debugger, threads: Threads, output: NewOutput) -> None:
        self._debugger = debugger
        self._machine = debugger.machine
        self._threads = threads
        self._output = output
        self.answers: tuple[Answer, ...] = (
            answer("g", b"", lambda: all_bytes(threads.chosen_registers())),
            answer("G", _BYTES, self._write_registers),
            answer("p", HEX, self._read_register),
            answer("P", HEX + b"=" + _BYTES, self._write_register),
            answer("m", HEX + b"," + HEX, self._read),
            answer("M", HEX + b"," + HEX + b":" + _BYTES, self._write_digits),
            answer("X", HEX + b"," + HEX + b":(.*)", self._write_bytes),
        )

    def _read_register(self, number: bytes) -> bytes:
        register = _register(number)
        return register_bytes(REGISTERS[register], self._threads.chosen_registers())

    def _write_register(self, number: bytes, digits: bytes) -> bytes:
        register = REGISTERS[_register(number)]
        value = bytes.fromhex(digits.decode())
        if len(value) != register.size:
            raise Refused(errno.EINVAL, f"{register.name} has {register.size} bytes")
        self._set({register.name: int.from_bytes(value, "little")})
        return OK

    def _write_registers(self, digits: bytes) -> bytes:
        data = bytes.fromhex(digits.decode())
        if len(data) != _TOTAL:
            raise Refused(errno.EINVAL, f"all registers have {_TOTAL} bytes")
        values, given, at = self._threads.chosen_registers(), {}, 0
        for register in REGISTERS:
            given[register.name] = int.from_bytes(data[at : at + register.size], "little")
            at += register.size
        self._set({name: value for name, value in given.items() if values.get(name, value) != value})
        return OK

    def _set(self, values: Mapping[str, int]) -> None:
        """Set registers, all or none."""
        if not self._threads.is_running_chosen():
            raise Refused(errno.EPERM, "the registers of a task that does not run cannot be written")
        for name in values.keys() - WRITABLE:
            raise Refused(errno.EPERM, f"{name} cannot be written")
        for name, value in values.items():
            self._edit(lambda: self._debugger.write_register(name, value))  # noqa: B023 - called at once

    def _read(self, address: bytes, size: bytes) -> bytes:
        wanted = min(int(size, 16), _READ_MAX)
        data = self._machine.read_linear(int(address, 16), wanted)
        if wanted and not data:
            raise Refused(errno.EFAULT, f"nothing is mapped at 0x{int(address, 16):08x}")
        return data.hex().encode()

    def _write_digits(self, address: bytes, size: bytes, digits: bytes) -> bytes:
        return self._write(int(address, 16), int(size, 16), bytes.fromhex(digits.decode()))

    def _write_bytes(self, address: bytes, size: bytes, data: bytes) -> bytes:
        return self._write(int(address, 16), int(size, 16), data)

    def _write(self, address: int, size: int, data: bytes) -> bytes:
        if len(data) != size:
            raise Refused(errno.EINVAL, f"{size} bytes are announced, and {len(data)} have come")
        if len(self._machine.read_linear(address, size)) < size:
            raise Refused(errno.EFAULT, f"not all of 0x{address:08x}, {size} bytes, is memory")
        if data:
            self._edit(lambda: self._debugger.write_memory(address, data))
        return OK

    def _edit(self, change: Callable[[], None]) -> None:
        with obeyed(errno.EFAULT):
            change()
        self._output.forget_future()


def _register(number: bytes) -> int:
    value = int(number, 16)
    if value >= len(NUMBERS):
        raise Refused(errno.EINVAL, f"there is no register {value}")
    return value
