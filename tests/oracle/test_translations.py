"""When a change of page tables is seen, in data and in code: as on QEMU, on both MMUs (Intel SDM vol. 3A, 4.10)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import pytest

from emulator.machine.machine import Machine
from tests.helpers import qemu
from tests.helpers.guest import assemble, results_of, symbol
from tests.helpers.rings import exceptions

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage

WORDS = 12

# 4 MiB as they are, for all; `page_1` at 0x80000000, `code_1` at 0x80001000. The other directory has `page_2` and `code_2` there.
PAGING = """
        .irp    space, 0, 1
        movl    $identity + 7, directory + 0x1000 * \\space
        movl    $table + 0x1000 * \\space + 7, directory + 0x1000 * \\space + 0x800
        .endr
        movl    $page_1 + 7, table
        movl    $code_1 + 7, table + 4
        movl    $page_2 + 7, table + 0x1000
        movl    $code_2 + 7, table + 0x1004
        xorl    %ecx, %ecx
1:      movl    %ecx, %eax
        shll    $12, %eax
        orl     $7, %eax
        movl    %eax, identity(, %ecx, 4)
        incl    %ecx
        cmpl    $1024, %ecx
        jne     1b
        movl    $0x1111, page_1
        movl    $0x2222, page_2
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax           # PG, WP
        movl    %eax, %cr0
        .macro  look address=0x80000000
        movl    \\address, %ebx
        put     ebx
        .endm
        .macro  change register, bits
        movl    %\\register, %eax
        xorl    $\\bits, %eax
        movl    %eax, %\\register
        .endm
        .macro  reload
        movl    %cr3, %eax
        movl    %eax, %cr3
        .endm
        .macro  space address
        movl    $\\address, %eax
        movl    %eax, %cr3
        .endm
        .macro  run
        movl    $0x80001000, %eax
        call    *%eax
        put     eax
        .endm
        jmp     steps_of_translation
        .data
        .balign 4096
code_1: movl    $1, %eax
        ret
        .org    code_1 + 0x100
        movl    %ecx, %cr3
        movl    $1, %eax
        jmp     1f
1:      addl    $10, %eax
        ret
        .balign 4096
code_2: movl    $2, %eax
        ret
        .org    code_2 + 0x100
        movl    %ecx, %cr3
        movl    $2, %eax
        jmp     1f
1:      addl    $20, %eax
        ret
        .bss
        .balign 4096
directory: .skip 2 * 4096
table:  .skip   2 * 4096
identity: .skip 4096
page_1: .skip   4096
page_2: .skip   4096
        .text
