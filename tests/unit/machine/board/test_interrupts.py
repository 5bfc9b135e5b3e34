"""Interrupts and exceptions reach the guest's handlers, and time passes for it, but not for the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.errors import BudgetUsedUp, GuestException
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from tests.helpers.guest import machine_of, results_of, symbol

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

# An IDT of 256 gates; `gate VECTOR, HANDLER, ACCESS` fills one (0x8e interrupt gate, 0x8f trap gate, 0xee: for ring 3).
IDT = """
        .data
        .balign 8
idt:    .skip   2048
idtr:   .word   2047
        .long   idt
        .text
        .macro  gate vector, handler, access=0x8e
        movl    $\\handler, %eax
        movw    %ax, idt + 8 * \\vector
        movw    $8, idt + 8 * \\vector + 2
        movb    $\\access, idt + 8 * \\vector + 5
        shrl    $16, %eax
        movw    %ax, idt + 8 * \\vector + 6
        .endm
        .macro  out8 port, value
        movb    $\\value, %al
        outb    %al, $\\port
        .endm
"""
# The PIC at vectors 0x20 and 0x28, only the timer open; the PIT at 1000 Hz.
TIMER = """
        gate    0x20, on_tick
        out8    0x20, 0x11
        out8    0x21, 0x20
        out8    0x21, 4
        out8    0x21, 1
        out8    0xa0, 0x11
        out8    0xa1, 0x28
        out8    0xa1, 2
        out8    0xa1, 1
        out8    0x21, 0xfe
        out8    0xa1, 0xff
        out8    0x43, 0x34
        out8    0x40, 0xa9
        out8    0x40, 0x04
"""
ON_TICK = """
        .data
ticks:  .long   0
        .text
on_tick:
        pushl   %eax
        incl    ticks
        out8    0x20, 0x20
        popl    %eax
        iret
"""


def guest(body: str, handlers: str = "", mmu: str = "fast") -> Machine:
    return machine_of(IDT + "lidt idtr\n" + body + "\nexit 0\n" + handlers, mmu=mmu)


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestExceptions:
    def test_a_software_interrupt_returns_after_itself(self, mmu: str) -> None:
        machine = guest("gate 0x40, h\n movl $5, %ebx\n int $0x40\n put ebx", "h: addl $2, %ebx\n iret", mmu)
        assert machine.run().exit_value == 0
        assert results_of(machine, 1) == [7]

    def test_a_breakpoint_returns_after_itself(self, mmu: str) -> None:
        machine = guest("gate 3, h\n xorl %ebx, %ebx\n int3\n put ebx", "h: incl %ebx\n iret", mmu)
        machine.run()
        assert results_of(machine, 1) == [1]

    def test_the_frame_of_a_fault_points_at_the_instruction(self, mmu: str) -> None:
        body = "gate 0, h\n xorl %ecx, %ecx\n xorl %edx, %edx\n movl $1, %eax\n fault: divl %ecx\n put eax"
        handlers = "h: movl (%esp), %ebx\n put ebx\n movl 4(%esp), %ebx\n put ebx\n movl $1, %ecx\n iret"
        machine = guest(body, handlers, mmu)
        machine.run()
        assert results_of(machine, 3) == [symbol(machine, "fault"), 8, 1]

    def test_one_fault_after_another_is_no_double_fault(self, mmu: str) -> None:
        body = "gate 0, h\n gate 8, d\n" + "xorl %ecx, %ecx\n xorl %edx, %edx\n divl %ecx\n put ecx\n" * 3
        machine = guest(body, "h: movl $1, %ecx\n iret\n d: exit 9", mmu)
        assert machine.run().exit_value == 0
        assert results_of(machine, 3) == [1, 1, 1]

    def test_an_invalid_opcode(self, mmu: str) -> None:
        machine = guest("gate 6, h\n ud2\n put eax", "h: addl $2, (%esp)\n movl $77, %eax\n iret", mmu)
        machine.run()
        assert results_of(machine, 1) == [77]

    @pytest.mark.parametrize("before", ["nop", "movb $0xcd, %al"], ids=["plain", "after a byte like int's"])
    def test_a_page_fault_has_address_and_error_code_and_is_mended(self, before: str) -> None:
        body = f"""
        gate    14, h
        movl    $0x83, directory            # the first 4 MiB as they are
        paging  directory
        {before}
        movl    $42, 0x80123456
        movl    0x80123456, %ebx
        put     ebx
        """
        handlers = """
