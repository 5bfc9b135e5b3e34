from __future__ import annotations

import struct

import pytest

from emulator.boot_protocol.hardware import Hardware
from emulator.boot_protocol.mp_tables import POINTER_SIZE, mp_pointer, mp_table

HARDWARE = Hardware(local_apic=True, io_apic=True)
SIZES = {0: 20, 1: 8, 2: 8, 3: 8, 4: 8}


def entries(table: bytes) -> list[bytes]:
    found, at = [], 44
    while at < len(table):
        found.append(table[at : at + SIZES[table[at]]])
        at += SIZES[table[at]]
    return found


def test_the_pointer_leads_to_the_table() -> None:
    pointer = mp_pointer(0xF5030)
    assert (len(pointer), sum(pointer) % 256) == (POINTER_SIZE, 0)
    assert struct.unpack_from("<4sIBB", pointer) == (b"_MP_", 0xF5030, 1, 4)
    assert pointer[11:] == bytes(5)  # a configuration table; no IMCR


@pytest.mark.parametrize(("pci", "buses"), [(False, [b"ISA   "]), (True, [b"PCI   ", b"ISA   "])])
def test_the_table(*, pci: bool, buses: list[bytes]) -> None:
    table = mp_table(HARDWARE._replace(pci=pci))
    assert sum(table) % 256 == 0
    assert struct.unpack_from("<4sHB", table) == (b"PCMP", len(table), 4)
    count, local_apic = struct.unpack_from("<HI", table, 34)
    found = entries(table)
    assert (count, local_apic) == (len(found), 0xFEE00000)
    cpu, *rest = found
    assert struct.unpack_from("<BBBB", cpu) == (0, 0, 0x14, 3)
    isa = len(buses) - 1
    assert [(each[1], each[2:]) for each in rest[: len(buses)]] == list(enumerate(buses))
    io_apic, *lines = rest[len(buses) :]
    assert io_apic == struct.pack("<BBBBI", 2, 0, 0x11, 1, 0xFEC00000)
    expected = [(3, 0, 0, isa, 0, 0, 2)]
    expected += [(3, 0, 0, isa, line, 0, line) for line in range(1, 16) if line != 2]
    expected += [(4, 3, 0, isa, 0, 0, 0), (4, 1, 0, isa, 0, 0xFF, 1)]
    assert [struct.unpack("<BBHBBBB", each) for each in lines] == expected
