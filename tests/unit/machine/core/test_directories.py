"""Page directories that the guest has used are remembered, the last one first."""

from __future__ import annotations

from emulator.machine.address_map import MIB
from emulator.machine.core.core_types import UsedDirectory
from emulator.machine.memory import RamWindow
from tests.helpers.guest import CODE, machine_of, symbol
from tests.helpers.page_tables import PAGE

# `count` directories that map the first 4 MiB as they are; each is loaded once, then the second one again.
GUEST = """
        movl    $directories, %eax
        movl    ${count}, %ecx
1:      movl    $0x83, (%eax)
        addl    $4096, %eax
        loop    1b
        paging  directories
        movl    $directories, %eax
        movl    ${count}, %ecx
2:      movl    %eax, %cr3
        addl    $4096, %eax
        loop    2b
        hlt
        movl    $directories + 4096, %eax
        movl    %eax, %cr3
        hlt
        .bss
        .balign 4096
directories: .skip 4096 * {count}
"""
RAM = RamWindow(MIB, 4 * MIB)


def test_none_is_known_before_paging_is_on() -> None:
    machine = machine_of(GUEST.format(count=3), ram=RAM)
    assert machine.cpu.used_directories() == ([], False)


def test_the_last_one_comes_first_with_a_page_that_it_maps() -> None:
    machine = machine_of(GUEST.format(count=3), ram=RAM)
    machine.run()
    first = symbol(machine, "directories")
    expected = [UsedDirectory(first + PAGE * number, CODE, CODE) for number in (2, 1, 0)]
    assert machine.cpu.used_directories() == (expected, False)
    machine.run()
    assert machine.cpu.used_directories() == ([expected[1], expected[0], expected[2]], False)


def test_a_snapshot_brings_them_back() -> None:
    machine = machine_of(GUEST.format(count=3), ram=RAM)
    start = machine.snapshot()
    machine.run()
    before = machine.cpu.used_directories()
    with machine.snapshot():
        machine.run()
        after = machine.cpu.used_directories()
    assert machine.cpu.used_directories() == before != after
    machine.run()
    assert machine.cpu.used_directories() == after
    start.reset()
    assert machine.cpu.used_directories() == ([], False)


def test_of_many_the_last_are_kept() -> None:
    machine = machine_of(GUEST.format(count=70), ram=RAM)
    machine.run()
    found, others = machine.cpu.used_directories()
    first = symbol(machine, "directories")
    assert [each.address for each in found] == [first + PAGE * number for number in range(69, 5, -1)]
    assert others
    exact = machine_of(GUEST.format(count=64), ram=RAM)
    exact.run()
    found, others = exact.cpu.used_directories()
    assert (len(found), others) == (64, False)


def test_the_reference_mmu_knows_none() -> None:
    machine = machine_of(GUEST.format(count=3), mmu="reference", ram=RAM)
    machine.run()
    assert machine.cpu.used_directories() == ([], False)
