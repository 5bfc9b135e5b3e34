"""Interrupts reach a guest through the local APIC and the I/O APIC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.devices.apic.local_apic import LocalApic, Register
from emulator.errors import BudgetUsedUp
from emulator.machine.execution import Returned
from tests.helpers.guest import machine_of, results_of, runs_of_the_cpu, symbol
from tests.unit.machine.board.test_interrupts import IDT, TIMER

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

MS = 1_000_000
PERIODIC, MASKED = 1 << 17, 1 << 16
REGISTERS = """
        .macro  local offset, value
        movl    $\\value, 0xfee00000 + \\offset
        .endm
        .macro  route input, low
        movl    $(0x10 + 2 * \\input), 0xfec00000
        movl    $\\low, 0xfec00010
        .endm
"""
APIC_TIMER = f"""
        gate    0x50, on_timer
        local   0x3e0, 0xb
        local   0x320, {PERIODIC | 0x50}
        local   0x380, {MS - 1}
"""
ON_TIMER = """
on_timer:
        pushl   %eax
        incl    ticks
        local   0xb0, 0
        popl    %eax
        iret
on_tick:
        incl    ticks
        local   0xb0, 0
        iret
        .data
        .globl  ticks
ticks:  .long   0
        .text
"""
COUNT_TO_3 = """
        sti
1:      hlt
        cmpl    $3, ticks
        jb      1b
        cli
        movl    ticks, %ebx
        put     ebx
        hlt
