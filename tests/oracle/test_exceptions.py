"""Exceptions and `int n`, from ring 0 and ring 3: what handlers find is what they find on QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.machine.machine import Machine
from tests.helpers import qemu
from tests.helpers.guest import assemble, results_of, symbol
from tests.helpers.rings import exceptions
from tests.unit.machine.core.test_system_calls import ROUND_TRIP

if TYPE_CHECKING:
    from pathlib import Path

PAGING = """
        movl    $0x87, directory            # the first 4 MiB as they are, for all
        movl    $table + 7, directory + 0x800
        movl    $0x00104001, table          # a supervisor's, read only
        movl    $0x00104003, table + 4      # a supervisor's
        movl    $0x00104005, table + 8      # a user's, read only
        paging  directory
        .bss
        .balign 4096
directory: .skip 4096
table:  .skip   4096
        .text
"""
CR2 = "movl %cr2, %ebx\n put ebx\n"

UNMASKED = "movl %cr0, %ecx\n orl $0x20, %ecx\n movl %ecx, %cr0\n fninit\n pushl $0x37b\n fldcw (%esp)\n"

STEPS: dict[str, str] = {
    "divide": "xorl %ecx, %ecx\n divl %ecx",
    "int3": "int3",
    "into": "movb $0x7f, %al\n addb $1, %al\n into",
    "bound": "movl $5, %eax\n boundl %eax, two",
    "invalid opcode": "ud2",
    "no FPU": "movl %cr0, %ecx\n orl $8, %ecx\n movl %ecx, %cr0\n fld1",
    "an FPU error": UNMASKED + "fldz\n fld1\n fdivp\n fwait",
    "fwait of a task that has no FPU": "movl %cr0, %ecx\n orl $10, %ecx\n movl %ecx, %cr0\n fwait",
    "MMX of a task that has no FPU": "movl %cr0, %ecx\n orl $8, %ecx\n movl %ecx, %cr0\n movd %ecx, %mm0",
    "SSE that was not enabled": "movaps %xmm0, %xmm1",
    "int 0x80": "int $0x80",
    "int without a gate": "int $0x90",
    "int beyond the IDT": "movw $0x3ff, idtr\n lidt idtr\n int $0x80",
    "int through a gate that is not present": "movb $0x6e, idt + 8 * 0x80 + 5\n int $0x80",
    "int through a gate of another type": "movb $0xec, idt + 8 * 0x80 + 5\n int $0x80",
    "int to data": "movw $0x10, idt + 8 * 0x80 + 2\n int $0x80",
    "int to nothing": "movw $0, idt + 8 * 0x80 + 2\n int $0x80",
    "int to code beyond the GDT": "movw $0x7f8, idt + 8 * 0x80 + 2\n int $0x80",
    "int to code that is not present": "movw $0x38, idt + 8 * 0x80 + 2\n int $0x80",
    "int to conforming code": "movw $0x30, idt + 8 * 0x80 + 2\n int $0x80",
    "int to code of ring 1": "movw $0x50, idt + 8 * 0x80 + 2\n int $0x80",
    "a trap gate": "movb $0xef, idt + 8 * 0x80 + 5\n sti\n int $0x80",
    "an interrupt gate": "sti\n int $0x80",
    "a fault without a gate": "movb $0, idt + 8 * 6 + 5\n ud2",
    "a fault through a gate that is not present": "movb $0x0e, idt + 8 * 6 + 5\n ud2",
    "a fault to data": "movw $0x10, idt + 8 * 6 + 2\n ud2",
    "a double fault": "movb $0x0e, idt + 8 * 0 + 5\n xorl %ecx, %ecx\n divl %ecx",
    "a segment beyond the GDT": "movw $0x7f8, %cx\n movw %cx, %es",
    "a segment that is not present": "movw $0x40, %cx\n movw %cx, %es",
    "a segment of code that cannot be read": "movw $0x08, %cx\n movw %cx, %ss",
    "a stack that is not present": "movw $0x40, %cx\n movw %cx, %ss",
    "a stack that is read only": "movw $0x48, %cx\n movw %cx, %ss",
    "no stack": "xorl %ecx, %ecx\n movw %cx, %ss",
    "a far jump to data": "ljmp $0x10, $0",
    "a far jump to code that is not present": "ljmp $0x38, $0",
    "a far call to nothing": "lcall $0, $0",
    "iret to data": "pushl $2\n pushl $0x10\n pushl $0\n iret",
    "iret to ring 3 with a stack of ring 0": "pushl $0x10\n pushl $0\n pushl $2\n pushl $0x1b\n pushl $0\n iret",
    "ltr of data": "movw $0x10, %cx\n ltr %cx",
    "ltr of a busy task": "movw $0x28, %cx\n ltr %cx",
    "a trap flag": "pushl $0x102\n popf\n nop\n nop",
    "a page that is not present": "movl 0x80003004, %ecx",
    "a write to a page that is not present": "movl %ecx, 0xc0000004",
    "a write to a page that is read only": "movl %cr0, %ecx\n orl $0x10000, %ecx\n movl %ecx, %cr0\n movl %ecx, 0x80000004",
    "a fetch from nowhere": "movl $0x80003010, %ecx\n jmp *%ecx",
    "an access across pages": "movl 0x80002ffe, %ecx",
}
PAGED = ("page", "fetch")
# These leave the machine as they found it no more: they run alone, as all others do.
FROM_3: dict[str, str] = {
    "divide": "xorl %ecx, %ecx\n divl %ecx",
    "int3": "int3",
    "into": "movb $0x7f, %al\n addb $1, %al\n into",
    "invalid opcode": "ud2",
    "int 0x80": "int $0x80",
    "int through a gate of ring 0": "int $0x81",
    "int of an exception's vector": "int $14",
    "int without a gate": "int $0x90",
    "hlt": "hlt",
    "cli": "cli",
    "an out": "outb %al, $0x20",
    "a control register": "movl %cr0, %eax",
    "lgdt": "lgdt gdtr",
    "invlpg": "invlpg 0",
    "a segment of ring 0": "movw $0x10, %cx\n movw %cx, %ds",
    "a stack of ring 0": "movw $0x10, %cx\n movw %cx, %ss",
    "a far call of ring 0": "lcall $8, $0",
    "a far return to ring 0": "pushl $8\n pushl $0\n lret",
    "a supervisor's page": "movl 0x80001004, %ecx",
    "a write to a page that is read only": "movl %ecx, 0x80002004",
    "a page that is not present": "movl 0x80003004, %ecx",
    "a fetch from a supervisor's page": "movl $0x80001010, %ecx\n jmp *%ecx",
    "rdmsr": "rdmsr",
    "a pop of flags": "pushl $0x3202\n popf\n int $0x80",
}
TSS: dict[str, str] = {
    "a stack of nothing": "movw $0, task + 8",
    "a stack of ring 3": "movw $0x23, task + 8",
    "a stack that is not present": "movw $0x40, task + 8",
    "a stack that is read only": "movw $0x48, task + 8",
    "a stack beyond the GDT": "movw $0x7f8, task + 8",
    "a TSS that ends before": "movb $0x89, task_descriptor + 5\n movw $7, task_descriptor\n movw $0x28, %ax\n ltr %ax",
    "conforming code": "movw $0x30, idt + 8 * 0x80 + 2",
    "a gate of 16 bits": "movb $0xe6, idt + 8 * 0x80 + 5",
}


def both(steps: str, folder: Path, count: int) -> tuple[list[int], list[int]]:
    """Run a guest here and on QEMU; return what both have put."""
    image = assemble(exceptions(steps))
    machine = Machine(image)
    assert machine.run(timeout_s=20).exit_value == 0
    path = folder / "guest.elf"
    path.write_bytes(image.data)
    start = symbol(machine, "results")
    end = qemu.inspect(path, image.entry, start + 4096).at_end.ram
    theirs = [int.from_bytes(end[at : at + 4], "little") for at in range(start, start + 4 * count, 4)]
    return results_of(machine, count), theirs


def step(body: str, *, ring_3: bool = False, before: str = "") -> str:
    """Return a guest that raises something once, with what the handlers need."""
    paged = PAGING if "0x8000" in body or "0xc000" in body else ""
    enter = "in_ring_3\n" if ring_3 else ""
    return (
        f"{paged}{before}\n after over\n{enter}{body}\n{'1: jmp 1b' if ring_3 else ''}\n over:\n {CR2 if paged else ''}"
        "\n.data\n two: .long 1, 2\n .text\n"
    )


@pytest.mark.parametrize("name", STEPS)
def test_from_ring_0(name: str, tmp_path: Path) -> None:
    ours, theirs = both(step(STEPS[name]), tmp_path, 8)
    assert ours == theirs
    assert any(ours) or "conforming" in name


@pytest.mark.parametrize("name", FROM_3)
def test_from_ring_3(name: str, tmp_path: Path) -> None:
    ours, theirs = both(step(FROM_3[name], ring_3=True), tmp_path, 9)
    assert ours == theirs
    assert any(ours)


# A task that takes exceptions on a stack of its own, whatever has become of the others.
TASK_GATE = """
        movl    $on_task, second + 32
        movl    $2, second + 36
        movl    $stack, second + 56
        movw    $8, second + 76
        movw    $0x10, second + 72
        movw    $0x10, second + 80
        movw    $0x10, second + 84
        movl    %cr3, %eax
        movl    %eax, second + 28
