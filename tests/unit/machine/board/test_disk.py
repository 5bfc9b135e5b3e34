"""A guest and its disk: the data port, the bus master, interrupts, snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.devices.board import BoardSettings, pc_board
from emulator.errors import BudgetUsedUp
from tests.helpers.guest import core_of, machine_of, results_of, symbol
from tests.helpers.ide_board import SECTOR, Sectors, numbered

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

COMMAND = """
        .macro  command code, number, count
        port    0x1f6, 0xe0
        port    0x1f2, \\count
        port    0x1f3, \\number
        port    0x1f4, 0
        port    0x1f5, 0
        port    0x1f7, \\code
        .endm
        .macro  port number, value
        movw    $\\number, %dx
        movb    $\\value, %al
        outb    %al, %dx
        .endm
        .macro  wide number, value
        movw    $\\number, %dx
        movl    $\\value, %eax
        outl    %eax, %dx
        .endm
        .macro  block instruction, where, count
        cld
        movl    $\\where, %edi
        movl    %edi, %esi
        movl    $\\count, %ecx
        movw    $0x1f0, %dx
        rep     \\instruction
        .endm
        .bss
        .balign 4096
buffer: .skip   4096
        .data
        .balign 4096
table:  .long   target, 0x80000200
        .text
"""
READ = COMMAND + "command 0x20, 5, 1\n block ins{}, buffer, {}\n exit 0"
COPY = """
        command 0xc4, 2, 4
        block   insl, buffer, 512
        command 0xc5, 20, 4
        block   outsw, buffer, 1024
        command 0xc4, 20, 4
        block   insw, buffer, 1024
"""
DMA = """
        wide    0xcf8, 0x80000904
        wide    0xcfc, 7
        wide    0xc004, table
        command 0xc8, 1, 1
        port    0xc000, 9
"""


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def machine_with(source: str, contents: bytes, mmu: str = "fast") -> Machine:
    return machine_of(source, mmu=mmu, board=pc_board(BoardSettings(disks=(Sectors(contents),))))


def buffer_of(machine: Machine, size: int = SECTOR) -> bytes:
    return machine.memory.read(symbol(machine, "buffer"), size)


@pytest.mark.parametrize(("width", "count"), [("w", 256), ("l", 128)])
def test_a_sector_is_read_with_few_questions_to_the_device(mmu: str, width: str, count: int) -> None:
    machine = machine_with(READ.format(width, count) + "\ntarget:", numbered(8), mmu)
    asked: list[int] = []
    core = core_of(machine)
    answer = core.port_read

    def ask(port: int, size: int) -> int:
        asked.append(port)
        return answer(port, size)

    core.port_read = ask
    machine.run()
    assert buffer_of(machine) == numbered(6)[5 * SECTOR :]
    assert asked == [0x1F0]  # for the last word only


def test_blocks_are_read_and_written(mmu: str) -> None:
    machine = machine_with(COMMAND + COPY + "exit 0\ntarget:", numbered(30), mmu)
    machine.run()
    assert buffer_of(machine, 4 * SECTOR) == numbered(6)[2 * SECTOR :]


def test_a_snapshot_in_the_middle_of_a_block() -> None:
    machine = machine_with(COMMAND + COPY + "exit 0\ntarget:", numbered(30))
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=800)
    snapshot = machine.snapshot()
    first = machine.run(), buffer_of(machine, 4 * SECTOR)
    snapshot.reset()
    assert (machine.run(), buffer_of(machine, 4 * SECTOR)) == first
    assert first[1] == numbered(6)[2 * SECTOR :]


@pytest.mark.parametrize("budget", [500, 1500, 2400])
def test_a_run_in_pieces_is_the_same(budget: int) -> None:
    machine = machine_with(COMMAND + COPY + "exit 0\ntarget:", numbered(30))
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=budget)
    machine.run()
    assert buffer_of(machine, 4 * SECTOR) == numbered(6)[2 * SECTOR :]


def test_code_that_the_bus_master_changes_is_executed_as_it_is_then(mmu: str) -> None:
    source = f"""
        call    target
        put     eax
        {DMA}
        call    target
        put     eax
        exit    0
        .balign 4096
