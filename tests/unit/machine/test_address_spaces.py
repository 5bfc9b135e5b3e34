"""Recorded calls of tasks in address spaces of their own: each return belongs to the entry on the same stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from emulator.machine.call_stack import prepare_stacks
from tests.helpers.guest import FUNCTION, machine_of, symbol
from tests.helpers.recorded import WholeRecording
from tests.helpers.spaces import two_spaces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.machine import Machine
    from emulator.trace.table import Call

Mmu = Literal["fast", "reference"]


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> Mmu:
    found: Mmu = request.param
    return found


def recorded(source: str, mmu: Mmu, functions: Sequence[str] = ("take",)) -> tuple[Machine, WholeRecording]:
    machine = machine_of(FUNCTION + source, mmu=mmu)
    recording = WholeRecording(machine, functions)
    assert machine.run(timeout_s=10).exit_value == 0
    return machine, recording


def rows(calls: Sequence[Call]) -> list[tuple[str, int, int | None, int, int]]:
    """Function, first argument, result, parent, depth."""
    return [(call.function, call.arguments[0], call.result, call.parent, call.depth) for call in calls]


# Each task takes three times. The other one runs in the middle of each `take`, at the same ESP.
INTERLEAVED = """
task:   movl    $3, %ebp
1:      movl    current, %eax
        imull   $100, %eax
        addl    %ebp, %eax
        pushl   %eax
        call    take
        addl    $4, %esp
        decl    %ebp
        jnz     1b
        cmpl    $1, current
        je      over
        call    give_way
over:   exit    0
        function take
        call    give_way
        pushl   4(%esp)
        call    refill
        addl    $4, %esp
        call    give_way
        movl    4(%esp), %eax
        incl    %eax
        ret
        ends    take
        function refill
        movl    4(%esp), %eax
        negl    %eax
        ret
        ends    refill
"""


@pytest.mark.parametrize("by_entries", [False, True])
def test_two_stacks_at_the_same_addresses(by_entries: bool, mmu: Mmu) -> None:
    _, recording = recorded(two_spaces(INTERLEAVED, by_entries=by_entries), mmu, ("take", "refill"))
    calls = recording.calls()
    takes = [call for call in calls if call.function == "take"]
    assert [call.arguments[0] for call in takes] == [3, 103, 2, 102, 1, 101]
    assert [call.result for call in takes] == [call.arguments[0] + 1 for call in takes]
    assert {(call.parent, call.depth) for call in takes} == {(0, 0)}
    inner = [call for call in calls if call.function == "refill"]
    assert [call.result for call in inner] == [-call.arguments[0] % (1 << 32) for call in inner]
    for call in inner:
        assert call.depth == 1
        assert calls[call.parent - 1].arguments[0] == call.arguments[0]


ON_ONE_STACK = """
task:   movl    $stack, %esp
        pushl   $1
        call    take
        pushl   $2
        call    take
        exit    0
        function take
        movl    $directories + 0x1000, %eax
        movl    %eax, %cr3
        pushl   4(%esp)
        call    refill
        addl    $4, %esp
        cmpl    $2, 4(%esp)
        je      1f                              # it returns in the other space
        movl    $directories, %eax
        movl    %eax, %cr3
1:      movl    4(%esp), %eax
        ret
        ends    take
        function refill
        movl    4(%esp), %eax
        ret
        ends    refill
"""


def test_a_stack_that_both_spaces_have(mmu: Mmu) -> None:
    _, recording = recorded(two_spaces(ON_ONE_STACK), mmu, ("take", "refill"))
    assert rows(recording.calls()) == [
        ("take", 1, 1, 0, 0),
        ("refill", 1, 1, 1, 1),
        ("take", 2, 2, 0, 0),
        ("refill", 2, 2, 3, 1),
    ]


# `take` forks: its stack is in both spaces then. Who of the two has got a copy of the page
# by the first return, say {parent} and {child}.
FORKED = """
task:   pushl   $7
        call    take
back:   movl    current, %ecx
        decl    turns
        jz      over
        xorl    $1, %ecx                        # the other one returns now
        movl    %ecx, current
        jmp     go_on
over:   exit    0
        function take
        call    fork
        ret
        ends    take
fork:   movl    %esp, saved
        movl    $frames + 0x1000, %esi
        movl    $spare, %edi
        movl    $1024, %ecx
        rep     movsl
        movl    ${parent}, tables + 4
        movl    ${child}, tables + 0x1004
        movl    ${first}, %ecx
        movl    %ecx, current
go_on:  imull   $0x1000, %ecx, %eax
        addl    $directories, %eax
        movl    %eax, %cr3
        movl    saved, %esp
        imull   $1000, %ecx, %eax
        addl    $1000, %eax                     # 1000 for the parent, 2000 for the child
        ret
        .data
turns:  .long   2
        .text
"""
WHO_COPIES = {
    "the parent": ("spare + 7", "frames + 0x1007"),
    "the child": ("frames + 0x1007", "spare + 7"),
    "nobody yet": ("frames + 0x1005", "frames + 0x1005"),
}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("who", WHO_COPIES)
def test_the_call_of_a_fork_returns_in_the_parent(who: str, first: int, mmu: Mmu) -> None:
    parent, child = WHO_COPIES[who]
    _, recording = recorded(two_spaces(FORKED.format(first=first, parent=parent, child=child)), mmu)
    assert rows(recording.calls()) == [("take", 7, 1000, 0, 0)]


# The page of the stack goes to other memory while `take` is open, twice, and what it was is used for something else.
MOVED = """
task:   pushl   $5
        call    take
        exit    0
        function take
        call    swap
        pushl   4(%esp)
        call    refill
        addl    $4, %esp
        call    swap
        movl    4(%esp), %eax
        ret
        ends    take
        function refill
        movl    4(%esp), %eax
        ret
        ends    refill
