from __future__ import annotations

import pytest

from emulator.devices.pci import Configuration, Function

ADDRESS, DATA = 0xCF8, 0xCFC
ONES = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF}


@pytest.fixture
def bus() -> Configuration:
    return Configuration(
        {(0, 0): Function({0: bytes.fromhex("86803712")}), (3, 1): Function({0x20: b"\x01\xc0"}, {0x20: 16})},
        _no_reset,
    )


def _no_reset() -> None:
    raise AssertionError


def at(bus: Configuration, device: int, function: int, register: int) -> Configuration:
    bus.write_port(ADDRESS, 4, 1 << 31 | device << 11 | function << 8 | register)
    return bus


def test_registers_are_read_in_all_widths(bus: Configuration) -> None:
    at(bus, 0, 0, 0)
    assert bus.read_port(DATA, 4) == 0x12378086
    assert [bus.read_port(port, 2) for port in (DATA, DATA + 2)] == [0x8086, 0x1237]
    assert [bus.read_port(DATA + index, 1) for index in range(4)] == [0x86, 0x80, 0x37, 0x12]
    assert bus.read_port(DATA + 1, 2) == 0  # not aligned


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("address", [0x80000100, 0x80000800, 0x80010000, 0x80FF0000, 0x00000000])
def test_what_is_not_there_reads_all_ones(bus: Configuration, address: int, size: int) -> None:
    bus.write_port(ADDRESS, 4, address)
    bus.write_port(DATA, 4, 0)
    assert bus.read_port(DATA, size) == ONES[size]


def test_the_address_is_one_register_of_32_bits(bus: Configuration) -> None:
    at(bus, 0, 0, 0)
    bus.write_port(ADDRESS, 1, 0x55)
    bus.write_port(ADDRESS + 2, 2, 0x5555)
    assert bus.read_port(ADDRESS, 4) == 0x80000000
    assert (bus.read_port(ADDRESS, 1), bus.read_port(ADDRESS + 2, 2)) == (0xFF, 0xFFFF)


def test_only_some_bits_of_a_header_can_be_written(bus: Configuration) -> None:
    at(bus, 0, 0, 0).write_port(DATA, 4, 0)
    assert bus.read_port(DATA, 4) == 0x12378086
    at(bus, 0, 0, 4).write_port(DATA, 4, 0xFFFFFFFF)
    assert bus.read_port(DATA, 4) == 0x0507
    at(bus, 0, 0, 0x3C).write_port(DATA, 1, 14)
    assert bus.read_port(DATA, 4) == 14
    at(bus, 0, 0, 0x40).write_port(DATA + 2, 2, 0xABCD)
    assert bus.read_port(DATA, 4) == 0xABCD0000


def test_a_base_address_says_how_much_it_decodes(bus: Configuration) -> None:
    at(bus, 3, 1, 0x20).write_port(DATA, 4, 0xFFFFFFFF)
    assert bus.read_port(DATA, 4) == 0xFFFFFFF1
    bus.write_port(DATA, 4, 0xD008)
    assert bus.read_port(DATA, 4) == 0xD001


def test_goes_back_to_a_state(bus: Configuration) -> None:
    state = at(bus, 0, 0, 0x40).save()
    bus.write_port(DATA, 4, 0x12345678)
    at(bus, 3, 1, 0x40).write_port(DATA, 4, 0x12345678)
    bus.restore(state)
    assert (bus.read_port(ADDRESS, 4), bus.read_port(DATA, 4)) == (0x80000040, 0)
    assert at(bus, 3, 1, 0x40).read_port(DATA, 4) == 0


def test_reset_control_resets_the_pc() -> None:
    resets: list[None] = []
    bus = Configuration({}, lambda: resets.append(None))
    bus.write_port(0xCF9, 1, 0xFB)
    assert (bus.read_port(0xCF9, 1), bus.read_port(0xCF8, 4), resets) == (0x02, 0, [])
    state = bus.save()
    bus.write_port(0xCF9, 1, 0x04)
    assert (bus.read_port(0xCF9, 1), resets) == (0, [None])
    bus.restore(state)
    assert bus.read_port(0xCF9, 1) == 0x02
