from __future__ import annotations

from emulator.guest.stack import dead_stack, stack_start
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


def test_a_stack_begins_with_the_symbol_that_the_word_below_esp_lies_in() -> None:
    machine = machine_of(DATA)
    start, label = symbol(machine, "boot_stack"), symbol(machine, "after")
    assert stack_start(machine.image, start + 4) == start
    assert stack_start(machine.image, start + 64) == start  # nothing was pushed yet
    assert stack_start(machine.image, label + 40) == label  # which has no size
    assert stack_start(machine.image, PAGE) is None
