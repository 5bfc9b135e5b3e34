"""Accesses of memory that an allocator has not handed out are found, byte for byte, and change nothing."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import pytest

from emulator.errors import BudgetUsedUp
from emulator.machine.core.core_types import Access
from emulator.machine.core.observed import BlockFunction, BlockResult, BlockRole, Poison
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from emulator.native import _core
from tests.helpers.guest import FUNCTION, assemble, core_of, symbol
from tests.unit.machine.board.test_interrupts import IDT, TIMER

if TYPE_CHECKING:
    from emulator.machine.core.observed import BadAccesses

HEAP, BLOCK = 0x30_0000, 0x30_0008
SIZE = 21
# `make` answers one of 64 bytes; `drop` and `look` leave their work to `wipe`, which anybody can call.
GUEST = (
    FUNCTION
    + """
        pushl   $21
        call    make
        movl    %eax, %ebx
        {body}
        exit    0
        function make
        movl    next, %eax
        addl    $64, next
        ret
        ends    make
        function drop
        movl    4(%esp), %eax
        call    wipe
        ret
        ends    drop
        function look
        movl    4(%esp), %eax
        call    wipe
        ret
        ends    look
        function wipe
        movl    $0, 4(%eax)
        ret
        ends    wipe
        .data
next:   .long   {block}
saved:  .long   0
        .text
"""
)
FUNCTIONS = [RecordedFunction("make", 1), RecordedFunction("drop", 1), RecordedFunction("look", 1)]
ROLES = [
    BlockFunction(BlockRole.ALLOC, BlockResult.POINTER, 0, False, False, False, {"size": 0}, ((0, 0),)),  # noqa: FBT003
    BlockFunction(BlockRole.FREE, BlockResult.OTHER, 0, False, False, False, {"ptr": 0}),  # noqa: FBT003
    BlockFunction(BlockRole.OTHER, BlockResult.OTHER, 0, False, False, False, {}),  # noqa: FBT003
]


def machine_of(body: str, block: int = BLOCK, mmu: Literal["fast", "ordinary"] = "fast") -> Machine:
    machine = Machine(assemble(GUEST.format(body=body, block=block)), mmu=mmu)
    record(machine, FUNCTIONS)
    return machine


def allocator_of(machine: Machine) -> list[tuple[int, int]]:
    found = [machine.image.symbols[each.name] for each in FUNCTIONS]
    return [(each.address, each.address + each.size) for each in found]


class Seen(NamedTuple):
    """What matters of an access: ``distance`` is from the block's start to the first byte that is wrong."""

    access: Access
    size: int
    offset: int
    poison: Poison
    distance: int


def seen(body: str, block: int = BLOCK) -> list[Seen]:
    """Run a guest and return what was found; all of it at the label ``bad``."""
    machine = machine_of(body, block)
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine)) as checked:
        machine.run(timeout_s=60)
        found = checked.seen()
    assert not found.missed
    for each in found.accesses:
        assert each.block is not None
        assert (each.block.start, each.block.size, each.block.birth) == (block, SIZE, 1)
        assert each.registers.eip == symbol(machine, "bad")
        assert each.times == 1  # also where the engine takes the access apart
        assert each.linear + each.offset == each.block.start + each.distance
        if all(other.access is Access.READ for other in found.accesses):
            assert each.memory == machine.memory.read(each.around, 64)
        assert each.shadow[each.linear + each.offset - each.around] is each.poison
    return [Seen(each.access, each.size, each.offset, each.poison, each.distance) for each in found.accesses]


READ, WRITE = Access.READ, Access.WRITE
FREED, REDZONE = Poison.FREED, Poison.REDZONE
DROPPED = "pushl %ebx; call drop;"
CASES = {
    "left": ("bad: movb -1(%ebx), %al", [Seen(READ, 1, 0, REDZONE, -1)]),
    "right": ("bad: movb $1, 21(%ebx)", [Seen(WRITE, 1, 0, REDZONE, 21)]),
    "end of the redzone": ("bad: movb $1, 36(%ebx)", [Seen(WRITE, 1, 0, REDZONE, 36)]),
    "load across the end": ("bad: movl 18(%ebx), %eax", [Seen(READ, 4, 3, REDZONE, 21)]),
    "aligned load across the end": ("bad: movl 20(%ebx), %eax", [Seen(READ, 4, 1, REDZONE, 21)]),
    "load across the start": ("bad: movl -2(%ebx), %eax", [Seen(READ, 4, 0, REDZONE, -2)]),
    "store across the end": ("bad: movl %eax, 18(%ebx)", [Seen(WRITE, 4, 3, REDZONE, 21)]),
    "aligned store across the end": ("bad: movl %eax, 20(%ebx)", [Seen(WRITE, 4, 1, REDZONE, 21)]),
    "two bytes": ("bad: movw %ax, 20(%ebx)", [Seen(WRITE, 2, 1, REDZONE, 21)]),
    "eight bytes": ("bad: fldl 14(%ebx)", [Seen(READ, 8, 7, REDZONE, 21)]),
    "store of eight bytes": ("fldz; bad: fstpl 14(%ebx)", [Seen(WRITE, 8, 7, REDZONE, 21)]),
    "read and write": ("bad: incb 21(%ebx)", [Seen(READ, 1, 0, REDZONE, 21), Seen(WRITE, 1, 0, REDZONE, 21)]),
    "rep": ("movl %ebx, %edi; movl $22, %ecx; bad: rep stosb", [Seen(WRITE, 1, 0, REDZONE, 21)]),
    "push": (
        "movl %esp, saved; leal 24(%ebx), %esp; bad: pushl %eax; movl saved, %esp",
        [Seen(WRITE, 4, 1, REDZONE, 21)],
    ),
    "freed": (DROPPED + "bad: movb (%ebx), %al", [Seen(READ, 1, 0, FREED, 0)]),
    "end of freed": (DROPPED + "bad: movb %al, 20(%ebx)", [Seen(WRITE, 1, 0, FREED, 20)]),
}


