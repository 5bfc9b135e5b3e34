"""Budgets of instructions and of seconds."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from emulator.errors import BudgetUsedUp, GuestException, GuestStopped, UnmappedAccess
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from emulator.machine.linear_memory import LinearMemory
from emulator.machine.machine import Machine
from tests.helpers.guest import machine_of, results_of, symbol
from tests.unit.machine.board.test_interrupts import IDT

if TYPE_CHECKING:
    from collections.abc import Iterator

# Straight code, a loop of one block, a call, a string instruction and a conditional jump.
MIXED = """
        movl    $0, %ebx
        movl    $3, %ecx
1:      incl    %ebx
        loop    1b
        call    function
        cld
        movl    $4, %ecx
        movl    $buffer, %edi
        rep stosl
        testl   %ebx, %ebx
        jz      2f
        nop
2:      pushl   %ebx
        popl    %esi
        jmp     1f
        nop
1:      incl    %esi
        hlt
        exit    0
function:
        pushl   %ebp
        movl    %esp, %ebp
        leave
        ret
        .bss
buffer: .skip   64
        .text
"""


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def steps(machine: Machine) -> Iterator[int]:
    """Run one instruction at a time; yield EIP before each, until the machine halts."""
    while True:
        yield machine.cpu.registers().eip
        try:
            machine.run(max_instructions=1)
        except BudgetUsedUp:
            continue
        return


@pytest.fixture
def path(mmu: str) -> list[int]:
    """EIP before each instruction of MIXED."""
    return list(steps(machine_of(MIXED, mmu=mmu)))


def test_single_steps_follow_the_program(path: list[int]) -> None:
    start = path[0]
    loop = start + 15  # three `movl` of five bytes
    assert path[3:10] == [loop, loop + 1, loop, loop + 1, loop, loop + 1, loop + 3]


@pytest.mark.parametrize("budget", range(1, 51))
def test_a_budget_ends_the_run_at_the_very_instruction(budget: int, path: list[int], mmu: str) -> None:
    machine = machine_of(MIXED, mmu=mmu)
    if budget < len(path):
        message = rf"^budget of {budget} instructions used up at .*EIP 0x{path[budget]:08x}$"
        with pytest.raises(BudgetUsedUp, match=message) as caught:
            machine.run(max_instructions=budget)
        assert caught.value.instructions == budget
        assert caught.value.eip == path[budget] == machine.cpu.registers().eip
    outcome = machine.run()
    assert outcome.ending is Returned.HALTED
    registers = machine.cpu.registers()
    assert (registers.ebx, registers.ecx, registers.esi) == (3, 0, 4)


def test_a_run_within_its_budget_says_how_many_instructions_it_took(path: list[int], mmu: str) -> None:
    machine = machine_of(MIXED, mmu=mmu)
    outcome = machine.run(max_instructions=1000)
    assert outcome.ending is Returned.HALTED
    assert outcome.instructions == len(path)


@pytest.mark.parametrize("rounds", [1, 10, 1000, 300_000])
def test_the_count_of_a_loop_is_exact(rounds: int, mmu: str) -> None:
    source = f"""
        movl    ${rounds}, %ecx
1:      addl    $3, %eax
        decl    %ecx
        jnz     1b
        nop
        nop
        hlt
    """
    # Stack, counter, three for each round, three at the end.
    count = 2 + 3 * rounds + 3
    assert machine_of(source, mmu=mmu).run(max_instructions=count).instructions == count
    machine = machine_of(source, mmu=mmu)
    with pytest.raises(BudgetUsedUp) as caught:
        machine.run(max_instructions=count - 1)
    assert str(machine.image.location(caught.value.eip)).startswith("_start+0x")
    assert machine.cpu.registers().ecx == 0
    assert machine.run().ending is Returned.HALTED


def test_the_count_ends_with_the_exit(mmu: str) -> None:
    """Whatever lies after it in the same block is not executed and not counted."""
    machine = machine_of("nop\n exit 0\n nop\n nop\n nop\n hlt", mmu=mmu)
    assert machine.run(max_instructions=1000).instructions == 1 + 1 + 3


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 100, 1001])
def test_pieces_of_a_run_add_up_to_the_whole(budget: int, mmu: str) -> None:
    source = "movl $2000, %ecx\n1: addl %ecx, %ebx\n pushl %ebx\n popl %edx\n loop 1b\n put ebx\n hlt"
    whole = machine_of(source, mmu=mmu)
    total = whole.run(max_instructions=1 << 40).instructions
    pieces = machine_of(source, mmu=mmu)
    executed = 0
    for _ in range(total):
        try:
            outcome = pieces.run(max_instructions=budget)
        except BudgetUsedUp as end:
            executed += end.instructions
        else:
            break
    assert executed + outcome.instructions == total
    assert outcome.ending is Returned.HALTED
    assert pieces.cpu.registers() == whole.cpu.registers()
    assert pieces.memory.read(0, 0x500000) == whole.memory.read(0, 0x500000)


def test_a_kernel_run_in_pieces_ends_like_one_run_at_once() -> None:
    image = KernelImage.read(resolve("firmware:leak"))
    whole, pieces = Machine(image), Machine(image)
    whole.run()
    ended = None
    while ended is None:
        try:
            ended = pieces.run(max_instructions=9973)
        except BudgetUsedUp:
            continue
    assert ended.exit_code == 1
    assert pieces.output[Console.SERIAL] == whole.output[Console.SERIAL]
    assert pieces.memory.read(0, 0x500000) == whole.memory.read(0, 0x500000)


def test_a_kernel_executes_the_same_number_of_instructions_every_time() -> None:
    image = KernelImage.read(resolve("firmware:fragment"))
    counts = {Machine(image).run(max_instructions=1 << 40).instructions for _ in range(3)}
    assert len(counts) == 1


def test_every_run_counts_for_itself(mmu: str) -> None:
    machine = machine_of("1: movl $1000, %ecx\n2: loop 2b\n hlt\n jmp 1b", mmu=mmu)
    round_trip = 1 + 1 + 1000 + 1
    assert machine.run().instructions == round_trip
    assert machine.run(max_instructions=10_000).instructions == round_trip
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=500)
    assert machine.run().ending is Returned.HALTED
    assert machine.run(max_instructions=10_000).instructions == round_trip


@pytest.mark.parametrize("max_instructions", [100, 1000, 100_000])
def test_a_budget_on_code_that_changes_itself_is_never_overrun(max_instructions: int, mmu: str) -> None:
    source = """
        movl    $1000, %ecx
