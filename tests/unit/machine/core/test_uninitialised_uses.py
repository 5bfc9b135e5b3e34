"""Values that were never written are followed to where something depends on them, and change nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import pytest

from emulator.errors import BudgetUsedUp
from emulator.machine.core.observed import BadAccess, Poison, Use
from emulator.machine.core.stops import Instant
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.recording import record
from tests.helpers.guest import assemble, symbol
from tests.unit.machine.board.test_interrupts import IDT
from tests.unit.machine.core.test_checked_accesses import (
    BLOCK,
    FUNCTIONS,
    GUEST,
    ON_TICK,
    ROLES,
    TICKED,
    machine_of,
)

if TYPE_CHECKING:
    from emulator.machine.core.checked_accesses import CheckedAccesses


def followed(machine: Machine) -> CheckedAccesses:
    return machine.observers.check_accesses(ROLES, uninitialised=True)


def uses(body: str, mmu: Literal["fast", "ordinary"] = "fast") -> tuple[BadAccess, ...]:
    machine = machine_of(body, mmu=mmu)
    with followed(machine) as checked:
        machine.run(timeout_s=60)
        return checked.seen().accesses


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
@pytest.mark.parametrize(
    ("body", "use", "distance"),
    [
        ("read: movb 3(%ebx), %al; testb %al, %al; bad: jz 1f; 1:", Use.BRANCH, 3),
        ("read: movl 8(%ebx), %ecx; andl $7, %ecx; bad: movl saved(%ecx), %eax", Use.ADDRESS, 8),
        ("read: movb 5(%ebx), %al; bad: outb %al, $0x80", Use.OUTPUT, 5),
        ("read: movl 8(%ebx), %ecx; movl %ecx, saved; bad: loop 1f; 1:", Use.BRANCH, 8),
        ("read: pushl 12(%ebx); popl %edx; movl $saved, %eax; bad: movl %eax, (%eax,%edx); ", Use.ADDRESS, 12),
        ("read: movl 4(%ebx), %eax; bad: movl %eax, 0xb8000", Use.OUTPUT, 4),
        ("movl $saved, %edi; movl %ebx, %esi; read: movsb; cmpb $3, saved; bad: ja 1f; 1:", Use.BRANCH, 0),
    ],
)  # fmt: skip
def test_a_use_names_what_was_never_written_and_where_it_was_read(
    body: str, use: Use, distance: int, mmu: Literal["fast", "ordinary"]
) -> None:
    machine = machine_of(body, mmu=mmu)
    with followed(machine) as checked:
        machine.run(timeout_s=60)
        (found,) = checked.seen().accesses
    assert (found.use, found.poison, found.distance) == (use, Poison.UNINITIALISED, distance)
    assert found.block is not None
    assert (found.block.start, found.block.size, found.linear) == (BLOCK, 21, BLOCK + distance)
    assert (found.registers.eip, found.read_at) == (symbol(machine, "bad"), symbol(machine, "read"))
    assert found.times == 1
    assert found.shadow[found.linear - found.around] is Poison.UNINITIALISED


@pytest.mark.parametrize("step", [1, 3, 50])
def test_stores_count_where_a_run_stops_at_moments(step: int) -> None:
    """Instructions are told there for that reason, too, and values are not followed any more by then."""
    body = """
        movl $40, %ecx; 1: nop; nop; loop 1b
        2: movb $7, (%ebx,%ecx); incl %ecx; cmpl $20, %ecx; jb 2b
        3: movb -1(%ebx,%ecx), %al; testb %al, %al; jz 4f; 4: loop 3b
    """.replace("\n", ";")
    machine = machine_of(body)
    with followed(machine) as checked:
        instant = 20
        machine.stops.stop_at(Instant(instant))
        while machine.run(timeout_s=60).ending is Returned.STOP:
            instant += step
            machine.stops.stop_at(Instant(instant))
        assert instant > 200
        assert not checked.seen().accesses


@pytest.mark.parametrize(
    "body",
    [
        "movl (%ebx), %eax; movl %eax, saved; movl %eax, 4(%ebx)",
        "movl $1, (%ebx); cmpl $1, (%ebx); jne 1f; 1:",
        "movl (%ebx), %eax; xorl %eax, %eax; jz 1f; 1:",
        "cmpb $0, 40(%ebx); jz 1f; 1:",  # in no block
        "movl (%ebx), %eax; movl $7, %eax; cmpl $7, %eax; je 1f; 1:",
    ],
)
def test_what_nothing_depends_on_is_no_use(body: str) -> None:
    machine = machine_of(body, block=0x30_0008)
    with followed(machine) as checked:
        machine.run(timeout_s=60)
        assert [each for each in checked.seen().accesses if each.use] == []


def test_each_use_is_found_once() -> None:
    (found,) = uses("movl $3, %ecx; 2: testb $1, 3(%ebx); jz 1f; 1: decl %ecx; jnz 2b")
    assert found.times == 3


def test_what_is_written_from_outside_is_initialised() -> None:
    body = "pushl $21; call make; cmpb $0, (%ebx); je 1f; 1:"
    for writes in (False, True):
        machine = machine_of(body)
        with followed(machine) as checked:
            machine.run(stop_at_event=3)
            if writes:
                machine.memory.store_u8(BLOCK, 0)
            machine.run(timeout_s=60)
            assert len(checked.seen().accesses) == (not writes)


BUSY = """
        .rept   4
        .rept   {before}
        incl    %edx
        .endr
        movl    4(%ebx), %eax
        movl    %eax, 8(%ebx)
        .rept   {after}
        incl    %edx
        .endr
        testl   %eax, %eax
        jnz     1f
