from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.stack import dead_stack, stack_start
from emulator.loader.image import KernelImage
from tests.helpers.guest import machine_of, symbol

if TYPE_CHECKING:
    import pytest

    from emulator.machine.machine import Machine

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


def test_a_stack_of_which_only_the_upper_end_has_a_name_begins_after_the_data_before_it() -> None:
    machine = unnamed_stack(256)
    assert stack_start(machine.image, symbol(machine, "stack_top")) == symbol(machine, "before") + 4


def test_a_stack_without_a_name_is_16_kib_deep_at_most() -> None:
    machine = unnamed_stack(65536)
    top = symbol(machine, "stack_top")
    assert stack_start(machine.image, top) == top - 16384


def test_nobody_knows_where_a_stack_begins_in_a_kernel_without_symbols(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = unnamed_stack(256)
    top = symbol(machine, "stack_top")
    monkeypatch.setattr(KernelImage, "symbols", {})
    assert stack_start(machine.image, top) is None


def unnamed_stack(size: int) -> Machine:
    """Make a machine with data of 4 bytes, a stack of *size* bytes after it, and labels for both, of which that of the stack is at its upper end."""
    return machine_of(f"""
        nop
        .bss
        .type   before, @object
        .size   before, 4
before: .skip   4
        .skip   {size}
stack_top:
        .skip   4
""")
