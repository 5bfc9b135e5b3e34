"""The exit device of QEMU, `isa-debug-exit,iobase=0xf4,iosize=4`: a write ends the run.

Source: QEMU, hw/misc/debugexit.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices import addresses
from emulator.devices.device import FastPort

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def exit_code(value: int) -> int:
    """Return the exit code of a process that a kernel ends by writing *value*: odd, never 0, one byte."""
    return ((value << 1) | 1) & 0xFF


class DebugExit:
    """The exit device. It has no state.

    Args:
        end: Called with the exit code. It has to end the run.
    """

    ports = addresses.DEBUG_EXIT

    def __init__(self, end: Callable[[int], None]) -> None:
        self._end = end

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`: 0."""
        del port, size
        return 0

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`: end the run. Port and size do not matter."""
        del port, size
        self._end(exit_code(value))

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Reads are fast."""
        return dict.fromkeys(self.ports, FastPort(constant=0))

    def save(self) -> object:
        """Return the state, of which there is none."""
        return None

    def restore(self, state: object) -> None:
        """Do nothing: there is no state."""
