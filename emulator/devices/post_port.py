"""Port 0x80: it shows numbers while a PC starts, and kernels write to it to wait for a microsecond. Here nothing happens.

Source: QEMU, hw/i386/pc.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices import addresses
from emulator.devices.device import FastPort

if TYPE_CHECKING:
    from collections.abc import Mapping


class PostPort:
    """This port. It has no state."""

    ports = addresses.POST

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`: all ones."""
        del port
        return (1 << 8 * size) - 1

    def write_port(self, port: int, size: int, value: int) -> None:
        """Ignore `out`."""
        del port, size, value

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Accesses are fast, always."""
        return dict.fromkeys(self.ports, FastPort(constant=0xFF, ignores=True))

    def save(self) -> object:
        """Return the state, of which there is none."""
        return None

    def restore(self, state: object) -> None:
        """Do nothing: there is no state."""
