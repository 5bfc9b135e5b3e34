"""Call stacks that an interrupt lies in, in kernels without call frame information."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.machine.call_stack import callers
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import FUNCTION, machine_of, symbol
from tests.helpers.recorded import held_calls
from tests.unit.machine.board.test_interrupts import IDT

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

# `busy` is interrupted, deep in a part of the stack that `wrap` uses afterwards without writing to it.
BUSY_THEN_WRAP = """
        function worker
        pushl   %ebp
        movl    %esp, %ebp
        call    busy
after_busy:
        call    wrap
after_wrap:
        leave
        ret
        ends    worker
        function busy
        pushl   %ebp
        movl    %esp, %ebp
        subl    $64, %esp
        int     $0x30
interrupted:
        nop
        leave
        ret
        ends    busy
        function wrap
        pushl   %ebp
        movl    %esp, %ebp
        subl    $256, %esp
        call    take
after_take:
        leave
        ret
        ends    wrap
        function take
        ret
        ends    take
"""
START = """
        lidt    idtr
        gate    0x30, handler
        xorl    %ebp, %ebp
        call    worker
worked: exit    0
handler:
"""
TAKES = "call take\ntaken: iret"
ITSELF_INTERRUPTED = "incl depth\n cmpl $1, depth\n jne 1f\n int $0x30\nagain: call take\ntaken: 1: iret\n .data\n depth: .long 0\n .text"


def stacks_of(machine: Machine) -> list[list[str]]:
    """Return the stack of each call of `take`, as labels; an interrupted instruction is `LABEL+1`."""
    recording = record(machine, [RecordedFunction("take")])
    machine.run(timeout_s=10)
    names = {each.address: name for name, each in machine.image.symbols.items()}
    names |= {
        machine.address_of(each) + 1: f"{each}+1"
        for each in ("interrupted", "again", "bad")
        if machine.image.symbol(each)
    }
    return [[names[frame] for frame in recording.stack(call.stack)] for call in held_calls(recording)]


def guest(handler: str, mmu: str = "fast") -> Machine:
    return machine_of(FUNCTION + IDT + START + handler + BUSY_THEN_WRAP, mmu=mmu)


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_interrupt_that_was_left_is_in_no_stack(mmu: str) -> None:
    assert stacks_of(guest("iret", mmu)) == [["after_take", "after_wrap", "worked"]]


def test_an_interrupt_is_in_the_stacks_of_its_handler_only(mmu: str) -> None:
    assert stacks_of(guest(TAKES, mmu)) == [
        ["taken", "interrupted+1", "after_busy", "worked"],
        ["after_take", "after_wrap", "worked"],
    ]


@pytest.mark.parametrize("pushes", ["pushl %ebp", "pushl %eax\n pushl %ebp", "pushl $0\n pushl %ebp"])
def test_a_zero_in_a_handler_ends_no_stack(pushes: str) -> None:
    """As the error code of most page faults is one, and registers are that a handler has pushed."""
    machine = guest(f"xorl %ebp, %ebp\n {pushes}\nstands: nop\n exit 0")
    machine.stops.break_at(symbol(machine, "stands"))
    machine.run(timeout_s=10)
    assert callers(machine).return_addresses[:1] == (symbol(machine, "interrupted") + 1,)


def test_of_two_interrupts_the_one_that_was_not_left_stays() -> None:
    assert stacks_of(guest(ITSELF_INTERRUPTED)) == [
        ["taken", "interrupted+1", "after_busy", "worked"],
        ["after_take", "after_wrap", "worked"],
    ]


def test_an_iret_that_faults_leaves_nothing(mmu: str) -> None:
    handler = "gate 13, on_gp\n movl $0x88, 4(%esp)\nbad: iret\non_gp: call take\ntaken: exit 0"
    assert stacks_of(guest(handler, mmu)) == [["taken", "bad+1", "interrupted+1", "after_busy", "worked"]]


def test_a_snapshot_knows_the_interrupts_of_its_time() -> None:
    machine = guest(TAKES)
    recording = record(machine, [RecordedFunction("take")])
    machine.run(stop_at_event=1)
    stack = callers(machine).return_addresses
    assert machine.address_of("interrupted") + 1 in stack
    with machine.snapshot():
        machine.run()
        assert recording.event_count == 4
    assert callers(machine).return_addresses == stack


def test_a_snapshot_does_not_know_the_interrupts_after_it() -> None:
    machine = guest(TAKES)
    recording = record(machine, [RecordedFunction("take")])
    start = machine.snapshot()
    machine.run(stop_at_event=1)
    interrupt_at = machine.cpu.registers().esp + 4
    frame = machine.memory.read(interrupt_at, 4)
    start.reset()
    machine.memory.write(interrupt_at, frame)  # garbage that looks like it
    machine.memory.write(machine.address_of("busy") + 6, b"\x90\x90")  # no int
    machine.cpu.flush_code()
    machine.run(stop_at_event=1)
    assert machine.address_of("interrupted") + 1 not in callers(machine).return_addresses
    assert recording.event_count == 1
