"""A reset keeps the TLB where addresses lie where they lay, and empties it where they do not."""

from __future__ import annotations

from typing import Literal

import pytest

from emulator.machine.machine import Machine
from tests.helpers.guest import assemble, machine_of, results_of
from tests.helpers.page_tables import PAGE, enable_paging, identity_tables

Mmu = Literal["fast", "ordinary", "reference"]
DATA = 0x00300000  # a page that the guest uses for nothing else
PAGING_OFF = "movl %cr0, %eax\n andl $0x7fffffff, %eax\n movl %eax, %cr0\n jmp 1f\n 1:"
LOOK = f"movl 0x{DATA:x}, %ebx\n put ebx"


@pytest.fixture(params=["fast", "ordinary", "reference"])
def mmu(request: pytest.FixtureRequest) -> Mmu:
    found: Mmu = request.param
    return found


def moved(source: str, mmu: Mmu) -> Machine:
    """Return a machine in which DATA lies on the next page, with paging."""
    machine = machine_of(source, mmu=mmu)
    identity_tables(machine).map(DATA, DATA + PAGE)
    machine.memory.store_u32(DATA, 1)
    machine.memory.store_u32(DATA + PAGE, 2)
    return machine


def test_paging_that_was_switched_on_since_is_off_again(mmu: Mmu) -> None:
    machine = moved(f"{LOOK}\n hlt\n {LOOK}\n{enable_paging()}{LOOK}\n hlt", mmu)
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        assert results_of(machine, 3) == [1, 1, 2]
        snapshot.reset()


def test_paging_that_was_switched_off_since_is_on_again(mmu: Mmu) -> None:
    machine = moved(f"{enable_paging()}{LOOK}\n hlt\n {LOOK}\n {PAGING_OFF}\n {LOOK}\n hlt", mmu)
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        assert results_of(machine, 3) == [2, 2, 1]
        snapshot.reset()


def test_another_page_directory_since_is_left_again(mmu: Mmu) -> None:
    other = "movl $other, %eax\n movl %eax, %cr3\n"
    machine = moved(
        f"{enable_paging()}{LOOK}\n hlt\n {LOOK}\n {other}{LOOK}\n hlt\n"
        ".section .bss\n .balign 4096\n other: .skip 4096\n .text\n",
        mmu,
    )
    directory = machine.image.symbol("other")
    assert directory is not None
    machine.memory.store_u32(directory.address, 0x83)  # all as it lies
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        assert results_of(machine, 3) == [2, 2, 1]
        snapshot.reset()


def test_page_tables_that_were_changed_since_hold_again(mmu: Mmu) -> None:
    machine = moved(
        f"{enable_paging()}{LOOK}\n hlt\n {LOOK}\n movl $0x{DATA + 3:x}, (%esi)\n invlpg 0x{DATA:x}\n {LOOK}\n hlt",
        mmu,
    )
    tables = identity_tables(machine)
    tables.map(DATA, DATA + PAGE)
    machine.cpu.set_registers(machine.registers()._replace(esi=tables.table_entry(DATA)))
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        assert results_of(machine, 3) == [2, 2, 1]
        snapshot.reset()


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
def test_an_access_of_memory_in_which_nothing_is_comes_as_the_first_one_again(mmu: Mmu) -> None:
    machine = machine_of("movl 0x40000000, %eax\n hlt\n movl 0x40001000, %eax\n exit 0", mmu=mmu)
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        reads = [(lack.address, lack.reads) for lack in machine.unanswered.lacks()]
        assert reads == [(0x40000000, 1), (0x40001000, 1)]
        snapshot.reset()
        assert [lack.address for lack in machine.unanswered.lacks()] == [0x40000000]


def test_video_memory_that_showed_something_else_since_is_back() -> None:
    mode = """
        .macro  dispi index, value
        movw    $0x1ce, %dx
        movw    $\\index, %ax
        outw    %ax, %dx
        incw    %dx
        movw    $\\value, %ax
        outw    %ax, %dx
        .endm
        movl    $1, 0xa0000
        hlt
        movl    0xa0000, %ebx
        put     ebx
        dispi   1, 640
        dispi   2, 480
        dispi   3, 8
        dispi   4, 0x41
        movl    $2, 0xa0000
        movl    0xa0000, %ebx
        put     ebx
        hlt
    """
    machine = Machine(assemble(mode))
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        assert results_of(machine, 2) == [1, 2]
        snapshot.reset()


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
def test_the_first_write_to_a_page_is_noted_again(mmu: Mmu) -> None:
    machine = machine_of(
        f"pushl $0\n hlt\n movl $1, %ecx\n 1: movl %ecx, 0x{DATA:x}\n loop 1b\n nop\n hlt", mmu=mmu
    )
    machine.run()
    esp = machine.registers().esp
    note = machine.observers.note_written(range(esp - 64, esp + 1))
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        snapshot.reset()
    machine.run()
    assert DATA in note.take().pages