@pytest.mark.parametrize(("body", "expected"), CASES.values(), ids=CASES)
def test_an_access_is_found_where_it_is_made(body: str, expected: list[Seen]) -> None:
    assert seen(body) == expected


def test_an_access_across_pages_is_found_as_one() -> None:
    assert seen("movl 6(%ebx), %eax; bad: movl 19(%ebx), %eax", HEAP + 0xFF8) == [
        Seen(READ, 4, 2, REDZONE, 21)
    ]
    assert seen("bad: movl %eax, 19(%ebx)", HEAP + 0xFF8 - 12) == [Seen(WRITE, 4, 2, REDZONE, 21)]


RIGHT = {
    "all of a block": "movb (%ebx), %al; movb 20(%ebx), %al; movw 19(%ebx), %ax; movl 17(%ebx), %eax; fldl 13(%ebx); fstpl 13(%ebx)",
    "beyond the redzone": "movb 37(%ebx), %al; movb -17(%ebx), %al",
    "what an allocator calls": DROPPED + "call look",
    "an allocator itself": DROPPED + "call drop",
    "across pages": "movl 17(%ebx), %eax; movl %eax, 17(%ebx)",
}


@pytest.mark.parametrize("body", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("block", [BLOCK, HEAP + 0xFF8 - 11])
def test_what_is_right_is_not_found(body: str, block: int) -> None:
    assert seen(body, block) == []


def test_what_an_allocator_calls_is_found_when_others_call_it() -> None:
    machine = machine_of(DROPPED + "call look; movl %ebx, %eax; call wipe")
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine)) as checked:
        machine.run(timeout_s=60)
        (found,) = checked.seen().accesses
    assert found.registers.eip == symbol(machine, "wipe")
    assert (found.linear, found.poison) == (BLOCK + 4, Poison.FREED)
    assert found.block is not None
    assert (found.block.birth, found.block.death) == (1, 2)


def test_accesses_of_one_instruction_with_one_stack_are_one() -> None:
    machine = machine_of("movl $3, %ecx; bad: movb 21(%ebx), %al; loop bad; movb 22(%ebx), %al")
    with machine.observers.check_accesses(ROLES) as checked:
        machine.run(timeout_s=60)
        found = checked.seen().accesses
    assert [each.times for each in found] == [3, 1]
    assert found[0].time_ns < found[0].last_ns < found[1].time_ns == found[1].last_ns
    assert found[0].event == 2
    assert checked.seen().accesses == found


EMPTY = "pushl $0; call make;"
AGAIN = "subl $64, next;"


@pytest.mark.parametrize("uninitialised", [False, True])
@pytest.mark.parametrize("place", [BLOCK, HEAP + 0xFC0])
def test_no_byte_of_a_block_of_no_bytes_may_be_accessed(place: int, *, uninitialised: bool) -> None:
    machine = machine_of(
        f"{EMPTY} bad: movb $1, (%eax); {AGAIN} pushl $8; call make; movl $1, 4(%eax); last: movb $1, 8(%eax)",
        place,
    )
    with machine.observers.check_accesses(
        ROLES, (), allocator_of(machine), uninitialised=uninitialised
    ) as checked:
        machine.run(timeout_s=60)
        accesses = checked.seen().accesses
    found = [
        (each.registers.eip, each.block.start, each.block.size, each.distance)
        for each in accesses
        if each.block
    ]
    at = place + 64
    assert found == [(symbol(machine, "bad"), at, 0, 0), (symbol(machine, "last"), at, 8, 8)]


def test_blocks_of_no_bytes_at_one_address_leave_those_around_as_they_are() -> None:
    """The address is that of all such blocks, in what lies free, or that of a block's end; and blocks come and go there."""
    taken = "pushl $8; call make; movl $1, 4(%eax);"
    gone = "pushl %eax; call drop;"
    machine = machine_of(
        f"{EMPTY} {AGAIN} {EMPTY} {AGAIN} {taken} {gone} {AGAIN} {EMPTY} {gone} {AGAIN} {taken}"
        "subl $56, next; pushl $0; call make; movl $1, -4(%eax)"
    )
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine)) as checked:
        machine.run(timeout_s=60)
        assert not checked.seen().accesses
        shadow = checked.shadow(BLOCK + 64, 9)
    assert shadow == bytes(8) + bytes([Poison.REDZONE])


