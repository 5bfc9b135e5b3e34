"""Values that QEMU's BIOS leaves, too, are compared in tests/oracle/test_boot_information.py."""

from __future__ import annotations

import struct

from emulator.boot_protocol.bios_data import ENTRIES, NO_ENTRY, bios_data
from emulator.boot_protocol.hardware import Hardware
from emulator.boot_protocol.rom import CODE_START, bios_rom

WAITS = b"\xcf\xfb\xf4\xeb\xf9\xfb\x90\xfa\xcf"
TWO = Hardware(serial_ports=(0x3F8, 0x2F8))


def data_area(hardware: Hardware) -> bytes:
    return dict(bios_data(hardware))[0x400]


def test_every_vector_of_real_mode_leads_to_an_entry() -> None:
    vectors = list(struct.iter_unpack("<HH", dict(bios_data(TWO))[0]))
    assert [vector for vector, entry in enumerate(vectors) if entry == (0, 0)] == [*range(0x60, 0x67), 0x79]
    assert {offset for offset, segment in vectors if segment} == {NO_ENTRY, *ENTRIES.values()}
    assert {segment for offset, segment in vectors} == {0, 0xF000}
    assert len(vectors) == 256


def test_an_entry_is_an_undefined_instruction_and_then_a_return() -> None:
    code = dict(bios_rom(TWO))[CODE_START]

    def at(offset: int, size: int) -> bytes:
        start = 0xF0000 + offset - CODE_START
        return code[start : start + size]

    assert at(NO_ENTRY, 1) == b"\xcf"
    for vector, offset in ENTRIES.items():
        after = {0x08: b"\xcd\x1c\x0f\x0b\xcf", 0x14: WAITS, 0x15: WAITS, 0x16: WAITS, 0x1A: WAITS}.get(
            vector, b"\xcf"
        )
        assert at(offset, 2 + len(after)) == b"\x0f\x0b" + after


def test_serial_ports_are_listed_and_counted() -> None:
    assert struct.unpack_from("<5H", data_area(TWO)) == (0x3F8, 0x2F8, 0, 0, 0)
    assert struct.unpack_from("<H", data_area(TWO), 0x10) == (0x0422,)
    assert data_area(TWO)[0x7C:0x80] == b"\x0a\x0a\0\0"
    assert struct.unpack_from("<H", data_area(Hardware()), 0x10) == (0x0022,)
    assert struct.unpack_from("<H", data_area(Hardware(mouse=True)), 0x10) == (0x0026,)
    assert not any(data_area(Hardware())[:14])


def test_the_extended_data_area_is_a_kib_below_640() -> None:
    assert struct.unpack_from("<HHxH", data_area(TWO), 0x0E) == (0x9FC0, 0x0422, 639)
    assert dict(bios_data(TWO))[0x9FC00] == b"\x01"


def test_disks_are_counted() -> None:
    assert data_area(Hardware())[0x75] == 0
    assert data_area(Hardware(disks=3))[0x75] == 3
