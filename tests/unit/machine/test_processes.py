"""Recorded calls in ring 3, of two processes whose programs lie at the same addresses."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.helpers.guest import FUNCTION, machine_of
from tests.helpers.recorded import WholeRecording
from tests.helpers.rings import DESCRIPTORS

# All memory is the user's; the page of `take` and that of the stack are each process's own.
PAGES = """
        .macro  load_space index
        movl    \\index, %eax
        shll    $13, %eax
        addl    $spaces, %eax
        movl    %eax, %cr3
        .endm
        .irp    space, 0, 1
        movl    $spaces + 0x2000 * \\space + 0x1007, spaces + 0x2000 * \\space
        xorl    %ecx, %ecx
1:      movl    %ecx, %eax
        shll    $12, %eax
        orl     $7, %eax
        movl    %eax, spaces + 0x2000 * \\space + 0x1000(, %ecx, 4)
        incl    %ecx
        cmpl    $1024, %ecx
        jne     1b
        .endr
        movl    $take, %ecx
        shrl    $12, %ecx
        movl    ${second} + 7, spaces + 0x3000(, %ecx, 4)
        movl    $process_stack - 0x1000, %ecx
        shrl    $12, %ecx
        movl    $second_stack + 7, spaces + 0x3000(, %ecx, 4)
        movl    $take, %esi                     # a copy of the program
        movl    $copy, %edi
        movl    $1024, %ecx
        rep     movsl
        gate    0x80, on_give_way, 0xee
        gate    0x81, on_exec, 0xee
        lidt    idtr
        load_space $0
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        in_ring_3 0x3002                        # ports are open
        jmp     program
on_give_way:
        movl    current, %ecx
        popl    saved(, %ecx, 8)
        movl    8(%esp), %eax
        movl    %eax, saved + 4(, %ecx, 8)
        xorl    $1, %ecx
        movl    %ecx, current
        load_space %ecx
        movl    saved + 4(, %ecx, 8), %eax
        movl    %eax, 8(%esp)
        pushl   saved(, %ecx, 8)
        iret
on_exec:
        movl    $take, %ecx
        shrl    $12, %ecx
        movl    $another + 7, spaces + 0x1000(, %ecx, 4)
        load_space current
        movl    $program, (%esp)
        iret
program:
        movl    $process_stack, %esp
        {program}
over:   exit    0
        .text
        .balign 4096
        function take
        {middle}
        movl    4(%esp), %eax
        incl    %eax
        ret
        ends    take
        .balign 4096
another:
        movl    4(%esp), %eax
        addl    $1000, %eax
        ret
        .balign 4096
copy:   .skip   4096
        .data
saved:  .long   0, 0, program, process_stack
        .bss
        .balign 4096
spaces: .skip   4 * 4096
        .skip   4096
process_stack:
second_stack:
        .skip   4096
current:
        .skip   4
        .text
"""
TWICE = """
        pushl   current
        call    take
        pushl   %eax
        call    take
1:      int     $0x80
        cmpl    $0, current
        jne     1b
"""
EXEC = """
        incl    turns
        pushl   turns
        call    take
        jmp     over
        .data
turns:  .long   0
        .text
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
@pytest.mark.parametrize("second", ["copy", "another"])
def test_processes_of_the_same_program_and_of_another(second: str, mmu: Literal["fast", "reference"]) -> None:
    source = PAGES.format(second=second, program=TWICE, middle="int $0x80")
    machine = machine_of(FUNCTION + DESCRIPTORS + source, mmu=mmu)
    recording = WholeRecording(machine, ["take"])
    assert machine.run(timeout_s=10).exit_value == 0
    first = [(0, 1, 0, 0), (1, 2, 0, 0)]
    its = [(call.arguments[0], call.result, call.parent, call.depth) for call in recording.calls()]
    if second == "another":
        assert its == first
    else:
        assert sorted(its) == sorted([*first, (1, 2, 0, 0), (2, 3, 0, 0)])


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_a_program_that_was_put_in_place_of_the_recorded_one(mmu: Literal["fast", "reference"]) -> None:
    source = PAGES.format(second="copy", program=EXEC, middle="int $0x81")
    machine = machine_of(FUNCTION + DESCRIPTORS + source, mmu=mmu)
    recording = WholeRecording(machine, ["take"])
    assert machine.run(timeout_s=10).exit_value == 0
    assert [(call.arguments[0], call.left) for call in recording.calls()] == [(1, None)]
