"""ACPI tables: power management at the ports of QEMU's `pc`, and the interrupt controllers that there are.

Source: ACPI 1.0b, 5.2 (tables), 7.5.2 (`_S5`), 16.2 (AML); ports and interrupt overrides as on QEMU's `pc`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emulator.boot_protocol.hardware import IO_APIC, LOCAL_APIC

if TYPE_CHECKING:
    from emulator.boot_protocol.hardware import Hardware

FACS: Final = 0x9FC40
"""The one table that a kernel writes to; in the extended BIOS data area, which the memory map keeps from it."""

_ALIGNMENT = 16
_OEM = b"KMEMU "
_HEADER = struct.Struct("<4sIBB6s8sI4sI")
_RSDP = struct.Struct("<8sB6sBI")
_FACS_SIZE = 64

_PM_EVENT, _PM_CONTROL, _PM_TIMER, _GPE = 0x600, 0x604, 0x608, 0xAFE0
_SCI = 9
_CENTURY = 0x32  # register of the CMOS clock
_NO_C2, _NO_C3 = 0x0FFF, 0x0FFF  # latencies in µs: too long to be used
_WBINVD, _C1, _SLEEP_BUTTON_ELSEWHERE, _RTC_S4 = 1 << 0, 1 << 2, 1 << 5, 1 << 7
_FLAGS = _WBINVD | _C1 | _SLEEP_BUTTON_ELSEWHERE | _RTC_S4

# Name (_S5, Package () {0, 0, 0, 0}): power is off after SLP_EN with a type of 0.
_DSDT = b"\x08_S5_\x12\x06\x04\x00\x00\x00\x00"

_HAS_8259 = 1
_LEVEL_HIGH = 0x000D
_OVERRIDES = (
    (0, 2, 0),
    (5, 5, _LEVEL_HIGH),
    (9, 9, _LEVEL_HIGH),
    (10, 10, _LEVEL_HIGH),
    (11, 11, _LEVEL_HIGH),
)


def acpi_tables(hardware: Hardware, base: int) -> tuple[bytes, bytes]:
    """Return the root pointer and the tables that it leads to.

    Args:
        hardware: With power management.
        base: Physical address of the tables in ROM, a multiple of 16.

    Returns:
        The root system description pointer of 20 bytes, and the tables as they lie from *base* on.
    """
    tables = bytearray()

    def add(table: bytes) -> int:
        address = base + len(tables)
        tables.extend(table + bytes(-len(table) % _ALIGNMENT))
        return address

    listed = [add(_fadt(add(_table(b"DSDT", 1, _DSDT))))]
    if hardware.local_apic:
        listed.append(add(_madt(hardware)))
    rsdt = add(_table(b"RSDT", 1, struct.pack(f"<{len(listed)}I", *listed)))
    root = _RSDP.pack(b"RSD PTR ", 0, _OEM, 0, rsdt)
    return with_checksum(root, 8), bytes(tables)


def facs() -> bytes:
    """Return the firmware ACPI control structure, which lies at `FACS`: no wake-up vector, no lock."""
    return struct.pack("<4sI", b"FACS", _FACS_SIZE).ljust(_FACS_SIZE, b"\0")


def with_checksum(table: bytes, at: int) -> bytes:
    """Return a table whose byte *at*, 0 so far, makes the sum of all bytes 0 (mod 256)."""
    return table[:at] + bytes([-sum(table) & 0xFF]) + table[at + 1 :]


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    size = _HEADER.size + len(body)
    header = _HEADER.pack(signature, size, revision, 0, _OEM, _OEM.ljust(8), 1, b"KMEM", 1)
    return with_checksum(header + body, 9)


def _fadt(dsdt: int) -> bytes:
    """No SMI command: ACPI mode is on, and cannot be left."""
    body = struct.pack("<IIBBHIBBBB", FACS, dsdt, 1, 0, _SCI, 0, 0, 0, 0, 0)
    body += struct.pack("<8I", _PM_EVENT, 0, _PM_CONTROL, 0, 0, _PM_TIMER, _GPE, 0)
    body += struct.pack("<8B", 4, 2, 0, 4, 4, 0, 0, 0)  # sizes of the blocks; of GPE1, its base
    body += struct.pack("<HHHHBBBBB3xI", _NO_C2, _NO_C3, 0, 0, 0, 0, 0, 0, _CENTURY, _FLAGS)
    return _table(b"FACP", 1, body)


def _madt(hardware: Hardware) -> bytes:
    entries = struct.pack("<BBBBI", 0, 8, 0, 0, 1)  # CPU 0 with APIC 0 is usable
    if hardware.io_apic:
        entries += struct.pack("<BBBBII", 1, 12, 0, 0, IO_APIC, 0)
        for source, input_, flags in _OVERRIDES:
            entries += struct.pack("<BBBBIH", 2, 10, 0, source, input_, flags)
    entries += struct.pack("<BBBHB", 4, 6, 0xFF, 0, 1)  # NMI at LINT1 of every CPU
    return _table(b"APIC", 1, struct.pack("<II", LOCAL_APIC, _HAS_8259) + entries)