"""


def guest(body: str, mmu: str = "fast") -> Machine:
    return machine_of(IDT + REGISTERS + TIMER + "lidt idtr\n" + body + ON_TIMER, mmu=mmu)


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_timer_of_the_apic_wakes_the_cpu_in_time(mmu: str) -> None:
    machine = guest(f"out8 0x21, 0xff\n{APIC_TIMER}{COUNT_TO_3}", mmu)
    assert machine.run(max_instructions=10_000).ending is Returned.HALTED
    assert results_of(machine, 1) == [3]
    assert 3 * MS <= machine.interrupts.now_ns() < 3 * MS + 10_000


def test_the_timer_of_the_apic_interrupts_a_guest_that_computes(mmu: str) -> None:
    body = f"out8 0x21, 0xff\n{APIC_TIMER} sti\n 1: cmpl $3, ticks\n jb 1b\n cli\n put ecx\n hlt\n"
    machine = guest(body, mmu)
    assert machine.run(max_instructions=MS).ending is Returned.HALTED
    assert 3 * MS <= machine.interrupts.now_ns() < 3 * MS + 10_000


def test_ticks_of_the_board_wake_the_cpu_through_the_io_apic_alone(mmu: str) -> None:
    machine = guest(f"out8 0x21, 0xff\n gate 0x60, on_tick\n route 2, 0x60\n{COUNT_TO_3}", mmu)
    assert machine.run(max_instructions=10_000).ending is Returned.HALTED
    assert results_of(machine, 1) == [3]
    assert 2_900_000 < machine.interrupts.now_ns() < 3_100_000


@pytest.mark.parametrize(
    "closed",
    [
        f"local 0x350, {MASKED | 0x700}",  # LINT0, where the 8259 comes in
        f"out8 0x21, 0xff\n route 2, {MASKED | 0x60}",
        f"out8 0x21, 0xff\n local 0x320, {MASKED | PERIODIC | 0x50}",
    ],
)
def test_a_cpu_that_nothing_can_wake_halts(closed: str) -> None:
    machine = guest(f"{APIC_TIMER if '0x320' in closed else ''}{closed}\n sti\n hlt\n exit 0")
    assert machine.run(max_instructions=10_000).ending is Returned.HALTED
    assert machine.interrupts.now_ns() < MS


def test_a_less_urgent_tick_does_not_keep_a_more_urgent_one_from_waking_the_cpu() -> None:
    body = f"local 0x80, 0x40\n out8 0x21, 0xff\n gate 0x30, on_tick\n route 2, 0x30\n{APIC_TIMER}"
    machine = guest(
        f"{body} local 0x380, {10 * MS - 1}\n sti\n hlt\n movl ticks, %ebx\n put ebx\n cli\n hlt\n"
    )
    assert machine.run(max_instructions=10_000).ending is Returned.HALTED
    assert results_of(machine, 1) == [1]
    assert 10 * MS <= machine.interrupts.now_ns() < 10 * MS + 10_000


def test_the_8259_comes_before_the_local_apic() -> None:
    order = "first: movl $1, %ebx\n put ebx\n out8 0x20, 0x20\n iret\nsecond: movl $2, %ebx\n put ebx\n local 0xb0, 0\n iret\n"
    wait = "movl $200000, %ecx\n 2: loop 2b\n"
    body = f"gate 0x20, first\n gate 0xf0, second\n{wait} local 0x300, 0x400f0\n sti\n nop\n nop\n cli\n hlt\n{order}"
    machine = guest(body)
    assert machine.run(max_instructions=MS).ending is Returned.HALTED
    assert results_of(machine, 2) == [1, 2]


@pytest.mark.parametrize("state", ["interrupts off", "a higher task priority", "not ended", "masked"])
def test_ticks_that_change_nothing_do_not_end_runs(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {
        "interrupts off": "",
        "a higher task priority": "local 0x80, 0x50\n sti\n",
        "not ended": "gate 0x50, ignored\n sti\n",
        "masked": f"local 0x320, {MASKED | PERIODIC | 0x50}\n sti\n",
    }[state]
    machine = guest(f"out8 0x21, 0xff\n{APIC_TIMER}{before} 1: jmp 1b\n ignored: iret\n")
    runs = runs_of_the_cpu(machine, monkeypatch)
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=10 * MS)
    assert len(runs) < 20  # 100 ticks have come


def test_a_run_goes_on_from_a_snapshot_as_before() -> None:
    machine = guest(f"gate 0x60, on_tick\n route 2, 0x60\n{APIC_TIMER} sti\n 1: incl %edx\n jmp 1b\n")
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=250_000)
    apic = machine.device("local APIC")
    assert isinstance(apic, LocalApic)
    with machine.snapshot() as start:
        states = []
        for _ in range(2):
            with pytest.raises(BudgetUsedUp):
                machine.run(max_instructions=777_777)
            states.append((machine.cpu.registers(), machine.ports.save(), machine.interrupts.now_ns()))
            apic.write_memory(Register.TASK_PRIORITY, 4, 0xFF)
            start.reset()
    assert states[0] == states[1]


def test_the_id_is_read_as_it_was_written_and_after_a_snapshot_as_it_was_then(mmu: str) -> None:
    read = "movl 0xfee00020, %ebx\n put ebx\n"
    machine = guest(f"{read} local 0x20, 0x05000000\n{read} movw 0xfee00022, %bx\n put ebx\n exit 0", mmu)
    with machine.snapshot() as start:
        for _ in range(2):
            machine.run(max_instructions=10_000)
            assert results_of(machine, 3) == [0, 0x05000000, 0x05000000]
            start.reset()


def test_the_timer_of_power_management_counts_virtual_time(mmu: str) -> None:
    read = "movw $0x608, %dx\n inl %dx, %eax\n put eax\n"
    machine = guest(f"{read} movl $100000, %ecx\n 1: loop 1b\n {read} inb %dx, %al\n put eax\n exit 0", mmu)
    machine.run(max_instructions=1_000_000)
    first, second, third = results_of(machine, 3)
    assert 3579 <= second - first <= 3580  # a millisecond
    assert second <= third < second + 10


NMI_TO_SELF = "local 0x300, 0x40400\n"
ON_NMI = "on_nmi: incl ticks\n cmpl $1, ticks\n jne 1f\n local 0x300, 0x40400\n put eax\n 1: iret\n"


def test_an_nmi_comes_with_interrupts_off_and_the_next_one_after_iret(mmu: str) -> None:
    body = f"movl $7, %eax\n gate 2, on_nmi\n {NMI_TO_SELF} 2: cmpl $2, ticks\n jne 2b\n movl ticks, %ebx\n put ebx\n exit 0\n{ON_NMI}"
    assert guest(body, mmu).run(max_instructions=10_000).exit_value == 0


def test_an_nmi_that_waits_is_part_of_snapshots() -> None:
    machine = guest(
        f"gate 2, on_nmi\n {NMI_TO_SELF} 2: hlt\n jmp 2b\n on_nmi: {NMI_TO_SELF} incl ticks\n hlt\n iret\n"
    )
    for _ in range(3):  # the handler of each has sent the next one before it halts
        machine.run(max_instructions=10_000)
    ticks = symbol(machine, "ticks")
    seen = machine.memory.load_u32(ticks)
    with machine.snapshot() as start:
        for _ in range(2):
            machine.run(max_instructions=10_000)
            assert machine.memory.load_u32(ticks) == seen + 1
            start.reset()


def test_a_halt_with_interrupts_off_is_left_by_an_nmi_that_waits(mmu: str) -> None:
    body = f"gate 2, on_nmi\n {NMI_TO_SELF} hlt\n exit 3\n on_nmi: iret\n"
    assert guest(body, mmu).run(max_instructions=10_000).exit_value == 3


def test_the_local_apic_is_switched_off_until_a_snapshot_from_before(mmu: str) -> None:
    look = "movl $0x1b, %ecx\n rdmsr\n put eax\n movl $1, %eax\n cpuid\n andl $0x200, %edx\n put edx\n"
    off = "movl $0x1b, %ecx\n movl $0xfee00000, %eax\n xorl %edx, %edx\n wrmsr\n"
    machine = guest(f"{look}{off}{look} hlt", mmu)
    with machine.snapshot() as start:
        for _ in range(2):
            machine.run(max_instructions=10_000)
            assert results_of(machine, 4) == [0xFEE00900, 0x200, 0xFEE00100, 0]
            start.reset()


def test_what_a_guest_does_after_its_reset_does_not_count() -> None:
    machine = guest("movl $0x80500, 0xfee00300\n xorl %eax, %eax\n outl %eax, $0xf4\n hlt")
    assert machine.run(max_instructions=10_000).ending is Returned.RESET