"""
ON_TASK = """
        jmp     2f
on_task:
        movl    $7777, %ebx
        put     ebx
        .if     {error}
        popl    %ebx
        put     ebx
        .endif
        movl    task + 32, %ebx
        put     ebx
        movl    task + 36, %ebx
        andl    $~0x8d4, %ebx
        put     ebx
        movl    second, %ebx
        put     ebx
        movl    %cr0, %ebx
        put     ebx
        clts
        movl    $over, task + 32
        movl    $8, task + 76
        movl    $0x10, task + 72
        movl    $0x10, task + 80
        movl    $0x10, task + 84
        movl    $stack, task + 56
        movl    $2, task + 36
        iret
2:
"""


def by_task(vector: int, *, error: bool) -> str:
    """Return what lets a task take an exception."""
    gate = f"movw $0x58, idt + 8 * {vector} + 2\n movb $0xe5, idt + 8 * {vector} + 5\n"
    return TASK_GATE + gate + ON_TASK.format(error=int(error))


@pytest.mark.parametrize("name", TSS)
def test_the_stack_of_a_task(name: str, tmp_path: Path) -> None:
    before = by_task(10, error=True) + TSS[name]
    ours, theirs = both(step("int $0x80", ring_3=True, before=before), tmp_path, 9)
    assert ours == theirs
    assert any(ours)


@pytest.mark.parametrize(
    ("body", "vector", "error"),
    [("int $0x80", 0x80, False), ("ud2", 6, False), ("movw $0x7f8, %cx\n movw %cx, %es", 13, True)],
)
@pytest.mark.parametrize("ring_3", [False, True])
def test_a_task_gate(body: str, vector: int, error: bool, ring_3: bool, tmp_path: Path) -> None:
    ours, theirs = both(step(body, ring_3=ring_3, before=by_task(vector, error=error)), tmp_path, 9)
    assert ours == theirs
    assert ours[0] == 7777


def test_sysenter(tmp_path: Path) -> None:
    image = assemble(ROUND_TRIP)
    machine = Machine(image)
    assert machine.run(timeout_s=20).exit_value == 0
    path = tmp_path / "guest.elf"
    path.write_bytes(image.data)
    start = symbol(machine, "results")
    end = qemu.inspect(path, image.entry, start + 4096).at_end.ram
    theirs = [int.from_bytes(end[at : at + 4], "little") for at in range(start, start + 4 * 8, 4)]
    assert results_of(machine, 8) == theirs
