"""Call stacks of kernels without call frame information show what is on the stack, and say where they end early.

The truth is what the CPU does: a call or an interrupt pushes an entry, and it is gone once ESP lies above it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.errors import BudgetUsedUp
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import FUNCTION, machine_of
from tests.helpers.recorded import held_calls
from tests.unit.machine.board.test_interrupts import IDT

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

NOTHING_KNOWN = 0
CALLS, INTERRUPT = (0xE8, 0xFF), 0xCD
START = """
        lidt    idtr
        gate    0x30, handler
        movl    $tasks_end, other
        xorl    %ebp, %ebp
        call    work
        exit    0
        .bss
        .balign 4096
        .skip   4096
tasks_end:
        .data
other:  .long   0
left:   .long   0
        .text
        function take
        ret
        ends    take
"""
# Ways in which a handler goes on; each is entered with the frame of its interrupt on top of the stack.
HANDLERS = {
    "returns": "call take\n iret",
    "returns after more": "pushal\n call inner\n popal\n iret",
    "is interrupted itself": "incl left\n cmpl $1, left\n jne 1f\n int $0x30\n call take\n 1: iret",
    "drops its frame": "addl $12, %esp\n movl %ebp, %esp\n popl %ebp\n ret",
    "returns without iret": "call take\n addl $8, %esp\n popfl\n jmp *-12(%esp)",
    "keeps its frame elsewhere": "subl $64, %esp\n call take\n addl $64, %esp\n iret",
    "goes on as another task": "call take\n xchgl %esp, other\n call take\n xchgl %esp, other\n iret",
}
# What happens in a function with a frame of 256 bytes that it does not write to.
STEPS = {
    "calls": "call inner",
    "is interrupted": "int $0x30",
    "is interrupted deeper": "call busy",
    "calls through a pointer": "movl $inner, %eax\n call *%eax",
    "uses EBP": "call general",
}


def kernel(handler: str, steps: list[str]) -> Machine:
    """Return a kernel whose `work` goes through *steps* twice."""
    body = "\n".join(steps)
    return machine_of(
        f"""{FUNCTION}{IDT}{START}
        function handler
        {handler}
        ends    handler
        function work
        pushl   %ebp
        movl    %esp, %ebp
        subl    $256, %esp
        {body}
        {body}
        leave
        ret
        ends    work
        function busy
        pushl   %ebp
        movl    %esp, %ebp
        subl    $64, %esp
        int     $0x30
        leave
        ret
        ends    busy
        function inner
        pushl   %ebp
        movl    %esp, %ebp
        subl    $128, %esp
        call    take
        leave
        ret
        ends    inner
        function general
        pushl   %ebp
        leal    -200(%esp), %ebp
        call    take
        popl    %ebp
        ret
        ends    general
"""
    )


def executed(machine: Machine) -> list[list[int]]:
    """Run a kernel instruction by instruction, and return the stack at each call of `take`, by what was pushed and is still there."""
    pushed: dict[int, int] = {}
    take = machine.address_of("take")
    stacks: list[list[int]] = []
    for _ in range(3000):
        before = machine.cpu.registers()
        code = machine.read_linear(before.eip, 1)[0]
        try:
            machine.run(max_instructions=1)
        except BudgetUsedUp:
            pass
        else:
            return stacks
        now = machine.cpu.registers()
        on_stack = {slot: word for slot, word in pushed.items() if not now.esp > slot >= before.esp}
        pushed = on_stack if abs(now.esp - before.esp) < 1024 else pushed  # else another stack
        if code == INTERRUPT:
            pushed[now.esp] = before.eip + 2 + 1
        elif now.esp == before.esp - 4 and code in CALLS:
            pushed[now.esp] = machine.memory.load_u32(now.esp)
        if now.eip == take:
            stacks.append([pushed[slot] for slot in sorted(pushed) if now.esp <= slot < now.esp + 2048])
    raise AssertionError("the kernel goes on and on")


def check(handler: str, steps: list[str]) -> list[list[int]]:
    machine = kernel(handler, steps)
    start = machine.snapshot()
    true = executed(machine)
    start.reset()
    recording = record(machine, [RecordedFunction("take")])
    machine.run(timeout_s=10)
    recorded = [list(recording.stack(call.stack)) for call in held_calls(recording)]
    assert len(recorded) == len(true)
    for stack, truth in zip(recorded, true, strict=True):
        ends_early = stack[-1] == NOTHING_KNOWN
        shown = stack[: len(stack) - ends_early]
        assert shown == truth[: len(shown)] if ends_early else shown == truth
    return recorded


@pytest.mark.parametrize("handler", HANDLERS)
def test_each_way_to_leave_a_handler(handler: str) -> None:
    stacks = check(
        HANDLERS[handler], [STEPS[each] for each in ("is interrupted deeper", "calls", "uses EBP")]
    )
    assert any(stack[-1] != NOTHING_KNOWN for stack in stacks)


def test_every_stack_is_whole_where_functions_keep_frame_pointers() -> None:
    steps = ["calls", "is interrupted", "is interrupted deeper", "calls through a pointer"]
    stacks = check(HANDLERS["returns"], [STEPS[each] for each in steps])
    assert [len(stack) for stack in stacks] == [3, 3, 4, 3] * 2
    assert all(stack[-1] != NOTHING_KNOWN for stack in stacks)


def test_a_function_that_uses_ebp_otherwise_ends_the_stack() -> None:
    stacks = check(HANDLERS["returns"], [STEPS["calls"], STEPS["uses EBP"]])
    assert [stack[1:] for stack in stacks[1::2]] == [[NOTHING_KNOWN]] * 2


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(HANDLERS)), st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5))
def test_any_steps(handler: str, steps: list[str]) -> None:
    check(HANDLERS[handler], [STEPS[each] for each in steps])