def test_code_that_was_freed_is_found_when_it_is_executed() -> None:
    machine = machine_of(
        "movb $0xc3, (%ebx); call *%ebx; movb $0x90, 1(%ebx); pushl %ebx; call drop; leal 1(%ebx), %eax; call *%eax"
    )
    machine.memory.write(BLOCK + 2, b"\xc3")
    with machine.observers.check_accesses(ROLES) as checked:
        machine.run(timeout_s=60)
        found = [(each.linear, each.access, each.poison) for each in checked.seen().accesses]
    assert found == [(BLOCK + 1, Access.FETCH, Poison.FREED)]


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
@pytest.mark.parametrize("uninitialised", [False, True])
def test_what_garbage_does_that_is_executed_belongs_to_the_jump(
    mmu: Literal["fast", "ordinary"], *, uninitialised: bool
) -> None:
    """Zeros are `add %al, (%eax)`, from the freed block over its redzone to a `ret`. What the kernel itself does afterwards is looked at."""
    jump = "movl %ebx, %eax; call *%ebx"
    again = "leal 40(%ebx), %eax; leal 10(%ebx), %ecx; second: call *%ecx"
    machine = machine_of(f"{DROPPED} {jump}; bad: movb 2(%ebx), %al; {again}", mmu=mmu)
    machine.memory.write(BLOCK + 60, b"\xc3")
    with machine.observers.check_accesses(
        ROLES, (), allocator_of(machine), uninitialised=uninitialised
    ) as checked:
        assert machine.run(timeout_s=60).ending is Returned.EXIT
        found = [(each.linear, each.access, each.registers.eip) for each in checked.seen().accesses]
    assert found == [
        (BLOCK, Access.FETCH, BLOCK),
        (BLOCK + 2, Access.READ, symbol(machine, "bad")),
        (BLOCK + 10, Access.FETCH, BLOCK + 10),
    ]


def test_garbage_that_calls_an_allocator_is_garbage_afterwards() -> None:
    machine = machine_of(f"{DROPPED} movl $make, %ecx; leal 8(%ebx), %eax; call *%eax")
    code = b"\x6a\x08\xff\xd1\x59\x8a\x03\xc3"  # push $8; call *%ecx; pop %ecx; movb (%ebx), %al; ret
    machine.memory.write(BLOCK + 8, code)
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine)) as checked:
        assert machine.run(timeout_s=60).ending is Returned.EXIT
        found = [(each.linear, each.access) for each in checked.seen().accesses]
    assert found == [(BLOCK + 8, Access.FETCH)]


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
def test_garbage_of_one_run_is_code_of_another(mmu: Literal["fast", "ordinary"]) -> None:
    """A block jumps on to code that reads beyond it: garbage if the block was freed, else code of the kernel that was loaded."""
    code = 0x31_0000
    machine = machine_of(f"cmpl $0, saved; jne 1f; {DROPPED} 1: leal 8(%ebx), %eax; call *%eax", mmu=mmu)
    machine.memory.write(BLOCK + 8, b"\xe9" + (code - BLOCK - 13).to_bytes(4, "little"))
    machine.memory.write(code, b"\x8a\x43\x15\xc3")  # movb 21(%ebx), %al; ret
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine)) as checked:
        found = []
        for is_kept in (False, True):
            with machine.snapshot():
                machine.memory.write(symbol(machine, "saved"), bytes([is_kept]))
                machine.run(timeout_s=60)
                found.append([(each.linear, each.access) for each in checked.seen().accesses])
    assert found == [[(BLOCK + 8, Access.FETCH)], [(BLOCK + 21, Access.READ)]]


def test_a_redzone_does_not_leave_the_variable_of_its_block() -> None:
    machine = machine_of("movb 24(%ebx), %al; bad: movb 23(%ebx), %al")
    objects = [(HEAP, HEAP + 8), (HEAP + 8, HEAP + 0x20)]
    with machine.observers.check_accesses(ROLES, objects) as checked:
        machine.run(timeout_s=60)
        (found,) = checked.seen().accesses
        assert found.registers.eip == symbol(machine, "bad")
        assert checked.shadow(HEAP, 40) == bytes(8 + 21) + bytes([Poison.REDZONE] * 3) + bytes(8)


def test_the_run_is_as_it_is_without() -> None:
    """What is checked costs nothing that can be seen: memory, registers, instructions, events."""
    body = "; ".join(body.replace("bad: ", "") for body, _ in CASES.values())
    ends = []
    for checks in (False, True):
        machine = machine_of(body)
        if checks:
            machine.observers.check_accesses(ROLES)
        outcome = machine.run(timeout_s=60)
        memory = machine.memory.read(0, len(machine.memory))
        ends.append((outcome, machine.registers(), memory, machine.calls.event_count))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
@pytest.mark.parametrize("body", [body for body, _ in CASES.values()], ids=CASES)
def test_a_run_may_end_in_front_of_the_instruction_and_goes_on(
    body: str, mmu: Literal["fast", "ordinary"]
) -> None:
    whole = machine_of(body, mmu=mmu)
    with whole.observers.check_accesses(ROLES) as checked:
        at_end = whole.run(timeout_s=60)
        found = checked.seen().accesses
    machine = machine_of(body, mmu=mmu)
    asked: list[int] = []

    def ends(seen: BadAccesses) -> bool:
        asked.append(len(seen.accesses))
        return True

    with machine.observers.check_accesses(ROLES, ends_run=ends) as checked:
        executed = 0
        for count, each in enumerate(found, 1):
            outcome = machine.run(timeout_s=60)
            executed += outcome.instructions
            assert (outcome.ending, outcome.eip) == (Returned.BAD_ACCESS, symbol(machine, "bad"))
            assert asked == list(range(1, count + 1))
            assert machine.registers() == each.registers
            if each.access is Access.WRITE:
                assert machine.memory.read(each.around, 64) == each.memory  # nothing is written yet
        last = machine.run(timeout_s=60)
        assert checked.seen().accesses == found
    assert last._replace(instructions=executed + last.instructions) == at_end
    assert machine.memory.read(0, len(machine.memory)) == whole.memory.read(0, len(whole.memory))


def test_a_run_ends_before_code_that_was_freed() -> None:
    machine = machine_of("movb $0xc3, (%ebx); pushl %ebx; call drop; bad: call *%ebx")
    with machine.observers.check_accesses(ROLES, ends_run=lambda _seen: True):
        outcome = machine.run(timeout_s=60)
        assert (outcome.ending, outcome.eip) == (Returned.BAD_ACCESS, BLOCK)
        assert machine.run(timeout_s=60).ending is Returned.EXIT


