"""The BIOS's ROM, 0xF0000 to 1 MiB: tables that kernels find by scanning it, and the entries of its services.

An entry is an undefined instruction: there the machine serves the call (`emulator.bios`). The code after it is executed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.boot_protocol.acpi_tables import FACS, acpi_tables, facs
from emulator.boot_protocol.bios_data import ENTRIES, NO_ENTRY
from emulator.boot_protocol.mp_tables import POINTER_SIZE, mp_pointer, mp_table

if TYPE_CHECKING:
    from emulator.boot_protocol.hardware import Hardware

RSDP: Final = 0xF5000
"""Where the root pointer of ACPI lies, if there is one."""

_MP_POINTER = 0xF5020
_ACPI_TABLES = 0xF5400
_START, _END = 0xF0000, 0x100000
CODE_START: Final = 0xFD000
"""Where the part of the ROM begins in which code is: to its end. What is neither entry nor data is undefined there, too."""

TIMER_HANDLED: Final = ENTRIES[0x08] + 4
"""Offset of a second entry of the timer's handler, after the interrupt that it calls."""
RESET: Final = 0xFFF0
"""Offset at which a CPU starts."""

_IRET = b"\xcf"
_CALL = b"\x0f\x0b"  # ud2
_WAIT = b"\xfb\xf4\xeb\xf9"  # sti; hlt; and back to the entry
_LET_IN = b"\xfb\x90\xfa\xcf"  # sti; nop; cli; iret
_USER_TICK = b"\xcd\x1c"  # int 0x1c
_WAITING = tuple(ENTRIES[vector] for vector in (0x14, 0x15, 0x16, 0x1A))
FEATURES: Final = 0xE6F5
"""Offset of what int 15h, AH=C0 returns."""
_FEATURES = bytes.fromhex(
    "0800 fc 00 01 74 40 00 00 00"
)  # two controllers, a clock, int 15h, AH=4F, an extended data area; int 16h, AH=09
_DATE_AT: Final = 0xFFF5
_DATE_AND_MODEL = b"01/01/26\x00\xfc\x00"  # 0xFC: a PC/AT


def bios_rom(hardware: Hardware) -> tuple[tuple[int, bytes], ...]:
    """Return the ROM's contents, and what the tables in it need of RAM: (physical address, bytes)."""
    pieces = [(CODE_START, _code())]
    if hardware.power_management:
        pointer, tables = acpi_tables(hardware, _ACPI_TABLES)
        pieces += [(RSDP, pointer), (_ACPI_TABLES, tables), (FACS, facs())]
    if hardware.local_apic and hardware.io_apic:
        table = _MP_POINTER + POINTER_SIZE
        pieces.append((_MP_POINTER, mp_pointer(table) + mp_table(hardware)))
    return tuple(pieces)


def _code() -> bytes:
    code = bytearray(b"\xff" * (_END - CODE_START))

    def put(offset: int, data: bytes) -> None:
        at = _START + offset - CODE_START
        code[at : at + len(data)] = data

    for offset in ENTRIES.values():
        put(offset, _CALL + _IRET + (_WAIT + _LET_IN if offset in _WAITING else b""))
    put(ENTRIES[0x08], _CALL + _USER_TICK + _CALL + _IRET)
    put(NO_ENTRY, _IRET)
    put(RESET, _CALL)
    put(FEATURES, _FEATURES)
    put(_DATE_AT, _DATE_AND_MODEL)
    return bytes(code)
