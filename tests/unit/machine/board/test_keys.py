"""Keys that are typed reach a guest, whether it waits for the interrupt or polls, and do so again after a snapshot."""

from __future__ import annotations

import pytest

from emulator.devices.board import BoardSettings, Row, pc_board
from emulator.devices.keyboard.key_text import UnknownKey
from emulator.errors import BudgetUsedUp
from emulator.machine.execution import Returned
from tests.helpers.guest import machine_of, results_of
from tests.unit.machine.board.test_interrupts import IDT

EXPECTED = [0x1E, 0x9E, 0x1C, 0x9C]

BY_INTERRUPT = (
    IDT
    + """
        gate    0x21, on_key
        lidt    idtr
        out8    0x20, 0x11
        out8    0x21, 0x20
        out8    0x21, 4
        out8    0x21, 1
        out8    0x21, 0xfd
        sti
1:      hlt
        jmp     1b
on_key: pushl   %eax
        xorl    %eax, %eax
        inb     $0x60, %al
        put     eax
        cmpb    $0x9c, %al
        jne     2f
        exit    0
2:      out8    0x20, 0x20
        popl    %eax
        iretl
"""
)
BY_MOMENTS = BY_INTERRUPT.replace("0xfd", "0xfc").replace(
    """        sti
1:      hlt
        jmp     1b
""",
    """        gate    0x20, on_tick
1:      cli                             # all the time but for a moment
        movl    $99990, %ecx
2:      loop    2b
        sti
        nop
        jmp     1b
on_tick: pushl  %eax
        out8    0x20, 0x20
        popl    %eax
        iretl
""",
)
BY_POLLING = """
1:      inb     $0x64, %al
        testb   $1, %al
        jz      1b
        xorl    %eax, %eax
        inb     $0x60, %al
        put     eax
        cmpb    $0x9c, %al
        jne     1b
        exit    0
"""


BY_DATA_PORT = """
        inb     $0x60, %al
        movb    %al, %bl
1:      inb     $0x60, %al
        cmpb    %bl, %al
        je      1b
        movb    %al, %bl
        movzbl  %al, %eax
        put     eax
        cmpb    $0x9c, %al
        jne     1b
        exit    0
"""


@pytest.mark.parametrize(
    "source",
    [BY_INTERRUPT, BY_MOMENTS, BY_POLLING, BY_DATA_PORT],
    ids=["interrupt", "moments", "polling", "data port"],
)
def test_keys_of_the_settings(source: str) -> None:
    machine = machine_of(source, board=pc_board(BoardSettings(keys="a{enter}")))
    assert machine.run(timeout_s=60).ending is Returned.EXIT
    assert results_of(machine, 5) == [*EXPECTED, 0]


def test_a_guest_that_lets_interrupts_in_for_moments_is_not_kept_waiting() -> None:
    machine = machine_of(BY_MOMENTS, board=pc_board(BoardSettings(keys="a{enter}")))
    assert machine.run(timeout_s=60).ending is Returned.EXIT
    assert machine.interrupts.now_ns() < 800_000_000  # half a second before the first key


def test_keys_wait_while_a_guest_does_not_take_its_ticks() -> None:
    machine = machine_of("movb $0xfc, %al\n outb %al, $0x21\n1: incl %ecx\n jmp 1b")  # with interrupts off
    machine.keys("a")
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=200_000_000)
    assert machine.ports.read(0x64, 1) & 1 == 0


def test_keys_that_are_typed_later_are_typed_again_after_a_snapshot() -> None:
    machine = machine_of(BY_INTERRUPT)
    assert machine.run(timeout_s=60).ending is Returned.HALTED  # nothing is typed, nothing ever happens
    machine.keys("a{enter}")
    start = machine.snapshot()
    times = []
    for _ in range(2):
        assert machine.run(timeout_s=60).ending is Returned.EXIT
        assert results_of(machine, 5) == [*EXPECTED, 0]
        times.append(machine.interrupts.now_ns())
        start.reset()
    assert times[0] == times[1]


def test_what_cannot_be_typed_is_refused() -> None:
    machine = machine_of(BY_INTERRUPT)
    with pytest.raises(UnknownKey, match=r"^no key of a US keyboard types 'ö'$"):
        machine.keys("ö")


def test_a_board_without_a_keyboard_takes_no_keys() -> None:
    machine = machine_of(BY_INTERRUPT, board=tuple[Row, ...]())
    with pytest.raises(ValueError, match=r"^the board has no keyboard$"):
        machine.keys("a")
    with pytest.raises(ValueError, match=r"^the board has no COM1$"):
        machine.send(b"a")


def test_bytes_are_sent_to_com1() -> None:
    machine = machine_of(
        """
        .rept   2
1:      movw    $0x3fd, %dx
        inb     %dx, %al
        testb   $1, %al
        jz      1b
        movw    $0x3f8, %dx
        xorl    %eax, %eax
        inb     %dx, %al
        put     eax
        .endr
        exit    0
        """
    )
    machine.send(b"a")
    machine.send(b"b")
    machine.run(timeout_s=60)
    assert results_of(machine, 2) == [ord("a"), ord("b")]