def has_near_window(machine: Machine) -> bool:
    now = _core.ffi.new("kc_window *")
    _core.lib.kc_window_now(core_of(machine).raw, now)
    return bool(now.is_near)


def found_in(machine: Machine) -> tuple[bool, list[int]]:
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine)) as checked:
        machine.run(timeout_s=60)
        return has_near_window(machine), [each.registers.eip for each in checked.seen().accesses]


def take_turns() -> None:
    first, second = machine_of("bad: movb 21(%ebx), %al"), machine_of("bad: movb 21(%ebx), %al")
    bad = symbol(first, "bad")
    assert has_near_window(first)
    assert found_in(second) == (True, [bad])
    assert found_in(first) == (True, [bad])
    del first
    third = machine_of("bad: movb 21(%ebx), %al")
    assert found_in(third) == (True, [bad])


def go_on_in_turns() -> None:
    """Both are checked all the time; what they do is what one does alone."""
    body = (
        "movl $9, %esi; 1: movb (%ebx), %al; movb %al, 20(%ebx); bad: movb 21(%ebx), %al; decl %esi; jnz 1b"
    )
    machines = [machine_of(body) for _ in range(3)]
    with ExitStack() as stack:
        checks = [
            stack.enter_context(each.observers.check_accesses(ROLES, (), allocator_of(each)))
            for each in machines
        ]
        for _ in range(8):
            for each in machines:
                with suppress(BudgetUsedUp):
                    each.run(max_instructions=5)
                assert has_near_window(each)
        ends = [
            (each.run(timeout_s=60), has_near_window(each), each.registers(), checked.seen().accesses)
            for each, checked in zip(machines, checks, strict=True)
        ]
        assert ends[0] == ends[1] == ends[2]
        assert [each.times for each in ends[0][3]] == [9]


def leave_who_runs_in_place() -> None:
    """A machine that runs keeps its window: it may be asked in the middle of a run, or in another thread."""
    first, second = machine_of("call wipe; bad: movb 21(%ebx), %al"), machine_of("bad: movb 21(%ebx), %al")
    bad = symbol(first, "bad")
    inside: list[tuple[bool, list[int]]] = []

    def run_another(_kind: int, _esp: int, _eax: int) -> int:
        inside.append(found_in(second))
        return 0

    first.observers.probe(symbol(first, "wipe"), run_another)
    assert found_in(first) == (True, [bad])
    assert inside == [(False, [symbol(second, "bad")])]
    with ThreadPoolExecutor(1) as thread:
        third = machine_of("bad: movb 21(%ebx), %al")
        assert thread.submit(found_in, third).result() == (False, [symbol(third, "bad")])
    assert has_near_window(first)


@pytest.mark.parametrize("function", ["take_turns", "go_on_in_turns", "leave_who_runs_in_place"])
def test_machines_take_turns_at_the_one_place_where_checks_are_fast(function: str) -> None:
    """In a process of its own: others may have machines that stay."""
    program = f"from {__name__} import {function}; {function}()"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[4], check=True, timeout=100)


def test_a_run_that_is_not_ended_there_is_as_it_is_without() -> None:
    ends = []
    body = "; ".join(body.replace("bad: ", "") for body, _ in CASES.values())
    for ends_run in (None, lambda _seen: False):
        machine = machine_of(body)
        with machine.observers.check_accesses(ROLES, ends_run=ends_run) as checked:
            ending = machine.run(timeout_s=60)
            ends.append(
                (ending, machine.registers(), checked.seen().accesses)
            )  # has_returns: of the first one
    assert ends[0] == ends[1]
    assert len(ends[0][2]) > len(CASES) // 2


TICKED = (
    "lidt idtr\n"
    + TIMER.replace("0x40, 0xa9", "0x40, 2").replace("0x40, 0x04", "0x40, 0")
    + """
        sti
        .rept   300
        .rept   60
        incl    %edx
        .endr
        movb    21(%ebx), %al
        jmp     1f
1:
        .endr
        cli
        movl    where, %ecx
"""
)
ON_TICK = """
on_tick:
        pushl   %eax
        movl    4(%esp), %eax
        roll    $3, where
        addl    %eax, where
        out8    0x20, 0x20
        popl    %eax
        iret
        .data
where:  .long   0
        .text
"""


def test_interrupts_come_where_they_come_without_an_access_at_which_the_run_goes_on() -> None:
    ends = []
    for ends_run in (None, lambda _seen: False):
        machine = Machine(assemble(IDT + GUEST.format(body=TICKED, block=BLOCK) + ON_TICK))
        record(machine, FUNCTIONS)
        with machine.observers.check_accesses(ROLES, ends_run=ends_run) as checked:
            ending = machine.run(timeout_s=60)
            ends.append((ending, machine.registers(), checked.seen().accesses))
    assert ends[0] == ends[1]
    assert ends[0][1].ecx
    assert len(ends[0][2]) == 300


def test_a_budget_counts_over_accesses_at_which_the_run_goes_on() -> None:
    machine = machine_of("bad: movb 21(%ebx), %al; 1: incl %eax; jmp 1b")
    with (
        machine.observers.check_accesses(ROLES, ends_run=lambda _seen: False),
        pytest.raises(BudgetUsedUp) as raised,
    ):
        machine.run(max_instructions=2000)
    assert raised.value.instructions == 2000


