"""syscall, sysret, sysenter, sysexit in 32-bit mode of a CPU of Intel's (SDM vol. 2B): they are never passed over."""

from __future__ import annotations

import pytest

from emulator.errors import GuestException
from tests.helpers.guest import machine_of, results_of, symbol
from tests.helpers.rings import DESCRIPTORS
from tests.unit.machine.board.test_interrupts import guest

SCE = "movl $0xc0000080, %ecx\n rdmsr\n orl $1, %eax\n wrmsr\n"


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("before", ["nop\n", SCE], ids=["", "EFER.SCE"])
@pytest.mark.parametrize(
    ("instruction", "vector"), [("syscall", 6), ("sysret", 6), ("sysenter", 13), ("sysexit", 13)]
)
def test_what_they_raise(instruction: str, vector: int, before: str, mmu: str) -> None:
    for budget in (None, 100):
        machine = machine_of(f"{before} fault: {instruction}\n hlt", mmu=mmu)
        with pytest.raises(GuestException) as caught:
            machine.run(max_instructions=budget)
        assert (caught.value.vector, caught.value.eip) == (vector, symbol(machine, "fault"))


def test_a_handler_sees_the_instruction(mmu: str) -> None:
    body = "gate 6, on_6\n nop\n fault: syscall\n exit 9"
    machine = guest(body, "on_6: movl (%esp), %ebx\n put ebx\n exit 0", mmu)
    assert machine.run().exit_value == 0
    assert results_of(machine, 1) == [symbol(machine, "fault")]


# sysenter from ring 3 with interrupts on, and back by sysexit; each side writes down its segments and flags.
ROUND_TRIP = (
    DESCRIPTORS
    + """
        .macro  write_msr number, value
        movl    $\\number, %ecx
        xorl    %edx, %edx
        movl    \\value, %eax
        wrmsr
        .endm
        gate    0x80, over, 0xee
        lidt    idtr
        write_msr 0x174, $8
        write_msr 0x175, $inner_stack
        write_msr 0x176, $entry
        in_ring_3 0x202
        movl    $back, %edx
        movl    %esp, %ecx
        stc
        sysenter
entry:  pushfl
        popl    %ebx
        movl    %cs, %esi
        movl    %ss, %eax
        movl    %esp, %ebp
        sti
        sysexit
back:   put     ebx
        put     esi
        put     eax
        put     ebp
        put     esp
        movl    %cs, %ebx
        put     ebx
        movl    %ss, %ebx
        put     ebx
        pushfl
        popl    %ebx
        put     ebx
        int     $0x80
over:   movw    $0x10, %ax
        movw    %ax, %ds
        exit    0
        cli
        hlt
    """
)


def test_sysenter_and_sysexit(mmu: str) -> None:
    for budget in (None, 500):
        machine = machine_of(ROUND_TRIP, mmu=mmu)
        assert machine.run(max_instructions=budget).exit_value == 0
        flags, cs, ss, esp, *back = results_of(machine, 8)
        inner, outer = symbol(machine, "inner_stack"), symbol(machine, "outer_stack")
        assert (flags, cs, ss, esp) == (0x3, 0x8, 0x10, inner)  # carry as it was, interrupts off
        assert [*back[:3], back[3] & 0x200] == [outer - 4, 0x1B, 0x23, 0x200]  # `put` has pushed a word
