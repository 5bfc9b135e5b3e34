"""Accesses below ESP: where they are looked for, and that this changes nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Literal

import pytest

from emulator.errors import BudgetUsedUp
from emulator.machine.core.core_types import Access
from emulator.machine.core.observed import BadAccess, Poison
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import FUNCTION, assemble, symbol
from tests.helpers.rings import exceptions
from tests.unit.machine.core.test_checked_accesses import ROLES, machine_of

Mmu = Literal["fast", "ordinary"]

MIXED: Final = """
        sti
        movl    $3, %ecx
1:      first:  movl %ecx, -4(%esp)
        pushl   %ecx
        popl    %eax
        second: addl %eax, -8(%esp)
        third:  movl -12(%esp), %edx
        call    framed
        loop    1b
        cli
        movl    %edx, -4(%esp)
        jmp     2f
        function framed
        pushl   %ebp
        movl    %esp, %ebp
        testl   %ecx, %ecx
        jz      1f
1:      pushl   %ecx
        fourth: movl %edx, -8(%ebp)
        popl    %ecx
        popl    %ebp
        ret
        ends    framed
2:
"""
LABELS: Final = ("first", "second", "third", "fourth")


def rings(steps: str, mmu: Mmu = "fast") -> Machine:
    """Return a machine with a guest of all rings, whose only recorded function is never called."""
    made = "        function make\n        ret\n        ends make\n"
    machine = Machine(assemble(FUNCTION + exceptions(steps) + made), mmu=mmu)
    record(machine, [RecordedFunction("make", 1)])
    return machine


def found(machine: Machine) -> tuple[BadAccess, ...]:
    with machine.observers.check_accesses(ROLES[:1]) as checked:
        assert machine.run(timeout_s=60).ending is Returned.EXIT
        return checked.seen().accesses


def without_marks(accesses: tuple[BadAccess, ...]) -> list[BadAccess]:
    """Return accesses without what the shadow says: no call that is executed alone marks its return address."""
    return [each._replace(shadow=()) for each in accesses]


def labels(machine: Machine) -> list[str]:
    """Return at which labels something is found."""
    names = {each.address: name for name, each in machine.image.symbols.items()}
    seen = found(machine)
    assert {each.poison for each in seen} <= {Poison.BELOW_STACK}
    return [names[each.registers.pc] for each in seen]


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
def test_what_is_known_of_an_access_below_esp(mmu: Mmu) -> None:
    machine = machine_of(MIXED, mmu=mmu)
    with machine.observers.check_accesses(ROLES) as checked:
        machine.run(timeout_s=60)
        first, second, third, fourth = checked.seen().accesses
    assert first.registers.eip == symbol(machine, "first")
    all_four = first, second, third, fourth
    assert [each.access for each in all_four] == [Access.WRITE, Access.WRITE, Access.READ, Access.WRITE]
    assert first.frame == first.registers.esp
    assert [each.frame - each.linear for each in all_four] == [4, 8, 12, 4]
    assert [each.times for each in all_four] == [3, 3, 3, 3]
    assert {each.poison for each in all_four} == {Poison.BELOW_STACK}
    assert first.block is None
    assert first.physical == first.linear
    assert first.around <= first.physical < first.around + 64
    assert first.registers.eflags & 0x200


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
@pytest.mark.parametrize("ends", [None, False, True])
def test_a_run_is_what_it_is_unchecked_and_may_end_in_front_of_each(mmu: Mmu, *, ends: bool | None) -> None:
    unchecked = machine_of(MIXED, mmu=mmu)
    whole = unchecked.run(timeout_s=60)
    machine = machine_of(MIXED, mmu=mmu)
    ends_run = None if ends is None else lambda _seen: ends
    executed, stops = 0, []
    with machine.observers.check_accesses(ROLES, ends_run=ends_run) as checked:
        while (outcome := machine.run(timeout_s=60)).ending is Returned.BAD_ACCESS:
            executed += outcome.instructions
            stops.append(outcome.eip)
            assert machine.registers() == checked.seen().accesses[-1].registers
        assert [each.times for each in checked.seen().accesses] == [3, 3, 3, 3]
    assert outcome._replace(instructions=executed + outcome.instructions) == whole
    assert machine.registers() == unchecked.registers()
    assert machine.memory.read(0, len(machine.memory)) == unchecked.memory.read(0, len(unchecked.memory))
    assert stops == ([symbol(machine, each) for each in LABELS] if ends else [])


@pytest.mark.parametrize("step", [1, 2, 7])
@pytest.mark.parametrize("ends", [None, False, True])
def test_they_are_found_in_runs_of_a_few_instructions(step: int, *, ends: bool | None) -> None:
    whole = machine_of(MIXED)
    expected = found(whole)
    machine = machine_of(MIXED)
    stops = []
    ends_run = None if ends is None else lambda _seen: ends
    with machine.observers.check_accesses(ROLES, ends_run=ends_run) as checked:
        for _ in range(400):
            with suppress(BudgetUsedUp):
                outcome = machine.run(max_instructions=step)
                if outcome.ending is Returned.EXIT:
                    break
                assert outcome.ending is Returned.BAD_ACCESS
                stops.append(outcome.eip)
        assert without_marks(checked.seen().accesses) == without_marks(expected)
    assert machine.registers() == whole.registers()
    assert stops == ([symbol(machine, each) for each in LABELS] if ends else [])


def test_code_from_before_is_looked_at_and_none_after_the_checks() -> None:
    machine = machine_of("again: sti; bad: movl %eax, -4(%esp); cli")
    start = machine.snapshot()
    machine.run(timeout_s=60)
    for _ in range(2):
        start.reset()
        with machine.observers.check_accesses(ROLES) as checked:
            machine.run(timeout_s=60)
            assert [each.registers.eip for each in checked.seen().accesses] == [symbol(machine, "bad")]
        start.reset()
        machine.run(timeout_s=60)


HANDLER: Final = """
        gate 0x80, on_call, {access}
        after 1f
        sti
        int $0x80
