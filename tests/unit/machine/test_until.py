"""What ends a run well besides the kernel itself."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from emulator.devices.board import pc_board
from emulator.errors import BudgetUsedUp
from emulator.machine.execution import Returned
from emulator.machine.until import IDLE_NS, LOOK_NS
from tests.helpers.guest import machine_of, results_of, symbol
from tests.unit.machine.board.test_interrupts import IDT, TIMER

if TYPE_CHECKING:
    from emulator.machine.execution import Outcome
    from emulator.machine.machine import Machine

STI = "movb $0xff, %al\n outb %al, $0x21\n movb $0, %al\n sti"  # with all interrupt lines masked
SAY = """
        movw    ${port}, %dx
        movb    $'H', %al
        outb    %al, %dx
        movb    $'i', %al
after:  outb    %al, %dx
        movl    $1, %ebx
        put     ebx
1:      jmp     1b
"""


def run(machine: Machine, **until: Any) -> Outcome:  # noqa: ANN401 - the keywords of run()
    return machine.run(max_instructions=250_000_000, **until)


@pytest.mark.parametrize("port", [0x3F8, 0xE9])
def test_a_text_on_a_console_ends_the_run_at_its_last_byte(port: int) -> None:
    machine = machine_of(SAY.format(port=port))
    outcome = run(machine, until="Hi")
    assert (outcome.ending, outcome.eip) == (Returned.TEXT, symbol(machine, "after") + 1)
    assert results_of(machine, 1) == [0]


def test_the_texts_of_two_consoles_are_two() -> None:
    machine = machine_of(
        "movb $'H', %al\n outb %al, $0xe9\n movw $0x3f8, %dx\n movb $'i', %al\n outb %al, %dx\n cli\n hlt"
    )
    assert run(machine, until="Hi").ending is Returned.HALTED


def test_a_text_that_never_appears_ends_nothing() -> None:
    with pytest.raises(BudgetUsedUp):
        machine_of(SAY.format(port=0xE9)).run(until="Ho", max_instructions=10_000)


SCROLLED = """
        movl    $0x07690748, 0xb8000 + 4000
        movw    $0x3d4, %dx
        movw    $0x500d, %ax
        outw    %ax, %dx