h:      popl    %ebx                        # the error code
        put     ebx
        movl    %cr2, %ebx
        put     ebx
        movl    $0x83, directory + 0x800
        iret
        .bss
        .balign 4096
directory: .skip 4096
        """
        machine = guest(body, handlers)
        assert machine.run().exit_value == 0
        assert results_of(machine, 3) == [2, 0x80123456, 42]

    def test_an_interrupt_without_a_gate(self, mmu: str) -> None:
        machine = guest("int $0x40", "", mmu)
        with pytest.raises(
            GuestException, match=r"^triple fault: interrupt 0x40 \(no handler in the IDT\) at "
        ):
            machine.run()

    def test_without_a_handler_it_is_a_triple_fault(self, mmu: str) -> None:
        machine = guest("xorl %ecx, %ecx\n fault: divl %ecx", "", mmu)
        with pytest.raises(
            GuestException, match=r"^triple fault: #DE divide error \(no handler in the IDT\) at "
        ):
            machine.run()

    def test_a_double_fault_handler_is_the_last_resort(self, mmu: str) -> None:
        machine = guest("gate 8, d\n xorl %ecx, %ecx\n divl %ecx", "d: exit 8", mmu)
        assert machine.run().exit_value == 8

    @pytest.mark.parametrize(("access", "flag"), [(0x8E, 0), (0x8F, 0x200)])
    def test_an_interrupt_gate_clears_if_and_a_trap_gate_does_not(
        self, access: int, flag: int, mmu: str
    ) -> None:
        machine = guest(
            f"gate 0x40, h, {access}\n sti\n int $0x40\n pushfl\n popl %ebx\n andl $0x200, %ebx\n put ebx",
            "h: pushfl\n popl %ebx\n andl $0x200, %ebx\n put ebx\n iret",
            mmu,
        )
        machine.run()
        assert results_of(machine, 2) == [flag, 0x200]


class TestTimer:
    def test_a_busy_guest_is_interrupted(self, mmu: str) -> None:
        body = TIMER + "sti\n 1: cmpl $5, ticks\n jb 1b\n cli\n movl ticks, %ebx\n put ebx"
        machine = guest(body, ON_TICK, mmu)
        assert machine.run(timeout_s=20).exit_value == 0
        assert results_of(machine, 1) == [5]

    def test_time_passes_while_the_guest_waits(self, mmu: str) -> None:
        machine = guest(TIMER + "sti\n 1: hlt\n cmpl $3000, ticks\n jb 1b\n put ebx", ON_TICK, mmu)
        assert machine.run(timeout_s=20).exit_value == 0
        assert 2.9e9 < machine.interrupts.now_ns() < 3.1e9

    def test_an_instruction_takes_ten_nanoseconds(self) -> None:
        body = TIMER + "sti\n xorl %ecx, %ecx\n 1: incl %ecx\n cmpl $4, ticks\n jb 1b\n cli\n put ecx"
        machine = guest(body, ON_TICK)
        machine.run()
        (rounds,) = results_of(machine, 1)
        assert 0.95 < rounds * 3 / 400_000 < 1.0  # the rest is the handler's and the set-up's

    def test_a_waiting_guest_with_interrupts_off_is_halted(self, mmu: str) -> None:
        assert guest(TIMER + "cli\n hlt", ON_TICK, mmu).run().ending is Returned.HALTED

    def test_a_waiting_guest_with_the_timer_masked_is_halted(self, mmu: str) -> None:
        assert guest(TIMER + "out8 0x21, 0xff\n sti\n hlt", ON_TICK, mmu).run().ending is Returned.HALTED

    def test_a_tick_while_interrupts_are_off_comes_when_they_are_on(self, mmu: str) -> None:
        body = (
            TIMER
            + """
        movl    $200000, %ecx