1:      incl    2f + 1
2:      movl    $0, %eax
        loop    1b
        put     eax
3:      hlt
        jmp     3b
    """
    machine = machine_of(source, mmu=mmu)
    with suppress(BudgetUsedUp):
        machine.run(max_instructions=max_instructions)
    rounds = 1000 - machine.cpu.registers().ecx
    assert rounds * 3 <= max_instructions
    machine.run()
    assert results_of(machine, 1) == [1000]


def test_counting_distinguishes_blocks_that_share_their_start() -> None:
    """The same address holds a short block first and, once rewritten, a long one."""
    source = """
        movl    $2, %ecx
1:      call    function
        movl    $0x90909090, function   # over `ret`: now the block goes on
        loop    1b
        hlt
function:
        ret
        .skip   8, 0x90
        ret
    """
    machine = machine_of(source)
    executed = 2 + (1 + 1 + 2) + (1 + 9 + 1 + 2) + 1
    assert machine.run(max_instructions=1000).instructions == executed


def test_an_endless_loop_ends_with_its_budget(mmu: str) -> None:
    machine = machine_of("spin: jmp spin\n .type spin, @function", mmu=mmu)
    with pytest.raises(BudgetUsedUp, match=r"^budget of 1000000 instructions used up at ") as caught:
        machine.run(max_instructions=1_000_000)
    assert caught.value.eip == symbol(machine, "spin")


def test_an_error_before_the_budget_ends_is_the_error() -> None:
    machine = machine_of("movl $5, %ecx\n1: loop 1b\n movl 0xe0000000, %eax")
    machine.unanswered.expected = frozenset()
    with pytest.raises(UnmappedAccess) as caught:
        machine.run(max_instructions=100)
    assert caught.value.instructions in {7, 8}


def test_an_error_right_after_the_budget_is_not_reached(mmu: str) -> None:
    machine = machine_of("nop\n nop\n ud2", mmu=mmu)
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=3)
    with pytest.raises(GuestException):
        machine.run(max_instructions=3)


def test_seconds_are_a_budget_too(mmu: str) -> None:
    machine = machine_of("1: incl %ebx\n jmp 1b", mmu=mmu)
    started = time.monotonic()
    with pytest.raises(BudgetUsedUp, match=r"^time budget used up at _start\+0x[56] "):
        machine.run(timeout_s=0.1)
    assert 0.1 <= time.monotonic() - started < 5
    first = machine.cpu.registers().ebx
    assert first > 0
    with pytest.raises(BudgetUsedUp):
        machine.run(timeout_s=0.05)
    assert machine.cpu.registers().ebx > first


def test_a_run_that_ends_in_time_leaves_no_trace_of_its_seconds() -> None:
    machine = machine_of("1: hlt\n jmp 1b")
    for _ in range(20):
        assert machine.run(timeout_s=0.2).ending is Returned.HALTED
    time.sleep(0.3)
    assert machine.run().ending is Returned.HALTED


def test_seconds_end_a_run_that_keeps_calling_python() -> None:
    machine = machine_of("1: movw $0x3d4, %dx\n inb %dx, %al\n jmp 1b")
    with pytest.raises(BudgetUsedUp, match=r"^time budget used up"):
        machine.run(timeout_s=0.05)


def test_both_budgets_together_end_with_the_first() -> None:
    machine = machine_of("1: incl %eax\n jmp 1b")
    with pytest.raises(BudgetUsedUp, match=r"^budget of 1000 instructions"):
        machine.run(max_instructions=1000, timeout_s=10)
    with pytest.raises(BudgetUsedUp, match=r"^time budget"):
        machine.run(max_instructions=1 << 60, timeout_s=0.05)


LEAVES_ITS_IDENTITY_MAP = """
        movl    $0x83, directory
        movl    $0x83, directory + 0x800
        paging  directory
        movl    $high + 0x80000000, %eax
        jmp     *%eax