"""


def test_a_text_on_a_screen_that_is_scrolled_by_its_controller_ends_the_run() -> None:
    assert run(machine_of(f"{SCROLLED}\n 1: jmp 1b"), until="Hi").ending is Returned.TEXT
    with pytest.raises(BudgetUsedUp):
        machine_of(f"{SCROLLED.replace('$0x500d', '$0x000d')}\n 1: jmp 1b").run(
            until="Hi", max_instructions=10_000_000
        )


def test_a_board_without_a_screen_may_show_its_text_on_a_console() -> None:
    board = tuple(row for row in pc_board() if row.name not in {"VGA", "CRTC", "graphics"})
    assert run(machine_of(SAY.format(port=0xE9), board=board), until="Hi").ending is Returned.TEXT
    machine = machine_of("1: jmp 1b", board=board)
    with pytest.raises(BudgetUsedUp):
        machine.run(until="Hi", max_instructions=10_000_000)
    with pytest.raises(ValueError, match=r"^the board has no VGA$"):
        machine.screen()


def test_a_later_run_waits_for_what_is_said_from_then_on() -> None:
    machine = machine_of(SAY.format(port=0xE9))
    run(machine, until="Hi")
    with pytest.raises(BudgetUsedUp):
        machine.run(until="Hi", max_instructions=10_000)


@pytest.mark.parametrize("end", ["1: jmp 1b", "cli\n hlt"])
def test_a_text_on_the_screen_ends_the_run(end: str) -> None:
    outcome = run(machine_of(f"movl $0x07690748, 0xb8010\n {end}"), until="Hi")
    assert outcome.ending is Returned.TEXT
    assert outcome.instructions <= LOOK_NS // 10 + 10


@pytest.mark.parametrize(
    "loop",
    [
        STI + "\n1: jmp 1b",
        STI + "\n1: cmpl $0, results\n je 1b",
        STI + "\n1: call 2f\n jmp 1b\n2: pushl %ebx\n popl %ebx\n ret",
        "movw $0x3fd, %dx\n1: inb %dx, %al\n testb $1, %al\n jz 1b",
    ],
)
def test_a_loop_that_changes_nothing_is_idle(loop: str) -> None:
    machine = machine_of(loop)
    outcome = run(machine, until_idle=True)
    assert outcome.ending is Returned.IDLE
    assert 2 * IDLE_NS <= machine.interrupts.now_ns() <= 2 * IDLE_NS + 5 * LOOK_NS
    again = machine_of(loop)
    assert run(again, until_idle=True) == outcome


def test_a_run_in_pieces_waits_as_one_that_is_none() -> None:
    loop = STI + "\n1: pushl %ebx\n popl %ebx\n jmp 1b"
    whole, machine = machine_of(loop), machine_of(loop)
    run(whole, until_idle=True)
    ended = 0
    for _ in range(100):
        with suppress(BudgetUsedUp):
            assert machine.run(max_instructions=7_000_000, until_idle=True).ending is Returned.IDLE
            ended = machine.interrupts.now_ns()
            break
    assert abs(ended - whole.interrupts.now_ns()) <= 3 * LOOK_NS
    with pytest.raises(BudgetUsedUp):  # what begins then is another wait
        machine.run(max_instructions=150_000_000, until_idle=True)


def test_a_run_begun_elsewhere_waits_for_two_seconds_of_its_own() -> None:
    counting = "cmpl $0, later\n je 1f\n2: decl later\n jnz 2b\n1: jmp 1b"
    loop = f"{STI}\n {counting}\n .data\nlater: .long 0\n .text"
    machine, fresh = machine_of(loop), machine_of(loop)
    start = machine.snapshot()
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=150_000_000, until_idle=True)
    start.reset()
    for each in (machine, fresh):
        each.memory.store_u32(symbol(each, "later"), 60_000_000)
        assert each.run(max_instructions=400_000_000, until_idle=True).ending is Returned.IDLE
    assert machine.interrupts.now_ns() == fresh.interrupts.now_ns()


@pytest.mark.parametrize(
    "loop",
    [
        "cli\n1: incl %ebx\n jmp 1b",
        STI + "\n1: incl %ebx\n jmp 1b",
        STI + "\n1: incl results\n jmp 1b",
        "movw $0x300, %dx\n1: inb %dx, %al\n testb $1, %al\n jnz 1b",  # waits for what kmemu does not have
        STI + "\n1: movb $'.', %al\n outb %al, $0xe9\n movl $30000000, %ecx\n2: loop 2b\n jmp 1b",
        STI + "\n1: incb 0xb8000\n movl $30000000, %ecx\n2: loop 2b\n jmp 1b",
    ],
)
def test_what_is_not_idle(loop: str) -> None:
    with pytest.raises(BudgetUsedUp):
        run(machine_of(loop), until_idle=True)


def test_waiting_for_ticks_is_idle() -> None:
    ticking = (
        IDT
        + "lidt idtr\n"
        + TIMER
        + "\n sti\n1: hlt\n jmp 1b\non_tick: movb $0x20, %al\n outb %al, $0x20\n iret\n"
    )
    machine = machine_of(ticking)
    outcome = run(machine, until_idle=True)
    assert outcome.ending is Returned.IDLE
    assert machine.interrupts.now_ns() >= 2 * IDLE_NS


def test_a_halt_with_interrupts_on_waits_for_input() -> None:
    assert run(machine_of(STI + "\n hlt\n ud2"), until_idle=True).ending is Returned.IDLE
    assert run(machine_of("cli\n hlt"), until_idle=True).ending is Returned.HALTED
    assert run(machine_of(STI + "\n hlt\n ud2")).ending is Returned.HALTED


def test_a_run_that_is_looked_at_is_the_same_run() -> None:
    source = (
        IDT
        + "lidt idtr\n"
        + TIMER
        + """
        sti
1:      incl    %ebx
        jmp     1b
on_tick: put    ebx
        movb    $0x20, %al
        outb    %al, $0x20
        iret
        """
    )
    looked_at, other = machine_of(source), machine_of(source)
    with pytest.raises(BudgetUsedUp):
        looked_at.run(max_instructions=3_000_000, until="never", until_idle=True)
    with pytest.raises(BudgetUsedUp):
        other.run(max_instructions=3_000_000)
    assert looked_at.registers() == other.registers()
    assert results_of(looked_at, 8) == results_of(other, 8)
