"""With gate A20 off, bit 20 of addresses is 0, as in QEMU: of data, code and page tables, whoever has switched it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.port_guests import lines_here, lines_in_qemu

if TYPE_CHECKING:
    from pathlib import Path

# The guest runs in the second MiB: it is copied to the first, where it goes on while the gate is off. What is copied are its
# code, data and stack, so that what is written there with the gate on is not there with the gate off, and the other way round.
START = """
        .macro  word value
        movl    \\value, %eax
        call    print_word
        .endm
        .macro  show
        word    0x80000
        word    0x180000
        word    0x27fffe                # its upper half is at 0x280000
        word    0x37fffe
        line
        .endm
print_word:
        movl    $4, %ecx
1:      roll    $8, %eax
        call    print_byte
        loop    1b
        ret
guest:  cld
        movl    $0x100000, %esi
        xorl    %edi, %edi
        movl    $0x4000, %ecx
        rep     movsl
        movl    $0x11111111, 0x80000
        movl    $0x22222222, 0x180000
        movl    $0x33333333, 0x27fffe
        movl    $0x44444444, 0x37fffe
        show
"""
SWITCHES = {
    "port 92": ("write 0x92, 0\n", "write 0x92, 2\n"),
    "output port": ("write 0x64, 0xd1\n write 0x60, 0xcd\n", "write 0x64, 0xd1\n write 0x60, 0xcf\n"),
    "commands": ("write 0x64, 0xdd\n", "write 0x64, 0xdf\n"),
    "both": ("write 0x92, 0\n write 0x64, 0xdd\n", "write 0x92, 2\n"),
}
OFF_AND_ON = """
        {off}
        show
        movl    $0x55555555, 0x180000
        movl    $0x66666666, 0x37fffe
        show
        {on}
        show
        movl    $0x77777777, 0x180000
        show
"""
# Two pages with different code, one MiB apart, called with the gate on and off, before and after they are written to.
CODE = """
        .macro  routine at, value
        movb    $0xb8, \\at             # movl $value, %eax
        movl    $\\value, \\at + 1
        movb    $0xc3, \\at + 5         # ret
        .endm
        .macro  run
        movl    $0x90000, %ebx
        call    *%ebx
        call    print_word
        movl    $0x190000, %ebx
        call    *%ebx
        call    print_word
        line
        .endm
        routine 0x90000, 0x1111
        routine 0x190000, 0x2222
        run
        {off}
        run
        routine 0x190000, 0x3333
        run
        {on}
        run
        routine 0x190000, 0x4444
        run
        {off}
        run
        {on}
"""
# Pages: a directory at 0x170000, its tables after it, page 0x400000 at 0x180000; those one MiB lower lead elsewhere.
PAGING = """
        .macro  tables at, page
        movl    $\\at, %edi
        movl    $\\page, %eax
        call    make_tables
        .endm
        .macro  flat
        movl    %cr0, %eax
        andl    $0x7fffffff, %eax
        movl    %eax, %cr0
        .endm
        .macro  look
        word    0x400000
        word    0x180000
        word    0x80000
        word    0x980000                # in large pages of which bit 20 is in the offset
        word    0x880000
        word    0xb80000
        line
        .endm
        jmp     paged
make_tables:                            # EDI: the directory; EAX: where page 0x400000 lies
        pushl   %eax
        leal    0x1000+3(%edi), %eax
        movl    %eax, (%edi)
        addl    $0x1000, %eax
        movl    %eax, 4(%edi)
        movl    $0x83, 8(%edi)          # 4 MiB at 0
        movl    $0x400083, 12(%edi)
        popl    %eax
        orl     $3, %eax
        movl    %eax, 0x2000(%edi)
        addl    $0x1000, %edi
        movl    $3, %eax
1:      movl    %eax, (%edi)
        addl    $4, %edi
        addl    $0x1000, %eax
        cmpl    $0x400003, %eax
        jb      1b
        ret
paged:  movl    $0x11111111, 0x80000
        movl    $0x22222222, 0x180000
        movl    $0x33333333, 0x280000
        tables  0x070000, 0x280000
        tables  0x170000, 0x180000
        paging  0x170000
        look
        {off}
        look
        movl    $0x55555555, 0x400000
        look
        {on}
        look
        flat
"""


def guest(off: str, on: str) -> str:
    return START + OFF_AND_ON.format(off=off, on=on) + CODE.format(off=off, on=on) + "exit 0\n"


@pytest.mark.parametrize("switch", SWITCHES)
def test_memory_and_code(switch: str, tmp_path: Path) -> None:
    source = guest(*SWITCHES[switch])
    here = lines_here(source)
    assert here == lines_in_qemu(source, tmp_path)
    assert here == lines_here(source, mmu="reference")
    assert "11111111 11111111" not in here[0]


def small_pages(lines: list[str]) -> list[str]:
    """Return what was read by tables: Unicorn's own MMU lets the offset in a large page pass the gate."""
    return [line[: 3 * 12] for line in lines]


@pytest.mark.parametrize("switch", SWITCHES)
def test_page_tables(switch: str, tmp_path: Path) -> None:
    off, on = SWITCHES[switch]
    source = START + PAGING.format(off=off, on=on) + "exit 0\n"
    here = lines_here(source)
    assert here == lines_in_qemu(source, tmp_path)
    assert small_pages(here) == small_pages(lines_here(source, mmu="reference"))
