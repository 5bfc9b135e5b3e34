"""The BIOS's ROM, 0xF0000 to 1 MiB: tables that kernels find by scanning it, and nearly no code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.boot_protocol.acpi_tables import FACS, acpi_tables, facs
from emulator.boot_protocol.bios_data import IRETS
from emulator.boot_protocol.mp_tables import POINTER_SIZE, mp_pointer, mp_table

if TYPE_CHECKING:
    from emulator.boot_protocol.hardware import Hardware

RSDP: Final = 0xF5000
"""Where the root pointer of ACPI lies, if there is one."""

_MP_POINTER = 0xF5020
_ACPI_TABLES = 0xF5400
_LAST_BYTES = 0xFFFF5
_DATE_AND_MODEL = b"01/01/26\x00\xfc\x00"  # 0xFC: a PC/AT
_IRET_CODE = b"\xcf"


def bios_rom(hardware: Hardware) -> tuple[tuple[int, bytes], ...]:
    """Return the ROM's contents, and what the tables in it need of RAM: (physical address, bytes)."""
    pieces = [*((address, _IRET_CODE) for address in IRETS), (_LAST_BYTES, _DATE_AND_MODEL)]
    if hardware.power_management:
        pointer, tables = acpi_tables(hardware, _ACPI_TABLES)
        pieces += [(RSDP, pointer), (_ACPI_TABLES, tables), (FACS, facs())]
    if hardware.local_apic and hardware.io_apic:
        table = _MP_POINTER + POINTER_SIZE
        pieces.append((_MP_POINTER, mp_pointer(table) + mp_table(hardware)))
    return tuple(pieces)
