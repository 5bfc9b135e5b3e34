"""Address spaces of a machine's guest: in use, before paging is on, and of another page directory."""

from __future__ import annotations

import pytest

from emulator import boot
from emulator.errors import NotEmulated
from emulator.machine.address_map import ROM_START, VGA_START
from kernel_model.page_tables import Problem
from tests.helpers.guest import machine_of
from tests.helpers.page_tables import (
    DIRECTORY,
    PAGE,
    P,
    PageTables,
    U,
    W,
    enable_paging,
    identity_tables,
)
from tests.unit.machine.core.test_pae import NX_ON, pae_machine

HIGH = 0xC000_0000


def test_before_paging_is_on_every_address_is_itself() -> None:
    space = machine_of("exit 0").address_space()
    assert not space.is_paged
    assert space.translate(0x1234_5678) == 0x1234_5678


def test_the_space_in_use_is_that_of_cr3() -> None:
    machine = machine_of(enable_paging() + "exit 0")
    tables = identity_tables(machine)
    tables.map(HIGH, 0x20_0000, P | U)
    assert not machine.address_space().is_paged
    machine.run()
    space = machine.address_space()
    assert space.page_directory == DIRECTORY
    assert space.translate(HIGH + 5) == machine.translate(HIGH + 5) == 0x20_0005
    assert [(each.start, each.permission) for each in space.ranges()] == [(0, "s rw"), (HIGH, "u r-")]


def test_another_directory_is_read_before_paging_is_on() -> None:
    machine = machine_of("exit 0")
    PageTables(machine.memory).map(HIGH, 0x20_0000, P | W)
    space = machine.address_space(DIRECTORY)
    assert space.is_paged
    assert space.translate(HIGH) == 0x20_0000
    assert not machine.address_space().is_paged


@pytest.mark.parametrize("pse", [True, False])
def test_large_pages_are_read_as_cr4_says(pse: bool) -> None:
    machine = machine_of(enable_paging(pse=pse) + "exit 0")
    identity_tables(machine).map_large(HIGH, 0x40_0000)
    machine.run()
    assert machine.address_space().translate(HIGH + PAGE) == machine.translate(HIGH + PAGE)
    assert (machine.address_space().translate(HIGH + PAGE) == 0x40_1000) == pse


@pytest.mark.parametrize("nx", [True, False])
def test_three_levels_are_read_as_efer_says(nx: bool) -> None:
    machine, tables = pae_machine("exit 0", before=NX_ON if nx else "")
    tables.map(HIGH, 0x20_0000, P | W)
    tables.add_bits(HIGH, "table", 1 << 63)
    machine.run()
    space = machine.address_space()
    assert space.translate(HIGH) == machine.translate(HIGH) == (0x20_0000 if nx else None)
    assert [each.problem for each in space.problems()] == ([] if nx else [Problem.RESERVED])


@pytest.mark.parametrize("table", [VGA_START, ROM_START])
def test_tables_of_devices_and_in_rom_are_not_followed(table: int) -> None:
    machine = machine_of("exit 0")
    machine.memory.store_u32(DIRECTORY, table | P)
    space = machine.address_space(DIRECTORY)
    assert [(each.entry_at, each.problem) for each in space.problems()] == [(DIRECTORY, Problem.NOT_RAM)]
    assert space.translate(0) is None


@pytest.mark.parametrize("cr3", [-1, 1 << 32])
def test_what_cr3_cannot_hold_is_refused(cr3: int) -> None:
    with pytest.raises(ValueError, match=rf"^{cr3:#x} is not a number of 32 bits, as CR3 is$"):
        boot().address_space(cr3)


def test_the_tables_of_64_bit_mode_are_not_read() -> None:
    machine, _ = pae_machine("exit 0", before="movl $0xc0000080, %ecx\n rdmsr\n orl $0x100, %eax\n wrmsr\n")
    with pytest.raises(NotEmulated, match=r"^kmemu does not have 64-bit mode"):
        machine.run()
    with pytest.raises(NotEmulated, match=r"^the page tables of 64-bit mode are not read at "):
        machine.address_space()
