"""What a PC has, as far as its BIOS describes it to kernels. The tables promise nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

LOCAL_APIC: Final = addresses.LOCAL_APIC[0]
IO_APIC: Final = addresses.IO_APIC[0]

_SERIAL_PORTS = (addresses.COM1[0], addresses.COM2[0], 0x3E8, 0x2E8)


class Hardware(NamedTuple):
    """The devices of a PC that kernels look for in tables.

    Attributes:
        serial_ports: First ports of the UARTs, COM1 first.
        mouse: There is a PS/2 mouse, beside the keyboard.
        pci: There is a PCI bus.
        power_management: There are the ACPI registers at 0x600-0x60B.
        local_apic: The CPU has a local APIC at `LOCAL_APIC`.
        io_apic: There is an I/O APIC at `IO_APIC`.
        graphics: There is an adapter with a frame buffer.
        disks: How many disks there are.
    """

    serial_ports: tuple[int, ...] = ()
    mouse: bool = False
    pci: bool = False
    power_management: bool = False
    local_apic: bool = False
    io_apic: bool = False
    graphics: bool = False
    disks: int = 0

    @classmethod
    def found(cls, ports: Iterable[int], registers: Iterable[int], disks: int = 0) -> Hardware:
        """Return what a board has.

        Args:
            ports: Those at which a device answers.
            registers: First addresses of the devices' registers in memory.
            disks: How many disks are plugged in.
        """
        there, memory = frozenset(ports), frozenset(registers)
        return cls(
            tuple(port for port in _SERIAL_PORTS if port in there),
            addresses.KEYBOARD[0] in there,
            addresses.PCI[0] in there,
            addresses.ACPI[0] in there,
            LOCAL_APIC in memory,
            IO_APIC in memory,
            addresses.DISPLAY_INTERFACE[0] in there,
            disks,
        )
