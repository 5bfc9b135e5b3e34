from __future__ import annotations

import pytest

from emulator.boot_protocol.hardware import Hardware
from emulator.devices.board import pc_board
from emulator.machine.machine import Machine
from tests.helpers.guest import assemble


def test_nothing_is_promised_that_is_not_there() -> None:
    assert Hardware.found((), ()) == Hardware((), pci=False, power_management=False)
    assert Hardware.found((0x3F9, 0xCF9, 0x605), (0xB8000, 0xFEC00010)) == Hardware()


@pytest.mark.parametrize(
    ("ports", "registers", "expected"),
    [
        ((0x2F8, 0x3E8, 0x3F8), (), Hardware((0x3F8, 0x2F8, 0x3E8))),
        ((0x60,), (), Hardware(mouse=True)),
        ((0xCF8,), (), Hardware(pci=True)),
        ((0x600,), (), Hardware(power_management=True)),
        ((), (0xFEE00000,), Hardware(local_apic=True)),
        ((), (0xFEC00000,), Hardware(io_apic=True)),
    ],
)
def test_each_device_is_found(ports: tuple[int, ...], registers: tuple[int, ...], expected: Hardware) -> None:
    assert Hardware.found(ports, registers) == expected


def test_the_machine_looks_at_its_board() -> None:
    with_serial, without = (Machine(assemble("hlt"), board=board) for board in (None, pc_board()[2:]))
    assert with_serial.memory.read(0x400, 2) == b"\xf8\x03"
    assert without.memory.read(0x400, 2) == b"\0\0"