swap:   movl    tables + 4, %esi
        andl    $~0xfff, %esi
        movl    $spare, %edi
        testl   $1, swaps
        jz      1f
        addl    $4096, %edi
1:      incl    swaps
        movl    %edi, %eax
        movl    $1024, %ecx
        rep     movsl
        orl     $7, %eax
        movl    %eax, tables + 4
        invlpg  0x80001000
        leal    -4096(%esi), %edi
        movl    $1024, %ecx
        xorl    %eax, %eax
        rep     stosl
        ret
        .bss
swaps:  .skip   4
        .text
"""


def test_a_stack_that_moves_in_memory(mmu: Mmu) -> None:
    _, recording = recorded(two_spaces(MOVED), mmu, ("take", "refill"))
    assert rows(recording.calls()) == [("take", 5, 5, 0, 0), ("refill", 5, 5, 1, 1)]


# What called `take` lies in the upper page, which nobody uses between two switches.
DEEP = """
task:   cmpl    $0, current
        jne     2f
        call    first
first_returns:
        exit    0
2:      call    second
second_returns:
        hlt
        function first
        pushl   %ebp
        movl    %esp, %ebp
        subl    $4096, %esp
        call    use
        leave
        ret
        ends    first
        function second
        pushl   %ebp
        movl    %esp, %ebp
        subl    $4096, %esp
        call    use
        leave
        ret
        ends    second
use:    pushl   %ebp
        movl    %esp, %ebp
1:      call    give_way
        pushl   current
        call    take
        addl    $4, %esp
        decl    times
        jg      1b
        cmpl    $0, current
        jne     1b
        leave
        ret
        function take
        movl    current, %eax
        incl    taken(, %eax, 4)
        ret
        ends    take
        .data
times:  .long   6
        .bss
taken:  .skip   8
        .text
"""


def test_call_stacks_are_those_of_the_space(mmu: Mmu) -> None:
    machine, recording = recorded(two_spaces(DEEP), mmu)
    found = {(call.arguments[0], stack[2]) for call, stack in recording.with_stacks()}
    assert found == {(0, symbol(machine, "first_returns")), (1, symbol(machine, "second_returns"))}


def test_a_write_has_the_call_stack_of_its_space(mmu: Mmu) -> None:
    machine = machine_of(FUNCTION + two_spaces(DEEP), mmu=mmu)
    prepare_stacks(machine)
    watchpoints = [machine.observers.watch(symbol(machine, "taken") + 4 * task, 4) for task in range(2)]
    assert machine.run(timeout_s=10).exit_value == 0
    for watchpoint, returns in zip(watchpoints, ("first_returns", "second_returns"), strict=True):
        changes = watchpoint.changes()
        assert changes is not None
        assert [write.callers[2] for write in changes] == [symbol(machine, returns)] * 2


# The first task has given way in a handler; the frame of its interrupt lies between two calls of the second one's stack.
INTERRUPTED = """
        movl    $handler, %eax
        movw    %ax, idt + 8 * 0x40
        movw    %cs, idt + 8 * 0x40 + 2
        movw    $0x8e00, idt + 8 * 0x40 + 4
        shrl    $16, %eax
        movw    %ax, idt + 8 * 0x40 + 6
        lidt    idtr
        jmp     start_of_tasks
handler:
        call    give_way
        iret
task:   cmpl    $0, current
        jne     2f
        int     $0x40
        exit    0
2:      pushl   $1
        call    take
        call    give_way
        function take
        subl    $64, %esp
        pushl   $2
        call    refill
        addl    $68, %esp
        ret
        ends    take
        function refill
        ret
        ends    refill
        .data
idtr:   .word   0x207
        .long   idt
        .bss
        .balign 8
idt:    .skip   0x208
        .text
start_of_tasks:
"""


def test_interrupts_of_another_space_are_in_no_stack(mmu: Mmu) -> None:
    _, recording = recorded(INTERRUPTED + two_spaces(""), mmu, ("take", "refill"))
    assert [(call.function, call.parent, call.depth) for call in recording.calls()] == [
        ("take", 0, 0),
        ("refill", 1, 1),
    ]


# Both stacks are known to their ends by rules, and the first task's call is none of the second one's frames.
UNWOUND_BY_RULES = """
        .cfi_sections .debug_frame
task:   pushl   $0
        jmp     outer
        function outer
        .cfi_startproc
        call    body
        .cfi_endproc
        ends    outer
        function body
        .cfi_startproc
        cmpl    $0, current
        jne     2f
        pushl   $1
        .cfi_adjust_cfa_offset 4
        call    take
        exit    0
2:      pushl   $0
        pushl   $0
        pushl   $2
        .cfi_adjust_cfa_offset 8
        call    take
        .cfi_endproc
        ends    body
        function take
        .cfi_startproc
        call    give_way
        movl    4(%esp), %eax
        ret
        .cfi_endproc
        ends    take
"""


def test_a_call_is_not_given_up_for_the_stack_of_another_space(mmu: Mmu) -> None:
    _, recording = recorded(two_spaces(UNWOUND_BY_RULES), mmu)
    assert rows(recording.calls()) == [("take", 1, 1, 0, 0), ("take", 2, None, 0, 0)]
