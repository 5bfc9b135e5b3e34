"""Ports that belong to something on every PC, but do nothing on this one: both disk controllers without a drive, and port 0x80.

A controller without drives reads as 0, so that a kernel sees no drive there; nothing at all would read as all ones, which kernels
take for one that is busy. Port 0x80 shows numbers while a PC starts, and kernels write to it to wait for a microsecond.

Source: QEMU, hw/ide/core.c and hw/i386/pc.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.devices.device import FastPort, read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

_DISK_PORTS: Final = (*range(0x1F0, 0x1F8), 0x3F6, *range(0x170, 0x178), 0x376)
_POST: Final = 0x80
_NOBODY: Final = 0xFF


class SilentPorts:
    """These ports. They have no state."""

    ports = (*_DISK_PORTS, _POST)

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(lambda at: 0 if at in _DISK_PORTS else _NOBODY, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Ignore `out`."""
        del port, size, value

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Reads are fast, always."""
        disks = dict.fromkeys(_DISK_PORTS, FastPort(constant=0, ignores=True))
        return disks | {_POST: FastPort(constant=_NOBODY, ignores=True)}

    def save(self) -> object:
        """Return the state, of which there is none."""
        return None

    def restore(self, state: object) -> None:
        """Do nothing: there is no state."""