1:      decl    %ecx
        jnz     1b
        movl    ticks, %ebx
        put     ebx
        sti
        nop
        nop
        cli
        movl    ticks, %ebx
        put     ebx
        """
        )
        machine = guest(body, ON_TICK, mmu)
        machine.run()
        assert results_of(machine, 2) == [0, 1]  # two ticks on one line are one interrupt

    def test_sti_takes_effect_after_the_next_instruction(self, mmu: str) -> None:
        """`sti; hlt` must not lose the interrupt that is pending already."""
        body = TIMER + "movl $200000, %ecx\n 1: decl %ecx\n jnz 1b\n sti\n hlt\n movl ticks, %ebx\n put ebx"
        machine = guest(body, ON_TICK, mmu)
        assert machine.run(timeout_s=10).exit_value == 0
        assert results_of(machine, 1) == [1]

    def test_without_an_eoi_no_second_tick_comes(self, mmu: str) -> None:
        machine = guest(TIMER + "sti\n hlt\n hlt", "ticks: .long 0\n on_tick: iret", mmu)
        assert machine.run(timeout_s=10).ending is Returned.HALTED

    def test_two_runs_are_the_same_to_the_instruction(self) -> None:
        body = TIMER + "sti\n xorl %ecx, %ecx\n 1: incl %ecx\n cmpl $7, ticks\n jb 1b\n cli\n put ecx"
        runs = []
        for _ in range(2):
            machine = guest(body, ON_TICK)
            machine.run()
            runs.append((results_of(machine, 1), machine.cpu.registers(), machine.interrupts.now_ns()))
        assert runs[0] == runs[1]

    def test_a_snapshot_keeps_timer_and_controllers(self) -> None:
        machine = guest(TIMER + "sti\n 1: hlt\n cmpl $100, ticks\n jb 1b\n put ecx", ON_TICK)
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=200)
        with machine.snapshot():
            machine.run()
            first = machine.interrupts.now_ns(), bytes(machine.output[Console.SERIAL])
        machine.run()
        assert (machine.interrupts.now_ns(), bytes(machine.output[Console.SERIAL])) == first

    @pytest.mark.parametrize("budget", [1, 7, 100, 5000])
    def test_pieces_of_a_run_end_like_the_whole(self, budget: int) -> None:
        body = TIMER + "sti\n 1: hlt\n cmpl $3, ticks\n jb 1b\n movl ticks, %ebx\n put ebx"
        machine = guest(body, ON_TICK)
        outcome = None
        for _ in range(100_000):
            try:
                outcome = machine.run(max_instructions=budget)
                break
            except BudgetUsedUp:
                continue
        assert outcome is not None
        assert results_of(machine, 1) == [3]


def test_the_timer_can_be_read_back() -> None:
    body = """
        out8    0x43, 0x34
        out8    0x40, 0
        out8    0x40, 0
        movl    $500, %ecx
1:      loop    1b
        out8    0x43, 0
        xorl    %eax, %eax
        inb     $0x40, %al
        movl    %eax, %ebx
        inb     $0x40, %al
        shll    $8, %eax
        orl     %eax, %ebx
        put     ebx
    """
    machine = guest(body)
    machine.run()
    (count,) = results_of(machine, 1)
    assert 65536 - count == 6  # 5,000 ns at 1.193 MHz, begun


def test_the_controllers_registers_can_be_read_back() -> None:
    body = TIMER + "xorl %eax, %eax\n inb $0x21, %al\n put eax\n out8 0x20, 0x0a\n inb $0x20, %al\n put eax"
    machine = guest(body, ON_TICK)
    machine.run()
    assert results_of(machine, 2) == [0xFE, 0]