def test_a_run_that_an_event_ends_leaves_the_access_to_the_next_one() -> None:
    machine = machine_of(DROPPED + "bad: movb (%ebx), %al")
    with machine.observers.check_accesses(ROLES, ends_run=lambda _seen: True) as checked:
        assert machine.run(stop_at_event=4).ending is Returned.EVENT
        assert not checked.seen().accesses
        outcome = machine.run(timeout_s=60)
        assert (outcome.ending, outcome.eip) == (Returned.BAD_ACCESS, symbol(machine, "bad"))


INTERRUPTED = (
    FUNCTION
    + """
        lidt    idt_pointer
        movl    $handler, %eax
        movw    %ax, idt + 8 * 0x40
        movw    $0x08, idt + 8 * 0x40 + 2
        movw    $0x8e00, idt + 8 * 0x40 + 4
        shrl    $16, %eax
        movw    %ax, idt + 8 * 0x40 + 6
        pushl   $21
        call    make
        movl    %eax, %ebx
        pushl   %ebx
        call    drop
        pushl   %ebx
        call    look
after:  movb    (%ebx), %al
        exit    0
handler:
bad:    movb    (%ebx), %al
        iret
        function make
        movl    $0x300008, %eax
        ret
        ends    make
        function drop
        ret
        ends    drop
        function look
        movl    $5, %ecx
1:      movb    (%ebx), %al
        decl    %ecx
        jnz     1b
        int     $0x40
        ret
        ends    look
        .data
idt_pointer:
        .word   8 * 0x41 - 1
        .long   idt
        .bss
        .balign 8
idt:    .skip   8 * 0x41
        .text
"""
)


@pytest.mark.parametrize("named", [True, False], ids=["named", "open"])
def test_what_handles_an_interrupt_is_no_part_of_the_allocator(*, named: bool) -> None:
    machine = Machine(assemble(INTERRUPTED))
    record(machine, FUNCTIONS)
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine) if named else ()) as checked:
        machine.run(timeout_s=60)
        found = [each.registers.eip for each in checked.seen().accesses]
    assert found == [symbol(machine, "bad"), symbol(machine, "after")]


STOCK = (
    FUNCTION
    + """
        movb    $1, 0x300800
        pushl   $40
        call    small
        movb    $1, 39(%eax)
bad:    movb    $1, 0x300800
        exit    0
        function page
        movl    $0x300000, %eax
        ret
        ends    page
        function small
        call    page
        addl    $64, %eax
        ret
        ends    small
"""
)
PAGES = BlockFunction(BlockRole.ALLOC, BlockResult.POINTER, 0, True, False, True, {}, ((0, 0),))  # noqa: FBT003
SMALL = BlockFunction(BlockRole.ALLOC, BlockResult.POINTER, 1, False, False, False, {"size": 0}, ((0, 0),))  # noqa: FBT003


def test_memory_that_an_allocator_takes_is_its_own_but_for_its_blocks() -> None:
    machine = Machine(assemble(STOCK))
    record(machine, [RecordedFunction("page"), RecordedFunction("small", 1)])
    with machine.observers.check_accesses([PAGES, SMALL]) as checked:
        machine.run(timeout_s=60)
        (found,) = checked.seen().accesses
        gap = bytes([Poison.GAP])
        assert checked.shadow(HEAP, 4096) == gap * 64 + bytes(40) + gap * (4096 - 104)
        assert checked.shadow(HEAP + 4096, 16) == bytes(16)
        assert [(each.start, each.size, each.area) for each in checked.live_blocks()] == [
            (HEAP, 4096, 0),
            (HEAP + 64, 40, 1),
        ]
    assert (found.registers.eip, found.poison) == (symbol(machine, "bad"), Poison.GAP)
    assert found.block is not None
    assert (found.block.start, found.distance) == (HEAP + 64, 0x800 - 64)


RUNS = (
    FUNCTION
    + """
        pushl   $3
        call    take
        pushl   $0x300000
        call    give
        pushl   $1
        call    take
        call    take
        pushl   $0x300000
        call    give
        exit    0
        function take
        movl    next, %eax
        movl    (%eax), %eax
        addl    $4, next
        ret
        ends    take
        function give
        ret
        ends    give
        .data
next:   .long   runs
runs:   .long   0x300000, 0x300000, 0x301000
        .text
"""
)


def test_a_run_that_is_freed_by_its_address_is_the_latest_that_began_there() -> None:
    machine = Machine(assemble(RUNS))
    record(machine, [RecordedFunction("take", 1), RecordedFunction("give", 1)])
    take = PAGES._replace(is_one_page=False, values={"pages": 0})
    give = ROLES[1]._replace(pages=True)
    with machine.observers.check_accesses([take, give]) as checked:
        machine.run(stop_at_event=3)
        assert [(each.start, each.size) for each in checked.live_blocks()] == [(HEAP, 3 * 4096)]
        machine.run(stop_at_event=5)
        assert checked.live_blocks() == []
        machine.run(timeout_s=60)
        assert [(each.start, each.size) for each in checked.live_blocks()] == [(HEAP + 4096, 4096)]
        assert [(each.start, each.size) for each in checked.dead_blocks()] == [(HEAP, 3 * 4096), (HEAP, 4096)]


DEFERRED = (
    FUNCTION
    + """
        call    make
        pushl   %eax
        call    share
        call    defer
        call    drop
        call    drop
        exit    0
        function make
        movl    $0x300008, %eax
        ret
        ends    make
        function share
        ret
        ends    share
        function defer
        ret
        ends    defer
        function drop
        ret
        ends    drop
"""
)