1:      cli
        jmp 2f
on_call: nop
        bad: movl %eax, -4(%esp)
        addl $12, %esp
        jmp *resume
2:
"""


def test_in_handlers_it_matters_whether_interrupts_are_off_there() -> None:
    assert labels(rings(HANDLER.format(access="0x8e"))) == []
    assert labels(rings(HANDLER.format(access="0x8f"))) == ["bad"]


IN_RING_3: Final = """
        after 1f
        in_ring_3 0x3202
        movl %eax, -4(%esp)
        movl -8(%esp), %eax
        pushl %ebp
        movl %esp, %ebp
        movl %eax, -4(%ebp)
        int $0x80
1:      sti
        bad: movl %eax, -4(%esp)
        cli
"""


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
def test_programs_in_ring_3_may_do_that(mmu: Mmu) -> None:
    assert labels(rings(IN_RING_3, mmu)) == ["bad"]


IN_RING_1: Final = """
        .data
        .balign 8
others: .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cfba000000ffff, 0x00cfb2000000ffff
others_end:
others_at: .word others_end - others - 1
        .long   others
        .text
        lgdt    others_at
        after   2f
        movl    %esp, %eax
        pushl   $0x21
        pushl   %eax
        pushl   $0x202
        pushl   $0x19
        pushl   $1f
        iret
1:      movl    %eax, -4(%esp)
        int     $0x80
2:      lgdt    gdtr
"""


def test_interrupts_leave_the_stack_of_ring_1_alone() -> None:
    assert labels(rings(IN_RING_1)) == []


def test_another_stack_than_that_of_ss_is_none() -> None:
    """SS has another base than DS, or stacks have 16 bits."""
    steps = """
        .data
        .balign 8
others: .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cf92001000ffff, 0x008f92000000ffff
others_end:
others_at: .word others_end - others - 1
        .long   others
        .text
        lgdt    others_at
        movw    $0x18, %ax
        movw    %ax, %ss                        # a base of 0x1000
        subl    $0x1000, %esp
        sti
        movl    %eax, %ds:-4(%esp)
        bad:    movl %eax, -4(%esp)
        cli
        addl    $0x1000, %esp
        movw    $0x20, %ax
        movw    %ax, %ss                        # 16 bits
        sti
        nop
        movl    -4(%esp), %eax
        cli
        movw    $0x10, %ax
        movw    %ax, %ss
        lgdt    gdtr
    """
    machine = rings(steps)
    (seen,) = found(machine)
    assert seen.registers.eip == symbol(machine, "bad")
    assert seen.linear == seen.registers.esp + 0x1000 - 4
    assert seen.frame == seen.registers.esp + 0x1000


@pytest.mark.parametrize("step", [1, 1000])
def test_a_frame_on_another_stack_is_right(step: int) -> None:
    """A function has gone on to another stack, right above its own, and keeps its frame pointer."""
    machine = machine_of("""
        subl    $1024, %esp
        sti
        call    framed
        cli
        addl    $1024, %esp
        jmp     2f
        .cfi_sections .debug_frame
        function framed
        .cfi_startproc
        pushl   %ebp
        .cfi_def_cfa_offset 8
        .cfi_offset ebp, -8
        movl    %esp, %ebp
        .cfi_def_cfa_register ebp
        subl    $8, %esp
        leal    512(%ebp), %esp
        jmp     1f
1:      movl    %eax, -4(%ebp)
        movl    -8(%ebp), %eax
        leal    -8(%ebp), %esp
        leave
        ret
        .cfi_endproc
        ends    framed
2:
    """)
    with machine.observers.check_accesses(ROLES) as checked:
        for _ in range(100):
            with suppress(BudgetUsedUp):
                if machine.run(max_instructions=step).ending is Returned.EXIT:
                    break
        assert checked.seen().accesses == ()


def test_where_there_is_no_memory_there_is_no_stack() -> None:
    steps = """
        movl    %esp, %ebx
        movl    $0x20000000, %esp
        sti
        nop
        movl    -4(%esp), %eax
        cli
        movl    %ebx, %esp
    """
    assert labels(rings(steps)) == []


def test_a_pop_to_what_lies_below_esp_has_popped_before() -> None:
    machine = machine_of("pushl $7; sti; bad: popl -4(%esp); cli")
    (seen,) = found(machine)
    assert seen.frame == seen.registers.esp + 4
    assert seen.linear == seen.registers.esp
    assert machine.memory.load_u32(seen.physical) == 7
