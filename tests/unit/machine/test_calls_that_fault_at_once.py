"""Recorded calls whose first instruction raises an exception: it comes twice, but they are one call."""

from __future__ import annotations

import pytest

from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import FUNCTION, machine_of
from tests.helpers.recorded import held_calls
from tests.unit.machine.board.test_interrupts import IDT

SOURCE = (
    FUNCTION
    + IDT
    + """
        lidt    idtr
        gate    0, on_divide
        movl    $2, %esi
again:  xorl    %ecx, %ecx
        movl    $8, %eax
        call    divide
        decl    %esi
        jnz     again
        exit    0
        function divide
        divl    %ecx
        ret
        ends    divide
on_divide:
        incl    %ecx
        xorl    %edx, %edx
        {then}
        iret
        function other
        ret
        ends    other
"""
)


def calls_of(then: str) -> list[tuple[str, int | None]]:
    machine = machine_of(SOURCE.format(then=then))
    recording = record(machine, [RecordedFunction("divide", 0), RecordedFunction("other", 0)])
    assert machine.run(max_instructions=1000).exit_value == 0
    return [(each.function, each.result) for each in held_calls(recording)]


def test_are_one_call() -> None:
    assert calls_of("") == [("divide", 8), ("divide", 8)]


def test_with_calls_of_the_handler_in_between() -> None:
    once = [("divide", 8), ("other", 8)]
    assert calls_of("call other") == once * 2


def test_that_are_left_and_made_again_are_two() -> None:
    """The handler has dropped the first one's frame, and calls once more from the same call site."""
    dropped = "testl $1, %esi\n jnz 1f\n decl %esi\n addl $16, %esp\n movl $8, %eax\n jmp again + 7\n 1:"
    assert calls_of(dropped)[0] == ("divide", None)


@pytest.mark.parametrize("event", [1, 2, 3])
def test_events_have_the_same_numbers(event: int) -> None:
    machine = machine_of(SOURCE.format(then=""))
    record(machine, [RecordedFunction("divide", 0)])
    machine.run(stop_at_event=event)
    assert machine.calls.event_count == event
