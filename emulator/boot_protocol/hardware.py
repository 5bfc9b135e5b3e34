"""What a PC has, as far as its BIOS describes it to kernels. The tables promise nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

LOCAL_APIC: Final = 0xFEE00000
IO_APIC: Final = 0xFEC00000

_SERIAL_PORTS = (0x3F8, 0x2F8, 0x3E8, 0x2E8)
_KEYBOARD_CONTROLLER = 0x64  # which has both
_PCI_ADDRESS = 0xCF8
_DISPLAY_INTERFACE = 0x1CE  # of Bochs and QEMU
_PM_CONTROL = 0x604  # PM1a control of ACPI, where QEMU's `pc` has it


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
            _KEYBOARD_CONTROLLER in there,
            _PCI_ADDRESS in there,
            _PM_CONTROL in there,
            LOCAL_APIC in memory,
            IO_APIC in memory,
            _DISPLAY_INTERFACE in there,
            disks,
        )