def test_a_deferred_free_that_comes_once_more_takes_no_owner() -> None:
    machine = Machine(assemble(DEFERRED))
    record(machine, [RecordedFunction(name, 1) for name in ("make", "share", "defer", "drop")])
    share, defer = ROLES[1]._replace(role=BlockRole.SHARE), ROLES[1]._replace(role=BlockRole.DEFER)
    with machine.observers.check_accesses([ROLES[0], share, defer, ROLES[1]]) as checked:
        machine.run(stop_at_event=9)
        assert [each.start for each in checked.live_blocks()] == [BLOCK]
        machine.run(timeout_s=60)
        assert checked.live_blocks() == []
        assert [(each.start, each.death) for each in checked.dead_blocks()] == [(BLOCK, 5)]


FREED_STOCK = STOCK.replace(
    "exit    0",
    """pushl   $0x300040
        call    drop
        pushl   $0x300000
        call    back
        movb    $1, 0x300800
        movb    $1, 0x300041
        exit    0
        function drop
        ret
        ends    drop
        function back
        ret
        ends    back""",
)


def test_memory_of_an_allocator_that_was_freed_as_a_whole_is_known_as_that() -> None:
    machine = Machine(assemble(FREED_STOCK))
    record(machine, [RecordedFunction(name, 1) for name in ("page", "small", "drop", "back")])
    frees = [
        BlockFunction(BlockRole.FREE, BlockResult.OTHER, area, area == 0, False, area == 0, {"ptr": 0})  # noqa: FBT003
        for area in (1, 0)
    ]
    with machine.observers.check_accesses([PAGES, SMALL, *frees]) as checked:
        machine.run(timeout_s=60)
        found = [each for each in checked.seen().accesses if each.poison is Poison.FREED]
    blocks = [(each.block.start, each.block.size, each.distance) for each in found if each.block]
    assert blocks == [(HEAP, 4096, 0x800), (HEAP + 64, 40, 1)]


SEEDED = (
    FUNCTION
    + """
        pushl   $0x301004
        pushl   $0x300008
        call    seed
        pushl   $21
        call    make
        exit    0
        function seed
        ret
        ends    seed
        function make
        movl    $0x300020, %eax
        ret
        ends    make
"""
)
SEED = BlockFunction(BlockRole.SEED, BlockResult.OTHER, 0, False, False, False, {"start": 0, "end": 1})  # noqa: FBT003


def test_memory_that_is_given_to_an_allocator_is_its_own_but_for_variables() -> None:
    machine = Machine(assemble(SEEDED))
    record(machine, [RecordedFunction("seed", 2), RecordedFunction("make", 1)])
    with machine.observers.check_accesses([SEED, ROLES[0]], [(HEAP + 0x40, HEAP + 0x50)]) as checked:
        machine.run(timeout_s=60)
        gap = bytes([Poison.GAP])
        assert checked.shadow(HEAP, 0x60) == bytes(8) + gap * 24 + bytes(21) + gap * 11 + bytes(16) + gap * 16
        assert checked.shadow(HEAP + 0xFF8, 16) == gap * 12 + bytes(4)


def test_memory_in_one_variable_that_is_given_to_an_allocator_is_its_own() -> None:
    gap = bytes([Poison.GAP])
    for objects, expected in (
        ([(HEAP, HEAP + 0x1004)], gap * 11),
        ([(HEAP, HEAP + 0x1003), (HEAP + 0x1003, HEAP + 0x2000)], bytes([Poison.REDZONE] * 11)),
    ):
        machine = Machine(assemble(SEEDED))
        record(machine, [RecordedFunction("seed", 2), RecordedFunction("make", 1)])
        with machine.observers.check_accesses([SEED, ROLES[0]], objects) as checked:
            machine.run(timeout_s=60)
            assert checked.shadow(HEAP + 0x20 + 21, 11) == expected
            assert checked.shadow(HEAP + 0x1004, 1) == bytes(1)


@pytest.mark.parametrize(("pages", "state"), [(False, Poison.GAP), (True, Poison.ACCESSIBLE)])
def test_memory_is_given_anew_when_an_allocator_forgets_its_blocks(*, pages: bool, state: Poison) -> None:
    machine = Machine(assemble(SEEDED))
    record(machine, [RecordedFunction("seed", 2), RecordedFunction("make", 1)])
    reset = SEED._replace(role=BlockRole.RESET, pages=pages)
    with machine.observers.check_accesses([reset, ROLES[0]]) as checked:
        machine.run(timeout_s=60)
        assert checked.shadow(HEAP + 0x400, 1) == bytes([state])


def test_functions_of_which_nothing_is_said_do_nothing_to_blocks() -> None:
    machine = machine_of("pushl %ebx; call drop; movb (%ebx), %al")
    with machine.observers.check_accesses(ROLES[:1]) as checked:
        machine.run(timeout_s=60)
        assert [each.start for each in checked.live_blocks()] == [BLOCK]
        assert checked.seen().accesses == ()


GIVEN = (
    FUNCTION
    + """
        pushl   $21
        call    make
        call    seed
        movb    0x300008, %al
        exit    0
        function make
        movl    $0x300008, %eax
        ret
        ends    make
        function seed
        pushl   $0x300008
        call    drop
        popl    %eax
        ret
        ends    seed
        function drop
        ret
        ends    drop
"""
)


def test_what_is_freed_inside_of_a_seed_is_no_block() -> None:
    machine = Machine(assemble(GIVEN))
    record(machine, [RecordedFunction("make", 1), RecordedFunction("seed", 2), RecordedFunction("drop", 1)])
    with machine.observers.check_accesses([ROLES[0], SEED, ROLES[1]]) as checked:
        machine.run(timeout_s=60)
        assert [each.start for each in checked.live_blocks()] == [BLOCK]


