"""Values that QEMU's BIOS leaves, too, are compared in tests/oracle/test_boot_information.py."""

from __future__ import annotations

import struct

from emulator.boot_protocol.bios_data import IRETS, bios_data
from emulator.boot_protocol.hardware import Hardware
from emulator.boot_protocol.rom import bios_rom

TWO = Hardware(serial_ports=(0x3F8, 0x2F8))


def data_area(hardware: Hardware) -> bytes:
    return dict(bios_data(hardware))[0x400]


def test_every_vector_of_real_mode_leads_to_an_iret() -> None:
    vectors = dict(bios_data(TWO))[0]
    addresses = [segment * 16 + offset for offset, segment in struct.iter_unpack("<HH", vectors)]
    assert [vector for vector, address in enumerate(addresses) if not address] == [*range(0x60, 0x67), 0x79]
    assert set(addresses) == {0, *IRETS}
    assert len(vectors) == 1024
    code = dict(bios_rom(TWO))
    assert {code[address] for address in IRETS} == {b"\xcf"}


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
