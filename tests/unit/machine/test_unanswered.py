"""Accesses that nothing answers: what they read, how they are counted, and that they end a run only where that is wanted."""

from __future__ import annotations

import pytest

from emulator.devices.board import pc_board
from emulator.errors import UnmappedAccess
from emulator.machine.execution import Returned
from emulator.machine.unanswered import LastRead
from tests.helpers.guest import machine_of, results_of, symbol

PORTS = """
        movw    $0x300, %dx
        movl    $3, %ecx
first:  inb     %dx, %al
        loop    first
        movzbl  %al, %eax
        put     eax
        nop
write:  outw    %ax, %dx
        exit    0
"""
MEMORY = """
        xorl    %ebx, %ebx
first:  movl    0x40000010, %eax
        put     eax
        movl    $7, 0x40000020
        movl    0x40000020, %eax
        put     eax
second: movb    $1, 0x00500001
        exit    0
"""


def test_ports_are_counted_by_direction_with_the_first_access() -> None:
    machine = machine_of(PORTS)
    assert machine.run().exit_value == 0
    assert results_of(machine, 1) == [0xFF]
    (lack,) = machine.unanswered.lacks()
    assert (lack.port, lack.address, lack.reads, lack.writes) == (0x300, None, 3, 1)
    assert (lack.eip, lack.by_write) == (symbol(machine, "first"), False)


def test_the_first_write_to_a_port_in_the_middle_of_a_block_is_named_exactly() -> None:
    machine = machine_of("movw $0x300, %dx\n nop\nwrite: outb %al, %dx\n nop\n outb %al, %dx\n exit 0")
    machine.run()
    (lack,) = machine.unanswered.lacks()
    assert (lack.eip, lack.writes, lack.by_write) == (symbol(machine, "write"), 2, True)


def test_ports_of_devices_are_no_lack() -> None:
    machine = machine_of("movw $0x3fd, %dx\n inb %dx, %al\n exit 0")
    machine.run()
    assert machine.unanswered.lacks() == ()
    last = machine.unanswered.last_read()
    assert last is not None
    assert (last.port, last.page, last.reads, last.is_answered) == (0x3FD, None, 1, True)


def test_memory_reads_as_zero_and_writes_vanish() -> None:
    machine = machine_of(MEMORY)
    assert machine.run().exit_value == 0
    assert results_of(machine, 2) == [0, 0]
    far, near = machine.unanswered.lacks()
    assert (far.port, far.address, far.reads, far.writes, far.ram_end) == (None, 0x40000010, 2, 1, 0)
    assert (far.eip, far.by_write) == (symbol(machine, "first"), False)
    assert (near.address, near.reads, near.writes, near.ram_end) == (0x00500001, 0, 1, 0x00500000)
    assert (near.eip, near.by_write) == (symbol(machine, "second"), True)


def test_the_last_read_is_known() -> None:
    machine = machine_of("movl 0x40000010, %eax\n movl $1000, %ecx\n1: loop 1b\n hlt")
    assert machine.unanswered.last_read() is None
    machine.run()
    last = machine.unanswered.last_read()
    assert last == LastRead(None, 0x40000000, 1, last.instructions_ago if last else -1, is_answered=False)
    assert 1000 <= last.instructions_ago <= 1010


def test_going_back_forgets_what_was_accessed_since() -> None:
    machine = machine_of("1: incl %ebx\n jmp 2f\n2: " + MEMORY)
    start = machine.snapshot()
    machine.run()
    there = machine.unanswered.lacks()
    inner = machine.snapshot()
    start.reset()
    assert machine.unanswered.lacks() == ()
    assert machine.unanswered.last_read() is None
    machine.run()
    assert machine.unanswered.lacks() == there
    del inner


def test_after_many_pages_the_others_are_counted_as_one() -> None:
    machine = machine_of(
        """
        movl    $0x40000000, %ebx
        movl    $300, %ecx
1:      movl    (%ebx), %eax
        addl    $0x1000, %ebx
        loop    1b
        exit    0
        """
    )
    machine.run()
    lacks = machine.unanswered.lacks()
    assert len(lacks) == 257
    assert {lack.reads for lack in lacks[:256]} == {1}
    assert (lacks[256].address, lacks[256].reads) == (None, 300 - 256)


@pytest.mark.parametrize(
    "code", ["movl $0x40000000, %eax\n jmp *%eax", "pushl $0x40000000\n movl 0x40000000, %eax\n ret"]
)
def test_code_is_never_fetched_from_nothing(code: str) -> None:
    with pytest.raises(
        UnmappedAccess, match=r"^fetch from unmapped physical memory 0x40000000 at EIP 0x40000000$"
    ):
        machine_of(code).run()


def test_a_function_that_is_called_must_not_access_nothing() -> None:
    machine = machine_of(
        ".type wild, @function\n hlt\nwild: movl 0x40000000, %eax\n ret\n.size wild, . - wild"
    )
    with pytest.raises(UnmappedAccess, match=r"^read of unmapped physical memory 0x40000000 at wild\+0x0"):
        machine.call("wild")
    assert machine.run().ending is Returned.HALTED


def test_only_expected_pages_may_be_accessed() -> None:
    machine = machine_of("movl 0x40000000, %eax\n movl 0x40001000, %eax\n hlt")
    machine.unanswered.expected = frozenset({0x40000000})
    with pytest.raises(UnmappedAccess, match=r"^read of unmapped physical memory 0x40001000 at "):
        machine.run()


def test_the_reference_mmu_ends_the_run() -> None:
    machine = machine_of("movl 0x40000000, %eax\n hlt", mmu="reference", board=pc_board())
    with pytest.raises(Exception, match=r"^the CPU gave up: "):
        machine.run()
