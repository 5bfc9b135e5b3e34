from __future__ import annotations

from emulator.replay.changes import Change, find_changes
from tests.helpers.guest import machine_of

PAGE = 0x0030_0000


def test_neighbouring_bytes_are_one_change() -> None:
    machine = machine_of("nop\n")
    before = {PAGE: machine.memory.read(PAGE, 4096)}
    machine.memory.write(PAGE, b"\1\2\0\3")
    machine.memory.write(PAGE + 4095, b"\4")
    assert find_changes(machine, before) == [
        Change(PAGE, b"\0\0", b"\1\2"),
        Change(PAGE + 3, b"\0", b"\3"),
        Change(PAGE + 4095, b"\0", b"\4"),
    ]


def test_pages_that_were_written_but_are_the_same_do_not_count() -> None:
    machine = machine_of("nop\n")
    assert find_changes(machine, {PAGE: machine.memory.read(PAGE, 4096)}) == []


def test_changes_below_esp_are_left_out() -> None:
    machine = machine_of("nop\n")
    machine.cpu.set_registers(machine.cpu.registers()._replace(esp=PAGE + 8))
    before = {PAGE: machine.memory.read(PAGE, 4096)}
    machine.memory.write(PAGE, b"\1" * 12)
    assert find_changes(machine, before) == [Change(PAGE + 8, bytes(4), b"\1" * 4)]
