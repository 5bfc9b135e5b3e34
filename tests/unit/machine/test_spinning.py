"""Loops that nothing can end: the run ends there, as at `cli; hlt`."""

from __future__ import annotations

import pytest

from emulator.errors import BudgetUsedUp
from emulator.machine.execution import Returned
from emulator.report.text.ending import ending_text
from emulator.run.ending import Budget, How
from emulator.run.to_end import run_to_end
from tests.helpers.guest import machine_of, symbol
from tests.unit.machine.board.test_interrupts import IDT, TIMER

STI = "movb $0xff, %al\n outb %al, $0x21\n sti"  # with all interrupt lines masked
LOOK_NS = 200_000_000
BUDGET = 60_000_000

LOOPS = {
    "jmp": "spin: jmp spin",
    "pause": "spin: pause\n jmp spin",
    "cli": "spin: cli\n nop\n jmp spin",
    "two jumps": "spin: jmp 2f\n nop\n2: nop\n jmp spin",
}
PAGED = """
        paging  directory
spin:   jmp     spin
        .data
        .align  4096
directory:
        .long   0x83
        .fill   1023, 4, 0
        .text
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_loop_with_interrupts_off_ends_the_run(loop: str, mmu: str) -> None:
    machine = machine_of(loop, mmu=mmu)
    outcome = machine.run(timeout_s=60)
    assert outcome.ending is Returned.SPINS
    assert 0 <= outcome.eip - symbol(machine, "spin") < 5
    assert LOOK_NS <= machine.interrupts.now_ns() < LOOK_NS + 1000
    assert machine_of(loop, mmu=mmu).run(timeout_s=60) == outcome


def test_with_paging() -> None:
    assert machine_of(PAGED).run(timeout_s=60).ending is Returned.SPINS


@pytest.mark.parametrize(
    "loop",
    [
        "spin: incl %ecx\n jmp spin",
        "spin: incl results\n jmp spin",
        "spin: cmpl $0, results\n je spin",
        "spin: inb $0x64, %al\n jmp spin",
        "spin: rdtsc\n jmp spin",
        "spin: pushfl\n popfl\n jmp spin",
        "spin: call 1f\n jmp spin\n1: ret",
        STI + "\nspin: jmp spin",
    ],
)
def test_what_may_end_goes_on(loop: str) -> None:
    with pytest.raises(BudgetUsedUp):
        machine_of(loop).run(max_instructions=BUDGET)


def test_a_loop_that_an_interrupt_ends() -> None:
    source = (
        IDT
        + "lidt idtr\n"
        + TIMER
        + "\n sti\nspin: jmp spin\non_tick: incl %ecx\n cmpl $500, %ecx\n je 1f\n movb $0x20, %al\n outb %al, $0x20\n iret\n"
        "1: exit 7\n"
    )
    machine = machine_of(source)
    assert machine.run(timeout_s=60).exit_value == 7
    assert machine.interrupts.now_ns() > 2 * LOOK_NS


def test_slices_make_no_difference() -> None:
    whole, sliced = machine_of("spin: jmp spin"), machine_of("spin: jmp spin")
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        sliced.pause_after(1_000_000, again)

    sliced.pause_after(1_000_000, again)
    assert sliced.run(timeout_s=60) == whole.run(timeout_s=60)
    assert count >= LOOK_NS // sliced.interrupts.instruction_ns // 1_000_000 - 1


def test_a_probe_in_the_loop_is_reached_for_as_long_as_the_run_goes_on() -> None:
    machine = machine_of("spin: jmp spin\n .type spin, @function")
    seen = 0

    def count(*_: int) -> int:
        nonlocal seen
        seen += 1
        return 0

    machine.interrupts.instruction_ns = 10_000
    machine.observers.probe(symbol(machine, "spin"), count)
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=100_000)
    assert seen >= 99_999
    assert machine.interrupts.now_ns() == 5 * LOOK_NS


def test_the_ending_says_where() -> None:
    ending = run_to_end(
        machine_of("call halt\n .type halt, @function\nhalt: cli\n1: jmp 1b"), Budget(timeout_s=60)
    )
    assert (ending.how, ending.interrupts_on, ending.spins) == (How.HALTED, False, True)
    assert ending.failed is False
    text = ending_text(ending)
    assert text.startswith("the kernel halted at halt+0x1 (")
    assert text.endswith("), in an endless loop with interrupts off")
    assert [frame.function for frame in ending.backtrace][:1] == ["halt"]
