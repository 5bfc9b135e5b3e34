"""The tables of Intel's MultiProcessor Specification: one CPU, an I/O APIC, and which interrupt comes in where.

Source: MultiProcessor Specification 1.4, chapter 4; entries as on QEMU's `pc`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emulator.boot_protocol.acpi_tables import with_checksum
from emulator.boot_protocol.hardware import IO_APIC, LOCAL_APIC

if TYPE_CHECKING:
    from emulator.boot_protocol.hardware import Hardware

POINTER_SIZE: Final = 16

_APIC_VERSION, _IO_APIC_VERSION = 0x14, 0x11
_ENABLED, _BOOTSTRAP = 1, 2
_SIGNATURE, _FEATURES = 0x0663, 0x0201  # a 686; FPU and local APIC
_HEADER = struct.Struct("<4sHBB8s12sIHHIHBB")
_INT, _NMI, _EXTINT = 0, 1, 3
_TIMER, _TIMER_INPUT, _CASCADE = 0, 2, 2
_ALL = 0xFF


def mp_pointer(table: int) -> bytes:
    """Return the floating pointer to a configuration table at a physical address."""
    return with_checksum(struct.pack("<4sIBBB5x", b"_MP_", table, 1, 4, 0), 10)


def mp_table(hardware: Hardware) -> bytes:
    """Return the configuration table.

    Args:
        hardware: With both APICs.
    """
    buses = [b"PCI   ", b"ISA   "] if hardware.pci else [b"ISA   "]
    isa = len(buses) - 1
    entries = [
        struct.pack("<BBBBII8x", 0, 0, _APIC_VERSION, _ENABLED | _BOOTSTRAP, _SIGNATURE, _FEATURES),
        *(struct.pack("<BB6s", 1, number, name) for number, name in enumerate(buses)),
        struct.pack("<BBBBI", 2, 0, _IO_APIC_VERSION, _ENABLED, IO_APIC),
        *(
            struct.pack("<BBHBBBB", 3, _INT, 0, isa, line, 0, _TIMER_INPUT if line == _TIMER else line)
            for line in range(16)
            if line != _CASCADE
        ),
        struct.pack("<BBHBBBB", 4, _EXTINT, 0, isa, 0, 0, 0),
        struct.pack("<BBHBBBB", 4, _NMI, 0, isa, 0, _ALL, 1),
    ]
    body = b"".join(entries)
    header = _HEADER.pack(
        *(b"PCMP", _HEADER.size + len(body), 4, 0, b"KMEMU   ", b"PC".ljust(12)),
        *(0, 0, len(entries), LOCAL_APIC, 0, 0, 0),
    )
    return with_checksum(header + body, 7)