high:   movl    $0, directory + 0x80000000
        movl    %cr3, %eax
        movl    %eax, %cr3
        nop
        hlt
        .bss
        .balign 4096
directory: .skip 4096
"""


@pytest.mark.parametrize("budget", range(1, 18))
def test_a_budget_leaves_no_trace_where_code_is_mapped_no_more(budget: int, mmu: str) -> None:
    """Unicorn fetches from the addresses that its counter was hooked to, in a run that follows."""
    machine = machine_of(LEAVES_ITS_IDENTITY_MAP, mmu=mmu)
    with suppress(BudgetUsedUp):
        machine.run(max_instructions=budget)
    assert machine.run().ending is Returned.HALTED


WILD = {
    "a jump to memory that is not there": ("movl $0xda68e807, %eax\n jmp *%eax", 0xDA68E807, 3),
    "a call": ("movl $0xda68e807, %eax\n nop\n call *%eax", 0xDA68E807, 4),
    "a return": ("pushl $0xda68e807\n ret", 0xDA68E807, 3),
    "a jump right after RAM": ("movl $0x00500000, %eax\n jmp *%eax", 0x00500000, 3),
    "a fault after a jump far away": (
        "movl $0x0b0f0b0f, 0x00400000\n movl $0x00400000, %eax\n jmp *%eax",
        0x00400000,
        4,
    ),
}


@pytest.mark.parametrize("wild", WILD)
def test_a_jump_far_away_counts_its_block_whole_and_reads_nothing_between(
    wild: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, target, executed = WILD[wild]
    machine = machine_of(code)
    read_linear, read = LinearMemory.read, []

    def reads(memory: LinearMemory, address: int, size: int) -> bytes:
        read.append(size)
        return read_linear(memory, address, size)

    monkeypatch.setattr(LinearMemory, "read", reads)
    with pytest.raises(GuestStopped) as caught:
        machine.run()
    assert (caught.value.eip, caught.value.instructions) == (target, executed)
    assert max(read) <= 4096


IN_16_BITS = """
        lgdt    gdt_register
        movl    $1, %ebx
        ljmp    $8, $code
        .code16
code:   movw    $0x1111, %ax
        movw    $0x2222, %cx
        addl    $0x33333333, %edx
        {fault}
        movw    $0x4444, %ax
        hlt
        .code32
        .data
gdt:    .quad   0, 0x008f9a000000ffff, 0x00cf92000000ffff
gdt_register:
        .word   23
        .long   gdt
"""


@pytest.mark.parametrize(
    "fault", ["ud2", ".byte 0x0f, 0xff", "divw %di", "movl $0x7ffffff0, %esi\n incw (%esi)"]
)
def test_a_block_of_16_bit_code_that_fails_in_the_middle_is_counted_exactly(fault: str) -> None:
    """The same in one block, and one by one."""
    source = IN_16_BITS.format(fault=fault)
    counts = []
    for budget in (None, 1000):
        machine = machine_of(source)
        machine.unanswered.expected = frozenset()
        with pytest.raises(GuestStopped) as caught:
            machine.run(max_instructions=budget)
        counts.append(caught.value.instructions)
    assert counts[0] == counts[1]


def test_a_budget_of_nothing_is_used_up_at_once() -> None:
    machine = machine_of("movl $1, %ebx\n put ebx\n exit 0")
    with pytest.raises(BudgetUsedUp, match=r"^budget of 0 instructions used up at "):
        machine.run(max_instructions=0)
    assert machine.run().exit_value == 0


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"max_instructions": -1}, "a budget of -1 instructions"),
        ({"timeout_s": -0.5}, "a budget of -0.5 seconds"),
        ({"timeout_s": float("nan")}, "a budget of nan seconds"),
    ],
)
def test_a_budget_below_nothing_is_refused(budget: dict[str, float], message: str) -> None:
    machine = machine_of("exit 0")
    with pytest.raises(ValueError, match=f"^{message}$"):
        machine.run(**budget)  # type: ignore[arg-type]
    assert machine.run().exit_value == 0


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_a_budget_of_an_instruction_that_raises_is_used_up_by_the_handler(mmu: str) -> None:
    """The instruction is none that was executed: the budget goes on with the handler's first one."""
    machine = machine_of(
        f"{IDT} lidt idtr\n gate 6, handler\n ud2\n exit 0\nhandler: addl $2, (%esp)\n iret", mmu=mmu
    )
    handler, stands_at = symbol(machine, "handler"), [0]
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=1)
    while stands_at[-1] != handler + 4 and len(stands_at) < 50:  # after its first instruction
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=1)
        stands_at.append(machine.registers().eip)
    assert stands_at[-1] == handler + 4
    assert handler not in stands_at
    assert machine.run().exit_value == 0