def test_what_is_called_while_a_recorded_call_is_open_is_right_whatever_code_is_named() -> None:
    machine = machine_of(DROPPED + "call look")
    with machine.observers.check_accesses(ROLES) as checked:
        machine.run(timeout_s=60)
        assert checked.seen().accesses == ()


FILLING = (
    FUNCTION
    + """
        pushl   $32
        call    small
        call    small
        exit    0
        function big
        movl    $0x300100, %eax
        ret
        ends    big
        function small
        xchgl   next, %eax
        movl    $0x300140, next
        cmpl    $0x300140, %eax
        je      1f
        pushl   $256
        call    big
        popl    %eax
        movl    $0x300008, %eax
1:      ret
        ends    small
        .data
next:   .long   0
        .text
"""
)


def test_a_block_of_which_the_allocator_hands_out_parts_is_its_stock() -> None:
    """The first call takes 256 bytes for later and answers with others; the second one answers with a part of them."""
    machine = Machine(assemble(FILLING))
    record(machine, [RecordedFunction("big", 1), RecordedFunction("small", 1)])
    with machine.observers.check_accesses([ROLES[0], ROLES[0]]) as checked:
        machine.run(stop_at_event=5)
        assert [each.start for each in checked.live_blocks()] == [BLOCK, HEAP + 0x100]
        machine.run(timeout_s=60)
        assert [each.start for each in checked.live_blocks()] == [BLOCK, HEAP + 0x140]


OVERLAPPING = (
    FUNCTION
    + """
        pushl   $600
        movl    $300, %esi
1:      call    make
        decl    %esi
        jnz     1b
        movl    $0x300000, %edi
        movl    $300, %esi
2:      pushl   %edi
        call    drop
        popl    %ecx
        incl    %edi
        decl    %esi
        jnz     2b
        call    take
        exit    0
        function make
        movl    next, %eax
        incl    next
        ret
        ends    make
        function drop
        ret
        ends    drop
        function take
        movl    $0x300000, %eax
        ret
        ends    take
        .data
next:   .long   0x300000
        .text
"""
)


@pytest.mark.parametrize("event", [100, 900])
def test_memory_that_many_blocks_had_is_free_after_the_last_of_them(event: int) -> None:
    """A block of no size that is known may be all that follows and that no other one has."""
    machine = Machine(assemble(OVERLAPPING))
    record(machine, [RecordedFunction("make", 1), RecordedFunction("drop", 1), RecordedFunction("take", 0)])
    unsized = ROLES[0]._replace(values={})
    with machine.observers.check_accesses([ROLES[0], ROLES[1], unsized]) as checked:
        machine.run(stop_at_event=event)
        snapshot = machine.snapshot()
        before = checked.live_blocks(), checked.dead_blocks(), checked.shadow(HEAP, 4096)
        machine.run(stop_at_event=event + 150)
        later = checked.live_blocks(), checked.dead_blocks(), checked.shadow(HEAP, 4096)
        snapshot.reset()
        assert (checked.live_blocks(), checked.dead_blocks(), checked.shadow(HEAP, 4096)) == before
        machine.run(stop_at_event=event + 150)
        assert (checked.live_blocks(), checked.dead_blocks(), checked.shadow(HEAP, 4096)) == later
        machine.run(timeout_s=60)
        assert checked.shadow(HEAP, 4096) == bytes(4096)


CONSTANTS = 0x31_0000
WRITES = {  # what is written, and the first byte that is read only: the constants are [0x10, 0x30) and [0x1ff0, 0x2010) from CONSTANTS on
    "movb $1, 0x10(%ebx)": 0x10,
    "movb $1, 0x2f(%ebx)": 0x2F,
    "movl $1, 0xe(%ebx)": 0x10,
    "movl $1, 0x2e(%ebx)": 0x2E,
    "movl $1, 0x1ffe(%ebx)": 0x1FFE,
    "movw $1, 0x200f(%ebx)": 0x200F,
    "incb 0x10(%ebx)": 0x10,
    "lea 8(%ebx), %edi; mov $3, %ecx; rep stosl": 0x10,
    "lea 0x14(%ebx), %esp; push %eax; mov $stack, %esp": 0x10,
    "movb $1, 0xf(%ebx)": None,
    "movb $1, 0x30(%ebx)": None,
    "movl $1, 0x1fec(%ebx)": None,
    "movl 0x10(%ebx), %eax; cmpb $0, 0x2000(%ebx)": None,
    "lea 0x10(%ebx), %esi; mov $stack - 256, %edi; mov $8, %ecx; rep movsl": None,
}


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
@pytest.mark.parametrize("write", WRITES)
def test_writes_to_what_is_only_read(write: str, mmu: Literal["fast", "ordinary"]) -> None:
    """Each is made three times, after a read of the page, and so once when the page has been written to."""
    code = f"mov $0x{CONSTANTS:x}, %ebx; mov 0x10(%ebx), %eax; mov 0x2000(%ebx), %eax; mov $3, %edx; again: {write}; dec %edx; jnz again"
    plain = Machine(assemble(GUEST.format(body=code, block=BLOCK)))
    machine = Machine(plain.image, mmu=mmu)
    record(machine, FUNCTIONS)
    constants = [(CONSTANTS + 0x10, CONSTANTS + 0x30), (CONSTANTS + 0x1FF0, CONSTANTS + 0x2010)]
    with machine.observers.check_accesses(ROLES, read_only=constants) as checked:
        outcome = machine.run(timeout_s=60)
        found = checked.seen().accesses
    first = WRITES[write]
    assert [
        (each.linear + each.offset - CONSTANTS, each.poison, each.times, each.block) for each in found
    ] == ([] if first is None else [(first, Poison.READ_ONLY, 3, None)])
    for each in found:
        read_only = [state is Poison.READ_ONLY for state in each.shadow]
        assert read_only == [
            any(start <= each.around + i < end for start, end in constants) for i in range(64)
        ]
    assert outcome == plain.run(timeout_s=60)
    assert machine.memory.read(0, len(machine.memory)) == plain.memory.read(0, len(plain.memory))


