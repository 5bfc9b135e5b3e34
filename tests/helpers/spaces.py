"""Guests with two address spaces: below 4 MiB both are the memory as it is, the two pages at 2 GiB are each space's own.

`two_spaces` switches paging on and goes on in the first space, at the end of its stack. `give_way` lets the other task go on, which
begins at `task`; `current` is 0 in the first and 1 in the second. Nothing but EBP is kept.
"""

from __future__ import annotations

_DATA = """
        .bss
        .balign 4096
frames: .skip   4 * 4096                        # the stacks, those of the second space after those of the first
spare:  .skip   2 * 4096
directories:
        .skip   2 * 4096
tables: .skip   2 * 4096
saved:  .skip   8
current:
        .skip   4
        .text
"""
_START = """
        .irp    space, 0, 1
        movl    $0x83, directories + 0x1000 * \\space
        movl    $tables + 0x1000 * \\space + 7, directories + 0x1000 * \\space + 0x800
        movl    $frames + 0x2000 * \\space + 7, tables + 0x1000 * \\space
        movl    $frames + 0x2000 * \\space + 0x1007, tables + 0x1000 * \\space + 4
        .endr
        movl    $task, frames + 0x3ffc
        movl    $0x80001ff8, saved + 4          # where EBP lies, 0
        movl    $directories, %eax
        movl    %eax, %cr3
        movl    %cr4, %eax
        orl     $0x10, %eax                     # PSE
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x80010000, %eax               # PG, WP
        movl    %eax, %cr0
        movl    $0x80002000, %esp
        xorl    %ebp, %ebp
        jmp     task
"""
_BY_CR3 = """
        imull   $0x1000, %ecx, %eax
        addl    $directories, %eax
        movl    %eax, %cr3
"""
_BY_ENTRIES = """
        imull   $0x2000, %ecx, %eax
        addl    $frames + 7, %eax
        movl    %eax, tables
        addl    $0x1000, %eax
        movl    %eax, tables + 4
        invlpg  0x80000000
        invlpg  0x80001000
"""
_GIVE_WAY = """
give_way:
        pushl   %ebp
        movl    current, %ecx
        movl    %esp, saved(, %ecx, 4)
        xorl    $1, %ecx
        movl    %ecx, current
        {switch}
        movl    saved(, %ecx, 4), %esp
        popl    %ebp
        ret
"""


def two_spaces(tasks: str, *, by_entries: bool = False) -> str:
    """Return a guest of two tasks.

    Args:
        tasks: Their code, with a label `task`.
        by_entries: Not CR3 is switched, but the entries for the stacks are, in one directory.
    """
    return _DATA + _START + _GIVE_WAY.format(switch=_BY_ENTRIES if by_entries else _BY_CR3) + tasks
