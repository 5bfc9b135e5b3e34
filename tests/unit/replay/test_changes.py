from __future__ import annotations

from emulator.replay.changes import Change, dead_stack, find_changes
from tests.helpers.guest import machine_of, symbol

DATA = """
        nop
        .bss
        .type   boot_stack, @object
        .size   boot_stack, 64
boot_stack: .skip 64
        .globl after
after:  .skip 64
        .text
"""
PAGE = 0x0030_0000


def test_neighbouring_bytes_are_one_change() -> None:
    machine = machine_of(DATA)
    before = {PAGE: machine.memory.read(PAGE, 4096)}
    machine.memory.write(PAGE, b"\1\2\0\3")
    machine.memory.write(PAGE + 4095, b"\4")
    assert find_changes(machine, before) == [
        Change(PAGE, b"\0\0", b"\1\2"),
        Change(PAGE + 3, b"\0", b"\3"),
        Change(PAGE + 4095, b"\0", b"\4"),
    ]


def test_pages_that_were_written_but_are_the_same_do_not_count() -> None:
    machine = machine_of(DATA)
    assert find_changes(machine, {PAGE: machine.memory.read(PAGE, 4096)}) == []


def test_the_dead_stack_ends_with_the_object_it_lies_in() -> None:
    machine = machine_of(DATA)
    start = symbol(machine, "boot_stack")
    for used in (0, 8, 60):
        machine.cpu.set_registers(machine.cpu.registers()._replace(esp=start + 64 - used))
        assert dead_stack(machine) == range(start, start + 64 - used)


def test_a_stack_outside_of_objects_is_2_kib_deep() -> None:
    machine = machine_of(DATA)
    machine.cpu.set_registers(machine.cpu.registers()._replace(esp=PAGE))
    assert dead_stack(machine) == range(PAGE - 2048, PAGE)


def test_changes_below_esp_are_left_out() -> None:
    machine = machine_of(DATA)
    machine.cpu.set_registers(machine.cpu.registers()._replace(esp=PAGE + 8))
    before = {PAGE: machine.memory.read(PAGE, 4096)}
    machine.memory.write(PAGE, b"\1" * 12)
    assert find_changes(machine, before) == [Change(PAGE + 8, bytes(4), b"\1" * 4)]