1:      movl    $0, %eax
        movl    $4, %ecx
        movl    %ebx, %esi
        movl    $copy, %edi
        rep movsl
        .rept   100
        incl    %edx
        .endr
        .endr
"""


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
@pytest.mark.parametrize(("before", "after"), [(7, 5), (500, 900), (150, 3), (1, 2000)])
def test_the_run_is_as_it_is_without(before: int, after: int, mmu: Literal["fast", "ordinary"]) -> None:
    """Interrupts come where they do without, also in blocks that are longer than the translator's."""
    ends = []
    body = (
        TICKED.replace("movb    21(%ebx), %al", "movb 5(%ebx), %al; movb %al, copy") + TICKED.split("sti")[0]
    )
    body += "sti\n" + BUSY.format(before=before, after=after) + "cli\n"
    source = IDT + GUEST.format(body=body, block=BLOCK) + ON_TICK + ".data\ncopy: .skip 64\n.text\n"
    for follows in (False, True):
        machine = Machine(assemble(source), mmu=mmu)
        record(machine, FUNCTIONS)
        checked = followed(machine) if follows else None
        outcome = machine.run(timeout_s=60)
        memory = machine.memory.read(0, len(machine.memory))
        ends.append((outcome, machine.registers(), memory, machine.calls.event_count))
        assert not checked or checked.seen().accesses
        assert machine.memory.load_u32(machine.image.symbols["where"].address)
    assert ends[0] == ends[1]


def test_a_run_may_end_in_front_of_the_use_and_goes_on() -> None:
    body = "movb 3(%ebx), %al; testb %al, %al; bad: jz 1f; 1: incl %edx"
    whole = machine_of(body)
    with followed(whole) as checked:
        at_end = whole.run(timeout_s=60)
        found = checked.seen().accesses
    machine = machine_of(body)
    with machine.observers.check_accesses(ROLES, ends_run=lambda _seen: True, uninitialised=True) as checked:
        first = machine.run(timeout_s=60)
        assert (first.ending, first.eip) == (Returned.BAD_ACCESS, symbol(machine, "bad"))
        last = machine.run(timeout_s=60)
        assert checked.seen().accesses == found
    assert last._replace(instructions=first.instructions + last.instructions) == at_end


def test_a_snapshot_keeps_what_is_not_defined() -> None:
    body = "movb 3(%ebx), %al; movb %al, saved; pushl %ebx; call look; testb $1, saved; bad: jz 1f; 1:"
    machine = machine_of(body)
    with followed(machine) as checked:
        machine.run(stop_at_event=3)
        kept = machine.snapshot()
        for _ in range(3):
            machine.run(timeout_s=60)
            assert [each.registers.eip for each in checked.seen().accesses] == [symbol(machine, "bad")]
            kept.reset()
            assert not checked.seen().accesses


def test_what_is_not_defined_goes_ahead_with_snapshots() -> None:
    body = """
        movl    4(%ebx), %eax
        movl    %eax, 0x380000
        pushl   $21
        call    make
        movl    8(%eax), %ecx
        movl    %ecx, 0x380004
        xorl    %eax, %eax
        xorl    %ecx, %ecx
        pushl   %ebx
        call    look
        testb   $1, 0x380004
        jz      1f
1:      testb   $1, 0x380000
        jz      2f
2:
    """
    machine = machine_of(body)
    with followed(machine) as checked:
        kept = []
        for event in (2, 4, 5):
            machine.run(stop_at_event=event, timeout_s=60)
            kept.append(machine.snapshot())

        def found() -> tuple[BadAccess, ...]:
            machine.run(timeout_s=60)
            return checked.seen().accesses

        expected = found()
        assert [each.block and each.block.birth for each in expected] == [2, 1]
        for back in (1, 0):
            kept[back].reset_keeping()
            assert kept[2].go_ahead()
            assert found() == expected
        kept[0].reset_keeping()
        for _ in range(
            3
        ):  # one by one, which follows no values: the second block's is the first one that is read
            with suppress(BudgetUsedUp):
                machine.run(max_instructions=1)
        machine.run(stop_at_event=5, timeout_s=60)
        assert kept[2].go_ahead()
        assert found() == expected


def test_a_fault_leaves_registers_as_they_were() -> None:
    """The division faults and defines nothing, its handler looks at EDX and makes it right, and it comes again."""
    body = """
        lidt    idtr
        gate    0, handler
        movl    4(%ebx), %eax
        xorl    %edx, %edx
        xorl    %ecx, %ecx
        divl    %ecx
        testl   %eax, %eax
bad:    jz      1f
1:
    """
    handler = "handler: testl %edx, %edx\n jnz 2f\n 2: movl $3, %ecx\n iret\n"
    machine = Machine(assemble(IDT + GUEST.format(body=body, block=BLOCK) + handler))
    record(machine, FUNCTIONS)
    with followed(machine) as checked:
        machine.run(timeout_s=60)
        assert [each.registers.eip for each in checked.seen().accesses] == [symbol(machine, "bad")]
