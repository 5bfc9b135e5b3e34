"""The debug console at port 0xE9, as Bochs and QEMU (`isa-debugcon`) have it.

A byte written is a character of output. A read gives 0xE9, by which a kernel can find out that it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices import addresses
from emulator.devices.device import FastPort, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

(PORT,) = addresses.DEBUG_CONSOLE
_PRESENT = 0xE9
_NOBODY = 0xFF  # what the bus gives where no device answers


class DebugConsole:
    """The debug console. It has no state.

    Args:
        console: Called with the output.
    """

    ports = addresses.DEBUG_CONSOLE

    def __init__(self, console: Callable[[bytes], None]) -> None:
        self._console = console

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`: the console is there."""
        return read_bytes(lambda at: _PRESENT if at == PORT else _NOBODY, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`: a character."""
        write_bytes(self._write, port, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Everything is fast, always."""
        return {PORT: FastPort(sink=True, constant=_PRESENT)}

    def save(self) -> object:
        """Return the state, of which there is none."""
        return None

    def restore(self, state: object) -> None:
        """Do nothing: there is no state."""

    def _write(self, port: int, byte: int) -> None:
        if port == PORT:
            self._console(bytes((byte,)))
