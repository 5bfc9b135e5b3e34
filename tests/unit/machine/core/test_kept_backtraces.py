"""An unwinding of the stack that is like an earlier one at its start, but not further up."""

from __future__ import annotations

from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import machine_of
from tests.helpers.recorded import held_calls
from tests.unit.machine.board.test_interrupts import IDT

TAKE = """
        .type   take, @function
take:   ret
        .size   take, . - take
"""
TWO_WAYS = """
        xorl    %ebp, %ebp
        movl    $2, %ecx
again:  call    middle
first:  call    middle
second: loop    again
        exit    0
middle: pushl   %ebp
        movl    %esp, %ebp
        call    take
taken:  leave
        ret
"""
PRETENDED_AND_REAL = """
        lidt    idtr
        gate    0x30, handler
        xorl    %ebp, %ebp
        call    work
worked: exit    0
work:   pushl   %ebp
        movl    %esp, %ebp
        pushfl
        pushl   %cs
        pushl   $interrupted
        jmp     handler
interrupted:
        int     $0x30
        leave
resumed:
        ret
handler:
        call    take
taken:  iret
"""


def stacks_of(source: str, labels: str) -> list[list[str]]:
    """Return the stack of each call of `take`, as labels."""
    machine = machine_of(source + TAKE)
    recording = record(machine, [RecordedFunction("take")])
    machine.run(timeout_s=10)
    names = {machine.address_of(label): label for label in labels.split()} | {0: "..."}
    return [[names[frame] for frame in recording.stack(call.stack)] for call in held_calls(recording)]


def test_another_caller_of_the_caller_makes_another_stack() -> None:
    ways = [
        ["taken", "first"],
        ["taken", "second", "..."],
    ]  # what lies after a call in the first code may be another's
    assert stacks_of(TWO_WAYS, "taken first second") == ways * 2


def test_an_interrupt_at_the_same_address_as_a_pretended_one_makes_another_stack() -> None:
    # The frame that was interrupted goes on at its `leave`; it is kept as that address + 1.
    stacks = [["taken", "worked"], ["taken", "resumed", "..."]]
    assert stacks_of(IDT + PRETENDED_AND_REAL, "taken worked resumed") == stacks
