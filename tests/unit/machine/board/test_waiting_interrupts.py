"""An interrupt that waits costs the guest nothing, and comes at the first instruction at which it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.errors import BudgetUsedUp
from emulator.machine.execution import Returned
from tests.helpers.guest import machine_of, results_of, runs_of_the_cpu, symbol
from tests.unit.machine.board.test_interrupts import IDT, TIMER

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

MILLISECOND = 100_000  # instructions
CLOCKS_A_TICK = 0x4A9
FREQUENCY_HZ = 1_193_182

TASKS = """
        .data
        .balign 8
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff
tasks:  .quad   0, 0
gdtr:   .word   39
        .long   gdt
first:  .skip   104
second: .skip   104
        .text
        .macro  task number, at
        movl    $\\at, %eax
        movw    $103, tasks + 8 * \\number
        movw    %ax, tasks + 8 * \\number + 2
        shrl    $16, %eax
        movb    %al, tasks + 8 * \\number + 4
        movb    $0x89, tasks + 8 * \\number + 5
        .endm
        lgdt    gdtr
        task    0, first
        task    1, second
        movw    $24, %ax
        ltr     %ax
        movl    $here, second + 32
        movl    $0x202, second + 36
        movl    %esp, second + 56
        movw    $8, second + 76
        movw    $16, second + 72
        movw    $16, second + 80
        movw    $16, second + 84
"""
WAIT = f"""
        movl    ${3 * MILLISECOND}, %ecx
1:      loop    1b
"""
# Ways to let interrupts in; the first one comes at `here`: after an `out` that is where the next block starts.
WAYS = {
    "sti": "sti\n movl $1, %esi\n here: nop",
    "popf": "pushl $0x202\n popf\n here: nop",
    "popf, 16 bits": "pushw $0x202\n popfw\n here: nop",
    "iret": "pushl $0x202\n pushl %cs\n pushl $here\n iret\n nop\n here: nop",
    "a task switch": "ljmp $32, $0\n here: nop",
    "the mask": "sti\n nop\n out8 0x21, 0xfe\n jmp here\n here: nop",
    "end of interrupt": "sti\n nop\n out8 0x20, 0x20\n jmp here\n here: nop",
}
BEFORE = {"the mask": "out8 0x21, 0xff\n", "a task switch": TASKS}
ON_TICK = """
on_tick:
        movl    (%esp), %ebx
        put     ebx
        decl    again
        jz      1f
        movb    $0x20, %al
        outb    %al, $0x20
        iret
1:      hlt
        .data
        .globl  again
again:  .long   1
        .text
"""


def guest(way: str, mmu: str = "fast") -> Machine:
    before = BEFORE.get(way, "")
    if way == "end of interrupt":  # the first tick is taken, and not ended
        before = "gate 0x20, ignored\n sti\n hlt\n cli\n gate 0x20, on_tick\n"
    body = f"lidt idtr\n{before}{WAIT}{WAYS[way]}\n 1: jmp 1b\n ignored: iret\n"
    return machine_of(IDT + TIMER + body + ON_TICK, mmu=mmu)


@pytest.mark.parametrize("way", WAYS)
def test_it_comes_at_the_first_instruction_that_lets_it_in(way: str) -> None:
    fast, reference = guest(way), guest(way, "reference")  # the reference checks before every block
    ended = [machine.run(max_instructions=20 * MILLISECOND) for machine in (fast, reference)]
    assert ended[0].ending is Returned.HALTED
    assert results_of(fast, 1) == [symbol(fast, "here")]
    assert results_of(reference, 1) == [symbol(reference, "here")]
    assert ended[0] == ended[1]
    assert fast.interrupts.now_ns() == reference.interrupts.now_ns()


@pytest.mark.parametrize("state", ["interrupts off", "masked", "not ended"])
def test_ticks_that_change_nothing_do_not_end_runs(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {
        "interrupts off": "",
        "masked": "out8 0x21, 0xff\n sti\n",
        "not ended": "gate 0x20, ignored\n sti\n",
    }[state]
    machine = machine_of(IDT + TIMER + f"lidt idtr\n{before} 1: jmp 1b\n ignored: iret\n" + ON_TICK)
    runs = runs_of_the_cpu(machine, monkeypatch)
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=100 * MILLISECOND)
    assert len(runs) < 20  # 100 ticks have come


def tick_ns(number: int, machine: Machine) -> int:
    """When a tick is due, in virtual time since the timer was loaded, rounded up to whole instructions."""
    return -(-number * CLOCKS_A_TICK * 1_000_000_000 // FREQUENCY_HZ) // machine.interrupts.instruction_ns


def test_after_a_tick_that_waited_the_next_comes_in_time(mmu: str) -> None:
    source = f"lidt idtr\n out8 0x21, 0xff\n sti\n {WAIT} movl $3, again\n out8 0x21, 0xfe\n here: 1: incl %edx\n jmp 1b\n"
    machine = machine_of(IDT + TIMER + "xorl %edx, %edx\n" + source + ON_TICK, mmu=mmu)
    assert machine.run(max_instructions=20 * MILLISECOND).ending is Returned.HALTED
    assert results_of(machine, 3)[0] == symbol(machine, "here")
    # One waited; the two after it are the fourth and the fifth since the timer was loaded.
    looped = 2 * machine.cpu.registers().edx
    passed = tick_ns(5, machine) - 3 * MILLISECOND
    assert abs(looped - passed) < 200


def test_a_request_that_is_taken_back_does_not_come_and_the_next_one_does(mmu: str) -> None:
    again = "".join(
        f"out8 {port}, {byte}\n" for port, byte in ((0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1))
    )
    source = (
        f"lidt idtr\n {WAIT} {again} out8 0x21, 0xfe\n xorl %edx, %edx\n sti\n nop\n 1: incl %edx\n jmp 1b\n"
    )
    machine = machine_of(IDT + TIMER + source + ON_TICK, mmu=mmu)
    assert machine.run(max_instructions=20 * MILLISECOND).ending is Returned.HALTED
    looped = 2 * machine.cpu.registers().edx
    assert abs(looped - (tick_ns(4, machine) - 3 * MILLISECOND)) < 200


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)