steps_of_translation:
"""
PGE, PSE, WP, PG = 0x80, 0x10, 0x10000, 0x80000000
TO_SECOND = "movl $page_2 + 7, table\n"
WRITE = "movl $7, 0x80000000\n"

STEPS: dict[str, str] = {
    "CR3 is loaded again": "look\n" + TO_SECOND + "reload\n look",
    "invlpg": "look\n" + TO_SECOND + "invlpg 0x80000ffc\n look",
    "CR3 is another one, and the first again": "look\n space directory + 0x1000\n look\n space directory\n look",
    "CR3 is another one, and the tables of the first change": "look\n space directory + 0x1000\n look\n"
    + TO_SECOND
    + "space directory\n look",
    "a directory's entry, and CR3": "look\n movl $table + 0x1007, directory + 0x800\n reload\n look",
    "a directory's entry, and invlpg": "look\n movl $table + 0x1007, directory + 0x800\n invlpg 0x80000000\n look",
    "a global page, and PGE": f"movl $page_1 + 0x107, table\n change cr4, {PGE}\n look\n"
    + TO_SECOND
    + f"change cr4, {PGE}\n look",
    "a global page, and invlpg": f"movl $page_1 + 0x107, table\n change cr4, {PGE}\n look\n"
    + TO_SECOND
    + "invlpg 0x80000000\n look",
    "a page that is global no more": f"movl $page_1 + 0x107, table\n change cr4, {PGE}\n look\n"
    f"change cr4, {PGE}\n {TO_SECOND} reload\n look",
    "paging off and on": "look\n" + TO_SECOND + f"change cr0, {PG}\n change cr0, {PG}\n look",
    "CR3 while paging is off": f"look\n change cr0, {PG}\n space directory + 0x1000\n change cr0, {PG}\n look",
    "PSE": f"movl $0x400087, directory + 0x804\n change cr4, {PSE}\n movl $page_2 + 7, %ecx\n movl %ecx, 0x80400000\n"
    f"look 0x80400000\n change cr4, {PSE}\n look 0x80400000\n change cr4, {PSE}\n look 0x80400000",
    "a large page in place of a table": f"change cr4, {PSE}\n look\n movl $0x87, directory + 0x800\n reload\n"
    "movl $page_1, %ecx\n look 0x80000000(%ecx)",
    "a table in place of a large page": f"change cr4, {PSE}\n movl $0x87, directory + 0x800\n movl $page_1, %ecx\n"
    "look 0x80000000(%ecx)\n movl $table + 7, directory + 0x800\n invlpg 0x80000000\n look",
    "WP off": f"movl $page_1 + 5, table\n change cr0, {WP}\n {WRITE} look",
    "A and D once more": "look\n"
    + WRITE
    + "andl $~0x60, table\n andl $~0x20, directory + 0x800\n reload\n look\n movl table, %ebx\n andl $0x60, %ebx\n"
    "put ebx\n movl directory + 0x800, %ebx\n andl $0x20, %ebx\n put ebx\n"
    + WRITE
    + "movl table, %ebx\n andl $0x60, %ebx\n put ebx",
    "a task with a CR3 of its own": "look\n movl $on_task, second + 32\n movl $directory + 0x1000, second + 28\n"
    "movl $2, second + 36\n movl $stack, second + 56\n movw $8, second + 76\n movw $0x10, second + 80\n"
    "movw $0x10, second + 84\n movw $0x10, second + 72\n ljmp $0x58, $0\n on_task: look\n movl %cr3, %ebx\n put ebx",
    "other code": "run\n space directory + 0x1000\n run\n space directory\n run",
    "other code in a loop": "xorl %esi, %esi\n movl $50, %edi\n 1: movl $directory + 0x1000, %ecx\n movl $0x80001100, %eax\n"
    "call *%eax\n addl %eax, %esi\n movl $directory, %ecx\n movl $0x80001100, %eax\n call *%eax\n addl %eax, %esi\n"
    "decl %edi\n jnz 1b\n put esi",
    "other code by invlpg": "run\n movl $code_2 + 7, table + 4\n invlpg 0x80001000\n run",
    "code that changes at another address": "run\n movb $5, code_1 + 1\n run\n movb $6, 0x80001001\n run",
    "code that changes in another space": "movl $code_1 + 7, table + 0x1004\n run\n space directory + 0x1000\n movb $5, 0x80001001\n"
    "run\n space directory\n run",
}
FAULTS: dict[str, str] = {
    "WP on": f"movl $page_1 + 5, table\n change cr0, {WP}\n {WRITE} change cr0, {WP}\n {WRITE}",
    "a page that is absent by now, and CR3": "look\n movl $0, table\n reload\n look",
    "a page that is absent by now, and invlpg": "look\n movl $0, table\n invlpg 0x80000000\n look",
    "a page that is read only by now": WRITE + "movl $page_1 + 5, table\n invlpg 0x80000000\n look\n" + WRITE,
    "code that is absent by now": "run\n movl $0, table + 4\n invlpg 0x80001000\n run",
}


Mmu = Literal["fast", "reference"]


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> Mmu:
    found: Mmu = request.param
    return found


@cache
def image_of(steps: str) -> KernelImage:
    return assemble(exceptions(PAGING + steps))


@cache
def on_qemu(steps: str) -> list[int]:
    image = image_of(steps)
    start = symbol(Machine(image), "results")
    with TemporaryDirectory(prefix="kmemu-translations-") as folder:
        path = Path(folder) / "guest.elf"
        path.write_bytes(image.data)
        ram = qemu.inspect(path, image.entry, start + 4096).at_end.ram
    return [int.from_bytes(ram[at : at + 4], "little") for at in range(start, start + 4 * WORDS, 4)]


def here(steps: str, mmu: Mmu) -> list[int]:
    machine = Machine(image_of(steps), mmu=mmu)
    assert machine.run(timeout_s=20).exit_value == 0
    return results_of(machine, WORDS)


@pytest.mark.parametrize("name", STEPS)
def test_what_is_seen(name: str, mmu: Mmu) -> None:
    ours = here(STEPS[name], mmu)
    assert ours == on_qemu(STEPS[name])
    assert any(ours)


@pytest.mark.parametrize("name", FAULTS)
def test_what_faults(name: str, mmu: Mmu) -> None:
    steps = f"after over\n{FAULTS[name]}\n over:\n movl %cr2, %ebx\n put ebx\n"
    ours, theirs = here(steps, mmu), on_qemu(steps)
    assert ours == theirs
    assert 14 in ours