target: movl    $1, %eax
        ret
        .skip   506
        """
    code = bytes.fromhex("b8 02 00 00 00 c3")  # movl $2, %eax; ret
    machine = machine_with(COMMAND + source, bytes(SECTOR) + code.ljust(SECTOR, b"\0"), mmu)
    machine.run()
    assert results_of(machine, 2) == [1, 2]


def test_what_the_bus_master_writes_is_gone_after_a_reset() -> None:
    machine = machine_with(COMMAND + DMA + "exit 0\n.data\n.balign 4096\ntarget: .skip 512", numbered(2))
    target = symbol(machine, "target")
    with machine.snapshot():
        machine.run()
        assert machine.memory.read(target, SECTOR) == numbered(2)[SECTOR:]
    assert machine.memory.read(target, SECTOR) == bytes(SECTOR)


def test_what_the_bus_master_writes_is_noted() -> None:
    machine = machine_with(COMMAND + DMA + "exit 0\n.data\n.balign 4096\ntarget: .skip 512", numbered(2))
    written = machine.observers.note_written()
    machine.run()
    assert symbol(machine, "target") in written.take().pages


def test_the_writer_of_what_the_bus_master_writes_is_the_out_that_started_it() -> None:
    data = "exit 0\n.data\n.balign 4096\ntarget: .skip 512"
    machine = machine_with(COMMAND + DMA + "after_out:\n" + data, numbered(2))
    with machine.observers.watch(symbol(machine, "target") + 510, 4) as watchpoint:
        machine.run()
        write = watchpoint.last_write()
    assert write is not None
    assert (write.before, write.after) == (0, 0x0101)  # the last two bytes of the sector, and two after it
    assert write.eip == symbol(machine, "after_out") - 1


@pytest.mark.parametrize("address", [0xC0000, 0xFFE00, 0x80000000, 0xFFFFFE00])
def test_rom_and_what_is_not_there_keep_what_they_hold(address: int) -> None:
    machine = machine_with(COMMAND + DMA + f"exit 0\n.set target, 0x{address:x}", numbered(2))
    before = machine.memory.read(0xC0000, 0x40000)
    machine.run()
    assert machine.memory.read(0xC0000, 0x40000) == before


def test_the_disk_interrupts(mmu: str) -> None:
    source = f"""
        movl    $handler, %eax
        movw    %ax, gate
        movw    $0x08, gate + 2
        movw    $0x8e00, gate + 4
        shrl    $16, %eax
        movw    %ax, gate + 6
        lidt    descriptor
        port    0x20, 0x11
        port    0xa0, 0x11
        port    0x21, 0x08
        port    0xa1, 0x70
        port    0x21, 4
        port    0xa1, 2
        port    0x21, 1
        port    0xa1, 1
        port    0x21, 0xfb
        port    0xa1, 0xbf
        command 0x20, 5, 1
        sti
        hlt
        {DMA}
        hlt
        exit    0
handler:
        movw    $0x1f7, %dx
        inb     %dx, %al
        put     eax
        port    0xa0, 0x20
        port    0x20, 0x20
        block   insl, buffer, 128
        iret
        .data
descriptor:
        .word   0x77 * 8 - 1
        .long   gate - 0x76 * 8
gate:   .skip   8
        .balign 4096
target: .skip   512
        """
    machine = machine_with(COMMAND + source, numbered(8), mmu)
    machine.run(max_instructions=100_000)
    assert [status & 0xFF for status in results_of(machine, 2)] == [0x58, 0x50]
    assert machine.memory.read(symbol(machine, "target"), SECTOR) == numbered(2)[SECTOR:]