def test_what_was_handed_out_is_not_read_only_any_more() -> None:
    machine = machine_of("movb $1, (%ebx)", CONSTANTS)
    with machine.observers.check_accesses(ROLES, read_only=[(CONSTANTS, CONSTANTS + 4096)]) as checked:
        machine.run(timeout_s=60)
        assert checked.seen().accesses == ()


def test_a_run_ends_before_a_write_to_what_is_only_read() -> None:
    machine = machine_of(f"bad: movb $1, 0x{CONSTANTS:x}")
    constants = [(CONSTANTS, CONSTANTS + 4096)]
    with machine.observers.check_accesses(ROLES, read_only=constants, ends_run=lambda _seen: True):
        outcome = machine.run(timeout_s=60)
        assert (outcome.ending, outcome.eip) == (Returned.BAD_ACCESS, symbol(machine, "bad"))
        assert not machine.memory.read(CONSTANTS, 1)[0]
        assert machine.run(timeout_s=60).ending is Returned.EXIT
    assert machine.memory.read(CONSTANTS, 1)[0]


@pytest.mark.parametrize("uninitialised", [False, True])
def test_what_is_known_goes_back_and_ahead_with_snapshots(uninitialised: bool) -> None:
    machine = machine_of(
        f"movl (%ebx), %eax; movl %eax, saved; {DROPPED} pushl $5; call make; movb $1, (%ebx)"
    )

    def known() -> tuple[object, ...]:
        shadow = checked.shadow(0, len(machine.memory))
        return shadow, checked.live_blocks(), checked.dead_blocks(), checked.seen()

    with machine.observers.check_accesses(
        ROLES, (), allocator_of(machine), uninitialised=uninitialised
    ) as checked:
        kept, states = [], []
        for event in (1, 2, 4, 6):
            kept.append(machine.snapshot())
            states.append(known())
            machine.run(stop_at_event=event, timeout_s=60)
        machine.run(timeout_s=60)
        kept.append(machine.snapshot())
        states.append(known())
        assert len({repr(blocks) for _, blocks, _, _ in states}) == 3
        size = kept[0].total_size
        for at in (2, 0, 4, 1, 3, 0, 2, 4):
            assert kept[at].go_ahead() or kept[at].reset_keeping()
            assert known() == states[at]
            assert kept[0].total_size == size
        assert kept[2].drop()  # behind
        kept[0].reset_keeping()
        assert kept[3].drop()  # ahead
        for at in (4, 1, 0, 1, 4):
            assert kept[at].go_ahead() or kept[at].reset_keeping()
            assert known() == states[at]
    kept[0].discard()
    assert machine.snapshot().total_size == 0


def test_snapshots_are_not_ahead_where_other_things_were_checked() -> None:
    machine = machine_of(f"{DROPPED} movb $1, (%ebx)")
    unchecked = machine.snapshot()
    ahead = machine.snapshot()
    assert unchecked.reset_keeping()
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine)) as checked:
        assert not ahead.go_ahead()
        start = machine.snapshot()
        machine.run(timeout_s=60)
        end, found = machine.snapshot(), checked.seen().accesses
        assert start.reset_keeping()
        assert end.go_ahead()
        assert not unchecked.reset_keeping()
        assert not end.go_ahead()
        assert checked.live_blocks() == checked.dead_blocks() == []
        start = machine.snapshot()
        machine.run(timeout_s=60)
        assert checked.seen().accesses == found
        end = machine.snapshot()
        assert start.reset_keeping()
    assert not end.go_ahead()
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine)):
        machine.snapshot()
        assert not start.reset_keeping()


@pytest.mark.parametrize("leaves", ["reset", "reset_keeping"])
def test_what_was_inside_of_a_call_may_be_outside_after_a_snapshot(leaves: str) -> None:
    """At the same instruction, ESP and event, where the run is another one from the snapshot on."""
    nested = """
        cmpl    $0, saved
        jne     1f
        leal    20(%ebx), %eax
        pushl   %eax
        call    look
        addl    $4, %esp
1:      ret
        ends    drop
    """
    begin, end = GUEST.index("function drop"), GUEST.index("function look")
    guest = GUEST[:begin] + "function drop" + nested + "\n        " + GUEST[end:]
    alone = "pushl %ebx; call drop; cmpl $0, saved; je 2f; subl $12, %esp; leal 20(%ebx), %eax; call wipe; 2:"
    machine = Machine(assemble(guest.format(body=alone, block=BLOCK)))
    record(machine, FUNCTIONS)
    with machine.observers.check_accesses(ROLES, (), allocator_of(machine)) as checked:
        machine.run(stop_at_event=2, timeout_s=60)
        snapshot = machine.snapshot()
        machine.run(timeout_s=60)
        assert not checked.seen().accesses
        getattr(snapshot, leaves)()
        machine.memory.write(symbol(machine, "saved"), b"\1")
        machine.run(timeout_s=60)
        assert len(checked.seen().accesses) == 1
