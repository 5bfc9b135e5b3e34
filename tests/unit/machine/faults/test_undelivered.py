"""Interrupts that find no way to a handler: what a CPU does then, why, and what only kmemu lacks (Intel SDM vol. 3A, 6)."""

from __future__ import annotations

import pytest

from emulator.errors import GuestException, GuestStopped, NotEmulated
from tests.helpers.guest import results_of, symbol
from tests.unit.machine.board.test_interrupts import TIMER, guest

INVALID = "ud2"
LIMIT_47 = "movw $47, idtr\n lidt idtr\n"
PAGING = """
        movl    $0x83, directory            # the first 4 MiB as they are
        paging  directory
        .bss
        .balign 4096
directory: .skip 4096
        .text
"""


def stopped(body: str, handlers: str = "", mmu: str = "fast") -> GuestStopped:
    with pytest.raises(GuestStopped) as caught:
        guest(body, handlers, mmu).run(timeout_s=10)
    return caught.value


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


REASONS = {
    "no handler in the IDT": INVALID,
    "the IDT ends before vector 6: its limit is 0x002f": LIMIT_47 + INVALID,
    "its gate in the IDT is not present": f"gate 6, h, 0x0e\n {INVALID}",
    "its gate in the IDT has type 0x0c, through which no interrupt goes": f"gate 6, h, 0x8c\n {INVALID}",
    "its gate in the IDT names 0x0010, which is no code segment of ring 0": (
        f"gate 6, h\n movw $0x10, idt + 8 * 6 + 2\n {INVALID}"
    ),
    "its gate in the IDT names 0x0000, which is no code segment of ring 0": (
        f"gate 6, h\n movw $0, idt + 8 * 6 + 2\n {INVALID}"
    ),
    "its gate in the IDT names 0x0058, which is no code segment of ring 0": (
        f"gate 6, h\n movw $0x58, idt + 8 * 6 + 2\n {INVALID}"
    ),
    "the IDT is not mapped: its gate would lie at 0xe0000030": (
        f"movl $0xe0000000, idtr + 2\n lidt idtr\n {INVALID}"
    ),
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_triple_fault_says_why(reason: str, mmu: str) -> None:
    error = stopped(REASONS[reason], "h: exit 1", mmu)
    assert isinstance(error, GuestException)
    assert error.problem == f"triple fault: #UD invalid opcode ({reason})"
    assert error.vector == 6


def test_an_idt_that_paging_does_not_map(mmu: str) -> None:
    error = stopped(PAGING + f"movl $0xe0000000, idtr + 2\n lidt idtr\n {INVALID}", "", mmu)
    assert error.problem == (
        "triple fault: #UD invalid opcode (the IDT is not mapped: its gate would lie at 0xe0000030)"
    )


def test_a_stack_that_paging_does_not_map(mmu: str) -> None:
    error = stopped(PAGING + f"gate 6, h\n movl $0xe0000000, %esp\n {INVALID}", "h: exit 1", mmu)
    assert error.problem == (
        "triple fault: #UD invalid opcode (its frame finds no memory below ESP 0xe0000000)"
    )


def test_a_page_fault_keeps_its_facts() -> None:
    error = stopped(PAGING + "movl $1, 0xe0000124")
    assert error.problem == (
        "triple fault: #PF page fault, write to 0xe0000124, error code 0x2, (no handler in the IDT)"
    )


# What a CPU raises instead of an interrupt that it cannot deliver: vector, error code, and what the frame's EIP shows.
CHAINS = {
    "a benign one without a gate": ("fault: ud2", 13, 6 * 8 + 2),
    "a gate that is not present": ("gate 6, other, 0x0e\n fault: ud2", 11, 6 * 8 + 2),
    "a gate of a wrong type": ("gate 6, other, 0x8c\n fault: ud2", 13, 6 * 8 + 2),
    "a gate to no code": ("gate 6, other\n movw $0x10, idt + 8 * 6 + 2\n fault: ud2", 13, 0x10),
    "an instruction without a gate": ("fault: int $0x40", 13, 0x40 * 8 + 2),
    "an instruction of one byte": ("fault: int3", 13, 3 * 8 + 2),
    "an instruction after the IDT": ("movw $127, idtr\n lidt idtr\n fault: int $0x40", 13, 0x40 * 8 + 2),
    "a contributory one": ("xorl %ecx, %ecx\n fault: divl %ecx", 8, 0),
    "a page fault": (PAGING + "movl $0xe0000000, %ecx\n fault: movl (%ecx), %ecx", 8, 0),
    "a double fault after a benign one": ("gate 13, other, 0x0e\n fault: ud2", 8, 0),
}
# Faults whose error code names a selector.
SELECTORS = {
    "a data segment after the GDT": ("movl $0x58, %ecx\n fault: movw %cx, %ds", 13, 0x58),
    "a stack that is code": ("movl $0x08, %ecx\n fault: movw %cx, %ss", 13, 0x08),
    "a jump to data": ("fault: ljmp $0x10, $0", 13, 0x10),
    "a return to data": ("pushl $0x10\n pushl $0\n fault: lret", 13, 0x10),
    "a far call of data": ("fault: lcall $0x10, $0", 13, 0x10),
    "an interrupt's return to data": ("pushl $2\n pushl $0x10\n pushl $0\n fault: iret", 13, 0x10),
    "a task register with data": ("movl $0x10, %ecx\n fault: ltr %cx", 13, 0x10),
}
GATES = "gate 8, on_8\n gate 11, on_11\n gate 13, on_13\n"
HANDLERS = """
        .irp    vector, 8, 11, 13
on_\\vector:
        movl    $\\vector, %ebx
        put     ebx
        popl    %ebx
        put     ebx
        movl    (%esp), %ebx
        put     ebx
        exit    0
        cli
        hlt
        .endr
other:  exit    9
"""


@pytest.mark.parametrize("chain", CHAINS | SELECTORS)
def test_what_is_raised_instead(chain: str, mmu: str) -> None:
    body, vector, error_code = (CHAINS | SELECTORS)[chain]
    machine = guest(GATES + body, HANDLERS, mmu)
    assert machine.run(timeout_s=10).exit_value == 0
    assert results_of(machine, 3) == [vector, error_code, symbol(machine, "fault")]
    fault = machine.interrupts.last_fault
    assert fault is not None
    assert (fault.vector, fault.eip) == (vector, symbol(machine, "fault"))


def test_a_timer_tick_without_a_gate(mmu: str) -> None:
    body = TIMER + "movl $0, idt + 8 * 0x20\n movl $0, idt + 8 * 0x20 + 4\n sti\n 1: jmp 1b"
    error = stopped(body, "on_tick: iret", mmu)
    assert error.problem == "triple fault: interrupt 0x20 (no handler in the IDT)"
    waiting = stopped(body.replace("1: jmp 1b", "hlt"), "on_tick: iret", mmu)
    assert waiting.problem == error.problem


def test_a_timer_tick_without_a_gate_is_a_general_protection(mmu: str) -> None:
    body = TIMER + "movl $0, idt + 8 * 0x20\n movl $0, idt + 8 * 0x20 + 4\n gate 13, on_13\n sti\n 1: jmp 1b"
    machine = guest(body, HANDLERS + "\n on_tick: iret", mmu)
    machine.run(timeout_s=10)
    assert results_of(machine, 2) == [13, 0x20 * 8 + 2]


def test_a_vector_of_the_timer_is_no_exception() -> None:
    """A kernel that leaves the PIC as the BIOS has it gets its ticks at vector 8."""
    body = TIMER.replace("out8    0x21, 0x20\n", "out8    0x21, 0x08\n") + "sti\n 1: jmp 1b"
    assert stopped(body, "on_tick: iret").problem == "triple fault: interrupt 0x08 (no handler in the IDT)"


RING_3 = """
        .data
        .balign 8
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cffa000000ffff, 0x00cff2000000ffff
gdtr:   .word   39
        .long   gdt
        .text
        lgdt    gdtr
        movw    $0x23, %ax
        movw    %ax, %ds
        pushl   $0x23
        pushl   $stack
        pushl   $2
        pushl   $0x1b
        pushl   $user
        iret
user:
"""
V86 = "pushl $0\n pushl $0\n pushl $0\n pushl $0\n pushl $0\n pushl $0x8000\n pushl $0x20002\n pushl $0\n pushl $0x9000\n iret"
NO_TASK = {
    "interrupt 0x80 came in ring 3": "gate 0x80, h, 0xee\n" + RING_3 + "int $0x80",
    "#UD invalid opcode came in ring 3": "gate 6, h\n" + RING_3 + "ud2",
    "interrupt 0x21 came in ring 3": (
        "movl $0x21cd, 0x9000\n gate 0x21, h, 0xee\n movl $0x33002, %eax\n"
        + V86.replace("0x20002", "0x23002")
    ),
}


@pytest.mark.parametrize("problem", NO_TASK)
def test_a_kernel_that_has_loaded_no_task(problem: str, mmu: str) -> None:
    error = stopped(NO_TASK[problem], "h: exit 1", mmu)
    assert isinstance(error, GuestException)
    assert error.problem == problem + ", and the task register was never loaded: its handler has no stack"


def test_a_task_gate_that_leads_to_no_task(mmu: str) -> None:
    error = stopped("gate 8, h, 0x85\n xorl %ecx, %ecx\n divl %ecx", "h: exit 1", mmu)
    assert error.problem == "triple fault: #DE divide error (no handler in the IDT)"
    error = stopped("gate 6, h, 0x85\n ud2", "h: exit 1", mmu)
    assert error.problem == (
        "triple fault: #UD invalid opcode (its task gate in the IDT names 0x0008, a task that cannot be switched to)"
    )


@pytest.mark.parametrize(
    ("limit", "code", "problem"),
    [
        (0x3FF, "int $0x60", "interrupt 0x60 in real mode has no handler: its vector at 0x00000180 is 0"),
        (
            0x0F,
            "int $0x21",
            "interrupt 0x21 in real mode has no handler: the interrupt vector table ends before it: its limit is 0x000f",
        ),
        (
            0x0F,
            "ud2",
            "#UD invalid opcode in real mode has no handler: the interrupt vector table ends before it: its limit is 0x000f",
        ),
    ],
)
def test_real_mode(limit: int, code: str, problem: str, mmu: str) -> None:
    body = f"""
        .data
        .balign 8
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00009a000000ffff
gdtr:   .word   31
        .long   gdt
table:  .word   {limit}
        .long   0
        .text
        lgdt    gdtr
        lidt    table
        movl    $low, %esi
        movl    $0x8000, %edi
        movl    $64, %ecx
        cld
        rep movsb
        ljmp    $0x18, $0x8000
low:    .code16
        movl    %cr0, %eax
        andb    $0xfe, %al
        movl    %eax, %cr0
        ljmp    $0, $0x8000 + 1f - low
1:      {code}
        hlt
        .code32
    """
    error = stopped(body, "", mmu)
    assert isinstance(error, GuestException)
    assert error.problem == problem


def test_a_jump_into_the_rom() -> None:
    error = stopped("movl $0xf0123, %eax\n jmp *%eax")
    assert isinstance(error, NotEmulated)
    assert error.problem == "kmemu does not have code of a BIOS: a jump into its ROM"
    assert error.eip == 0xF0123


@pytest.mark.parametrize("byte", [0x0E, 0x0D])
def test_a_fault_after_bytes_that_read_as_an_int_is_a_fault(byte: int, mmu: str) -> None:
    """`movb $0x0d, %ch` ends with the bytes of `int $0x0d`, and the #GP after it has an error code all the same."""
    vector = byte
    body = f"gate {vector}, h\n" + (PAGING if vector == 14 else "")
    fault = "movl 0xe0000000, %eax" if vector == 14 else "movw %cx, %ds"
    machine = guest(
        body + f"movl $0x{vector:02x}cd0058, %ecx\n {fault}", "h: popl %ebx\n put ebx\n exit 0", mmu
    )
    machine.run(timeout_s=10)
    assert results_of(machine, 1) == [0 if vector == 14 else 0x58]
