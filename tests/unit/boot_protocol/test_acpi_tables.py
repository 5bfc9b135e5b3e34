"""The tables read back as a kernel reads them: from the root pointer on, each with a right checksum."""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest

from emulator.boot_protocol.acpi_tables import FACS, acpi_tables, facs
from emulator.boot_protocol.hardware import Hardware

BASE = 0xF5400
PLAIN = Hardware(power_management=True)
LOCAL = PLAIN._replace(local_apic=True)
BOTH = LOCAL._replace(io_apic=True)


class Tables(NamedTuple):
    """What lies at `BASE`, and the addresses that the root table lists."""

    data: bytes
    listed: tuple[int, ...]

    def at(self, address: int) -> bytes:
        start = address - BASE
        (size,) = struct.unpack_from("<I", self.data, start + 4)
        table = self.data[start : start + size]
        assert (address % 16, len(table), sum(table) % 256) == (0, size, 0)
        assert table[10:16] == b"KMEMU "
        return table

    def called(self, signature: bytes) -> bytes:
        return next(table for table in map(self.at, self.listed) if table[:4] == signature)


def read(hardware: Hardware) -> Tables:
    pointer, tables = acpi_tables(hardware, BASE)
    signature, revision, rsdt = struct.unpack("<8s7xBI", pointer)
    assert (signature, revision, sum(pointer) % 256, len(pointer)) == (b"RSD PTR ", 0, 0, 20)
    root = Tables(tables, ()).at(rsdt)
    assert root[:4] == b"RSDT"
    return Tables(tables, struct.unpack(f"<{len(root) // 4 - 9}I", root[36:]))


@pytest.mark.parametrize(
    ("hardware", "signatures"),
    [(PLAIN, [b"FACP"]), (LOCAL, [b"FACP", b"APIC"]), (BOTH, [b"FACP", b"APIC"])],
)
def test_only_what_is_there_has_a_table(hardware: Hardware, signatures: list[bytes]) -> None:
    tables = read(hardware)
    assert [tables.at(address)[:4] for address in tables.listed] == signatures


def test_power_management_has_the_ports_of_qemus_pc() -> None:
    table = read(PLAIN).called(b"FACP")
    assert len(table) == 116
    facs_address, _, sci, smi = struct.unpack_from("<IIxxHI", table, 36)
    assert (facs_address, sci, smi) == (FACS, 9, 0)
    assert struct.unpack_from("<8I", table, 56) == (0x600, 0, 0x604, 0, 0, 0x608, 0xAFE0, 0)
    assert tuple(table[88:96]) == (4, 2, 0, 4, 4, 0, 0, 0)
    assert struct.unpack_from("<HH", table, 96) == (0xFFF, 0xFFF)
    assert table[108] == 0x32
    assert struct.unpack_from("<I", table, 112) == (0xA5,)


def test_the_dsdt_says_how_power_goes_off() -> None:
    tables = read(PLAIN)
    dsdt = tables.at(struct.unpack_from("<I", tables.called(b"FACP"), 40)[0])
    at = dsdt.index(b"_S5_")
    assert dsdt[at - 1] == 0x08  # NameOp
    assert tuple(dsdt[at + 4 :]) == (0x12, 6, 4, 0, 0, 0, 0)  # PackageOp, its length, four zeros


def test_the_facs_can_be_written_and_is_aligned() -> None:
    assert FACS % 64 == 0
    assert 0x9FC00 < FACS < 0xA0000
    assert facs()[:8] == b"FACS\x40\0\0\0"
    assert (len(facs()), sum(facs()[8:])) == (64, 0)


def entries(table: bytes) -> list[bytes]:
    found, at = [], 44
    while at < len(table):
        found.append(table[at : at + table[at + 1]])
        at += table[at + 1]
    return found


def test_the_interrupt_controllers_are_listed() -> None:
    table = read(BOTH).called(b"APIC")
    assert struct.unpack_from("<II", table, 36) == (0xFEE00000, 1)
    cpu, io_apic, *overrides, nmi = entries(table)
    assert cpu == b"\x00\x08\x00\x00\x01\0\0\0"
    assert io_apic == struct.pack("<BBBBII", 1, 12, 0, 0, 0xFEC00000, 0)
    assert [struct.unpack("<BBBBIH", each) for each in overrides] == [
        (2, 10, 0, source, target, flags)
        for source, target, flags in ((0, 2, 0), (5, 5, 13), (9, 9, 13), (10, 10, 13), (11, 11, 13))
    ]
    assert nmi == b"\x04\x06\xff\0\0\x01"


def test_without_an_io_apic_nothing_is_routed_through_one() -> None:
    assert [entry[0] for entry in entries(read(LOCAL).called(b"APIC"))] == [0, 4]
