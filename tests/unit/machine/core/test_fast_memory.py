"""Guests whose accesses meet every kind of page: they end the same whether the host's instructions make them or the engine does.

Each runs with the first 4 MiB mapped to themselves, the log, and from HIGH on pages of all kinds (`tests.helpers.three_memories`). What is
compared is all of RAM, with the A and D bits of page tables, the registers, the exceptions that were logged, the output and the number of
instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.helpers.guest import ENABLE_SSE
from tests.helpers.page_tables import P, PageTables, U, W, enable_paging
from tests.helpers.three_memories import (
    MEMORIES,
    OF_THE_CORE,
    RAM,
    compared,
    logged,
    window_of,
)

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

HIGH: Final = 0x4000_0000
FRAMES: Final = 0x0030_0000
PAGE: Final = 0x1000
DEVICE, NOTHING, VIDEO = 5, 16, 11  # pages from HIGH on

SEGMENTS = r"""
        jmp     1f
        .data
        .balign 8
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cffa000000ffff, 0x00cff2000000ffff
tss_d:  .quad   0, 0
based:  .quad   0x40cf92001000ffff, 0x00009a000000ffff, 0x000092000000ffff
gdtr:   .word   . - gdt - 1
        .long   gdt
        .globl  tss0, tss1
tss0:   .skip   104
tss1:   .skip   104
        .text
        .macro  tss desc, at
        movl    $\at, %eax
        movw    $103, \desc
        movw    %ax, \desc+2
        shrl    $16, %eax
        movb    %al, \desc+4
        movb    $0x89, \desc+5
        movw    $0, \desc+6
        .endm
1:      tss     tss_d, tss0
        tss     tss_d+8, tss1
        lgdt    gdtr
        movw    $0x28, %ax
        ltr     %ax
        movl    $stack, tss0+4
        movl    $0x10, tss0+8
"""

GUESTS = {
    "a_and_d_cleared_in_place": """
        fstps   0x40000000
        fldt    0x40003000
        andl    $~0x40, 0x203000
        andl    $~0x20, 0x20300c
        movl    %eax, 0x40000000
        movl    0x40003000, %eax
        reload_cr3
        movl    0x203000, %eax
        log     eax
        movl    %ebx, 0x40000004
        movl    0x40003000, %ebx
        movl    0x203000, %eax
        log     eax
        movl    0x20300c, %eax
        log     eax
        reload_cr3
        fstps   0x40004000
        andl    $~0x20, 0x200400
        movl    0x40004000, %ebx
        reload_cr3
        movl    0x40004000, %ebx
        movl    0x200400, %eax
        log     eax
""",
    "write_protected_in_place": """
        fstps   0x40000000
        andl    $~2, 0x203000
        movl    0x40000000, %eax
        attempt movl %eax, 0x40000000
        reload_cr3
        attempt movl %eax, 0x40000004
        attempt movl %eax, 0x40000008
        movl    0x40000004, %eax
        log     eax
""",
    "write_protected_after_a_write": """
        movl    %eax, 0x40000000
        andl    $~2, 0x203000
        attempt movl %eax, 0x40000000
        attempt movl %ebx, 0x40000004
        reload_cr3
        attempt movl %eax, 0x40000004
        attempt movl %eax, 0x40000008
        movl    0x40000004, %eax
        log     eax
""",
    "mapped_anew": """
        movl    %eax, 0x40000000
        movl    $0x301003, 0x203000
        movl    0x40000000, %eax
        log     eax
        invlpg  0x40000000
        movl    0x40000000, %eax
        log     eax
        movl    $0x302003, 0x203000
        reload_cr3
        movl    0x40000000, %eax
        log     eax
        movl    $0, 0x203000
        reload_cr3
        attempt movl 0x40000000, %eax
        movl    $0x303003, 0x203000
        attempt movl 0x40000000, %eax
        log     eax
""",
    "cr0_wp_and_ts": """
        movl    $3, %ecx
1:      attempt movl %ecx, 0x40003000
        movl    %cr0, %eax
        xorl    $0x10000, %eax
        movl    %eax, %cr0
        movl    0x40003000, %eax
        log     eax
        movl    0x20300c, %eax
        log     eax
        decl    %ecx
        jnz     1b
        movl    $3, %ecx
2:      attempt movl %ecx, 0x40003000
        movl    0x40003000, %eax
        log     eax
        movl    %cr0, %eax
        xorl    $8, %eax
        movl    %eax, %cr0
        decl    %ecx
        jnz     2b
""",
    "paging_off_and_on": """
        movl    $4, %ecx
1:      movl    0x300000, %eax
        movl    %ecx, 0x300000
        movl    0x3ff000, %eax
        log     eax
        movl    %cr0, %eax
        xorl    $0x80000000, %eax
        movl    %eax, %cr0
        jmp     2f
2:      xorl    $0x1000, 0x2013fc+0xc00
        movl    %ecx, 0x3ff000
        decl    %ecx
        jnz     1b
        movl    $2, %ecx
        movl    %cr0, %eax
        andl    $0x7fffffff, %eax
        movl    %eax, %cr0
        movl    $0x2f0000, %esi
        movl    $0, (%esi)
        movl    $0x220000, %edi
        movl    %edi, %cr3
        movl    $0x83, 0x220000
        movl    $0x400083, 0x220004
        movl    0x300000, %eax
        log     eax
""",
    "two_directories": """
        # second directory: same tables, except HIGH's
        movl    $0x200000, %esi
        movl    $0x230000, %edi
        movl    $1024, %ecx
        rep     movsl
        movl    $0x203000, %esi
        movl    $0x231000, %edi
        movl    $1024, %ecx
        rep     movsl
        movl    $0x231003, 0x230400
        movl    $0x301003, 0x231000
        movl    $5, %ecx
        movl    $0x200000, %edx
1:      movl    0x40000000, %eax
        log     eax
        addl    %ecx, 0x40000000
        movl    %ecx, 0x40004000
        movl    $3, %ebx
        attempt movl %ecx, 0x40003000
        xorl    $0x30000, %edx
        movl    %edx, %cr3
        xorl    $0x5000, 0x231000
        decl    %ecx
        jnz     1b
""",
    "code_written_through_aliases": """
        movl    $0x300000, %edi
        movl    $0xc3909090, (%edi)  # plain write: shown
        movl    $0x40000000, %eax
        movl    $3, %ecx
1:      call    *%eax  # code in frame 0x300000 through alias
        movl    $0xc3404040, (%edi)  # through identity
        log     eax
        call    *%eax
        log     eax
        movl    $0x40000000, %eax
        movl    $0xc3484848, 0x4000e000  # alias
        call    *%eax
        log     eax
        movl    $0x40000000, %eax
        movl    $0xc3909090, (%edi)
        decl    %ecx
        jnz     1b
""",
    "stores_into_the_running_block": """
        movl    $4, %ecx
1:      movl    $0x90, %eax
        movb    $0x40+0, 2f
        movl    $0, %ebx
2:      nop
        nop
        log     eax
        movb    $0x48, 2b
        movb    $0x43, 3f+1
3:      nop
        nop
        log     ebx
        movb    $0x90, 3b+1
        decl    %ecx
        jnz     1b
""",
    "large_pages": """
        movl    $0x83, 0x200600  # 0x60000000 large -> 0
        movl    0x60300000, %eax
        log     eax
        movl    $7, 0x60300004
        movl    0x200600, %eax
        log     eax
        movl    $0x400083, 0x200600
        movl    0x60300000, %eax
        log     eax
        invlpg  0x60301000
        movl    0x60300000, %eax
        log     eax
        movl    %cr4, %eax
        xorl    $0x10, %eax
        movl    %eax, %cr4
        attempt movl 0x60300000, %ebx
        log     ebx
        movl    %cr4, %eax
        xorl    $0x10, %eax
        movl    %eax, %cr4
        attempt movl 0x60300000, %ebx
        log     ebx
        andl    $~0x60, 0x200600
        movl    %eax, 0x60300008
        reload_cr3
        movl    %eax, 0x60300008
        movl    0x200600, %eax
        log     eax
""",
    "a_directory_entry_changes": """
        movl    %eax, 0x40000000
        movl    0x200400, %eax
        movl    $0x206003, 0x200400
        movl    $0x305003, 0x206000
        movl    0x40000000, %ebx
        log     ebx
        reload_cr3
        movl    0x40000000, %ebx
        log     ebx
        andl    $~2, 0x200400
        reload_cr3
        attempt movl %ebx, 0x40000000
        movl    0x40000000, %ebx
        andl    $~0x20, 0x200400
        reload_cr3
        movl    0x40000000, %ebx
        movl    0x200400, %eax
        log     eax
""",
    "tables_that_map_themselves": """
        # page tables reachable via themselves; edits through window of D bits
        movl    $0x200003, 0x200ffc  # recursive
        reload_cr3
        movl    $3, %ecx
1:      movl    0xffd00000, %eax
        log     eax
        movl    %ecx, 0x40001000
        movl    0xffd00004, %eax
        log     eax
        movl    $0x304003, 0xffd00004
        invlpg  0x40001000
        movl    0x40001000, %ebx
        log     ebx
        movl    0xffd00004, %eax
        log     eax
        decl    %ecx
        jnz     1b
""",
    "rings_0_and_3": SEGMENTS
    + """
        movl    $7f, %eax
        movw    %ax, idt+8*31
        movw    $8, idt+8*31+2
        movw    $0xee00, idt+8*31+4
        shrl    $16, %eax
        movw    %ax, idt+8*31+6
        movl    0x4000a000, %eax
        movl    0x40000000, %ebx
        movl    %ebx, 0x4000a004
        movl    $3, %ecx
1:      pushl   $0x23
        pushl   $0x3fff00
        pushfl
        pushl   $0x1b
        pushl   $2f
        iret
2:      movl    $4f, go_on
        movl    %ecx, 0x4000a010
        movl    0x4000a004, %eax
        movl    %eax, 0x40000000
4:      movl    $6f, go_on
        movl    %ecx, 0x4000a020
        int     $0x1f
6:      hlt
7:      decl    %ecx
        addl    $20, %esp
        movl    0x4000a010, %eax
        log     eax
        incl    0x4000a010
        movl    %ecx, 0x40000004
        movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        testl   %ecx, %ecx
        jnz     1b
""",
    "task_switches": SEGMENTS
    + """
        movl    $0x200000, %esi
        movl    $0x230000, %edi
        movl    $1024, %ecx
        rep     movsl
        movl    $0x203000, %esi
        movl    $0x231000, %edi
        movl    $1024, %ecx
        rep     movsl
        movl    $0x231003, 0x230400
        movl    $0x301003, 0x231000
        movl    $0x230000, tss1+28
        movl    $9f, tss1+32
        movl    $2, tss1+36
        movl    $0x3e0000, tss1+56
        movl    $8, tss1+76
        movl    $0x10, tss1+72
        movl    $0x10, tss1+80
        movl    $0x10, tss1+84
        movl    $0x200000, tss0+28
        movl    0x40000000, %eax
        log     eax
        movl    $5, %ecx
1:      ljmp    $0x30, $0
        movl    0x40000000, %eax
        log     eax
        addl    $3, 0x40000000
        decl    %ecx
        jnz     1b
        hlt
9:      movl    0x40000000, %eax
        log     eax
        addl    $5, 0x40000000
        movl    %eax, 0x40004000
        ljmp    $0x28, $0
        jmp     9b
""",
    "segment_bases": SEGMENTS
    + """
        movl    $0x38, %eax
        movw    %ax, %fs
        movw    %ax, %es
        movl    $3, %ecx
1:      movl    $0x12345678, %fs:(0)  # base 0x40001000
        movl    %fs:(4), %ebx
        movl    %es:(8), %edx
        movl    $0x8, %edi
        stosl
        movl    %ebx, %fs:(0xffffefff)
        movl    %ebx, %fs:(0xfffff000)
        movl    %fs:(0xbffff002-0x1000), %ebx
        movl    %ebx, %fs:(0xbfffeffc)
        movw    %cs:go_on, %ax
        decl    %ecx
        jnz     1b
        movw    $0x10, %ax
        movw    %ax, %ds
        log     ebx
        log     edx
""",
    "string_instructions": """
        movl    $0x40000ff0, %edi
        movl    $0x300000, %esi
        movl    $8, %ecx
        rep     movsl
        log     ecx
        log     edi
        movl    $0x40000ffa, %edi
        movl    $0x40000000, %esi
        movl    $4, %ecx
        rep     movsl
        log     edi
        movl    $0x40001ff0, %edi
        movl    $20, %ecx
        attempt rep stosl  # into absent
        log     ecx
        log     edi
        movl    $0x40002ff0, %esi
        movl    $0x300000, %edi
        movl    $20, %ecx
        attempt rep movsl
        log     ecx
        movl    $0x40000ff0, %esi
        movl    $0x40000000, %edi
        movl    $0x900, %ecx
        attempt rep movsb
        log     ecx
        std
        movl    $0x40001010, %edi
        movl    $0x40001010, %esi
        movl    $20, %ecx
        rep     movsl
        log     edi
        movl    $0x40003008, %edi
        movl    $20, %ecx
        attempt rep stosl  # read only
        log     ecx
        movl    $0x40004008, %edi
        movl    $20, %ecx
        attempt rep stosl  # rw then ro
        log     ecx
        cld
        movl    $0x40000f00, %edi
        movl    $0x300f00, %esi
        movl    $0x200, %ecx
        attempt repe cmpsb
        log     ecx
        movl    $0x40000f00, %edi
        movb    $0x5b, %al
        movl    $0x2000, %ecx
        attempt repne scasb
        log     ecx
        movl    $0x4000cff0, %edi
        movl    $0x1f0, %ecx
        rep     stosl
        movl    $0x40006ff0, %edi
        movl    $0x8, %ecx
        rep     stosl  # into ROM
        movl    $0x40009ff0, %esi
        movl    $0x40000000, %edi
        movl    $40, %ecx
        rep     movsw
        movl    $0xfffffff0, %edi
        movl    $0x10, %ecx
        attempt rep stosb
        movl    $0xfffffff8, %edi
        movl    $4, %ecx
        attempt rep stosl
        log     edi
        movl    0, %eax
        log     eax
        movl    $0x1f0, %edx
        movl    $0x40000ffc, %edi
        movl    $4, %ecx
        rep     insw
        movl    $0xe9, %edx
        movl    $0x40000ffc, %esi
        movl    $8, %ecx
        rep     outsb
        movl    $0x40001ffc, %edi
        movl    $4, %ecx
        attempt rep insw
        log     ecx
        movl    $0x40001ffc, %esi
        movl    $8, %ecx
        attempt rep outsb
        log     ecx
""",
    "the_end_of_the_address_space": """
        movl    $4, %ecx
1:      movl    $0, %esp
        pushl   %ecx
        movl    $2, %esp
        attempt_at 2f
        pushl   %ecx
2:      movl    $0xfffffffe, %esp
        attempt_at 3f
        popl    %eax
3:      movl    $stack, %esp
        log     eax
        movl    $0xfffffffd, %esi
        attempt_at 4f
        movl    (%esi), %ebx
        movl    %ebx, -1(%esi)
        addl    $1, 4(%esi)
4:      log     ebx
        movups  -8(%esi), %xmm0
        attempt movups %xmm0, -3(%esi)
        attempt movups (%esi), %xmm0
        attempt movups %xmm0, 1(%esi)
        attempt fldl -2(%esi)
        attempt fstpl -2(%esi)
        attempt lfs -1(%esi), %edx
        log     edx
        decl    %ecx
        jnz     1b
""",
}

ENTRY_STORES = (  # of EDX to the entry at EDI; EBP is where it lies, too
    "movl %edx, (%edi)",
    "movb %dh, 1(%edi)",
    "movl %edx, %eax; shrl $8, %eax; movw %ax, 1(%edi)",
    "movl %edx, (%ebp)",
    "movl %edx, %eax; stosl",
    "pushl %edx; movl %esp, %esi; movsl; popl %edx",
    "leal 4(%edi), %esp; pushl %edx; movl $stack, %esp",
    "movl %edx, %eax; xchgl %eax, (%edi)",
    "movl (%edi), %eax; lock cmpxchgl %edx, (%edi)",
    "pushl %edx; fildl (%esp); fistpl (%edi); popl %edx",
    "movups (%edi), %xmm0; pushl %edx; movss (%esp), %xmm1; movss %xmm1, %xmm0; movups %xmm0, (%edi); popl %edx",
    "movups -8(%edi), %xmm0; movups %xmm0, 8(%ebp); movl %edx, 8+8(%ebp); movups 8(%ebp), %xmm0; movups %xmm0, -8(%edi)",
    "movl %edx, 0x330010; movl $0x301063, 0x330004; movl 0x200400, %esi; movl $0x330023, 0x200400",
)
# What is at an address before a load of CR3 and after it; in between the entry of the second page and that of the directory change.
GUESTS["entries_change_before_the_next_access"] = "\n".join(
    f"""
        movl    $0x203003, 0x201ff8
        movl    $0x3fe010, %ebp
        movl    $0x203010, %edi
        movl    $3, %ecx
1:      incl    0x40004000
        incl    0x40001000
        reload_cr3
        movl    %ecx, %edx
        shll    $12, %edx
        orl     $0x308063, %edx
        xorl    %esi, %esi
        {store}
        incl    0x40004000
        incl    0x40001000
        movl    0x40004000, %ebx
        log     ebx
        testl   %esi, %esi
        jz      2f
        movl    $0x203023, 0x200400
2:      movl    $0x304003, 0x203010
        invlpg  0x40004000
        movl    $0x203010, %edi
        decl    %ecx
        jnz     1b
"""
    for store in ENTRY_STORES
)
GUESTS["a_frame_that_held_entries_is_used_again"] = """
        movl    $0x330003, 0x200404
        movl    $0x304003, 0x330000
        movl    $4, %ecx
1:      incl    0x40400000
        reload_cr3
        incl    0x40400000
        movl    $0, 0x200404
        reload_cr3
        movl    $0x330000, %edi
        movl    $0x400, %edx
2:      addl    %edx, (%edi)
        addl    $4, %edi
        decl    %edx
        jnz     2b
        movl    0x330ffc, %eax
        log     eax
        movl    $0x330003, 0x200404
        movl    $0x305003, 0x330000
        decl    %ecx
        jnz     1b
"""

# Functions in frames: they return a number, which for one that lies over the end of a page is in its second frame.
FUNCTIONS = """
        movl    $0x000001b8, 0x304000
        movl    $0x0000c300, 0x304004
        movl    $0x000002b8, 0x308000
        movl    $0x0000c300, 0x308004
        movl    $0xb8909090, 0x300ffc
        movl    $3, 0x301000
        movl    $0xc3, 0x301004
        movl    $4, 0x306000
        movl    $0xc3, 0x306004
"""
# Where a jump leads to before a load of CR3 and after it; in between the entry of its page changes, or that of the page where its block ends.
GUESTS["entries_change_before_the_next_jump"] = FUNCTIONS + "".join(
    f"""
        movl    $4, %ecx
1:      movl    ${function:#x}, %edx
        call    *%edx
        log     eax
        reload_cr3
        call    *%edx
        log     eax
        reload_cr3
        movl    ${FRAMES + frame * PAGE + 3:#x}, 0x2030{4 * page:02x}
        call    *%edx
        log     eax
        reload_cr3
        call    *%edx
        log     eax
        movl    ${FRAMES + page * PAGE + 3:#x}, 0x2030{4 * page:02x}
        reload_cr3
        call    *%edx
        log     eax
        andl    $~0x20, 0x2030{4 * page:02x}
        reload_cr3
        call    *%edx
        movl    0x2030{4 * page:02x}, %ebx
        log     ebx
        movl    ${FRAMES + frame * PAGE + 3:#x}, 0x2030{4 * page:02x}
        invlpg  {HIGH + page * PAGE:#x}
        call    *%edx
        log     eax
        movl    ${FRAMES + page * PAGE + 3:#x}, 0x2030{4 * page:02x}
        invlpg  {HIGH + page * PAGE:#x}
        decl    %ecx
        jnz     1b
"""
    for function, page, frame in ((HIGH + 4 * PAGE, 4, 8), (HIGH + PAGE - 1, 1, 6))
)

OF_THE_CORE_ONLY = {
    "a_and_d_cleared_in_place",  # Unicorn's own MMU empties its TLB at other times
    "stores_into_the_running_block",  # instructions are counted otherwise there
    "the_end_of_the_address_space",  # Unicorn's own MMU has 64 bits there
}


def map_pages(machine: Machine) -> None:
    """Make the page tables, and fill the frames."""
    tables = PageTables(machine.memory)
    for page in (*range(0, 0x40_0000, PAGE), *range(0x5F_0000, 0x62_0000, PAGE)):
        tables.map(page, page)
    frames = {
        7: 0xF_0000,
        9: RAM.end - PAGE,
        14: FRAMES,
        15: 0xB_8000,
        DEVICE: 0xFEC0_0000,
        VIDEO: 0xA_0000,
        NOTHING: 0xF0_0000,
    }
    flags = {3: P, 10: P | W | U}
    for number in (0, 1, *range(3, 17)):  # page 2 is absent
        tables.map(HIGH + PAGE * number, frames.get(number, FRAMES + PAGE * number), flags.get(number, P | W))
    tables.map(0xFFFF_F000, FRAMES + 17 * PAGE)
    tables.map(0, FRAMES + 18 * PAGE)
    for page in range(0x10_0000 >> 12, 0x10_8000 >> 12):  # code and stack in rings 0 and 3
        tables.map(page << 12, page << 12, P | W | U)
    machine.memory.store_words(
        FRAMES, [(4 * i * 0x9E37_79B1 + 0x0123_4567) & 0xFFFF_FFFF for i in range(0x8000)]
    )
    machine.memory.write(FRAMES + 13 * PAGE, b"\xc3" * 4)  # a page with code
    machine.memory.write(FRAMES + 13 * PAGE + 0xFF8, b"\x90" * 8)


def paged(source: str, *, write_protect: bool = True) -> str:
    """Return the guest that runs so."""
    return (
        enable_paging(write_protect=write_protect)
        + ENABLE_SSE
        + "        faults\n        fninit\n        xorl %eax, %eax\n"
        + source
        + "\n        hlt\n"
    )


@pytest.mark.parametrize("name", GUESTS)
def test_a_guest(name: str) -> None:
    machine = compared(
        paged(GUESTS[name]), map_pages, memories=OF_THE_CORE if name in OF_THE_CORE_ONLY else MEMORIES
    )
    assert window_of(machine)[0] > 0
    assert logged(machine)


WAYS = {  # what is done with the memory at ESI; one instruction each is met by every pair of pages
    "bytes": (
        "movb (%esi), %al",
        "movb %al, (%esi)",
        "movb %ah, (%esi)",
        "movb $0x5a, (%esi)",
        "movsbl (%esi), %eax",
        "lodsb",
    ),
    "words of 16 bits": (
        "movw (%esi), %ax",
        "movw %ax, (%esi)",
        "movw $0x5aa5, (%esi)",
        "movzwl (%esi), %eax",
        "movswl (%esi), %eax",
    ),
    "words of 32 bits": (
        "movl (%esi), %eax",
        "movl %eax, (%esi)",
        "movl $0x89abcdef, (%esi)",
        "addl %eax, (%esi)",
        "pushl (%esi)",
        "popl (%esi)",
    ),
    "bits": (
        "btsl %edx, (%esi)",
        "shldl $3, %eax, (%esi)",
        "boundl %eax, (%esi)",
        "lfs (%esi), %eax",
        "verr (%esi)",
    ),
    "locked": (
        "lock addl %eax, (%esi)",
        "lock cmpxchgl %ebx, (%esi)",
        "lock cmpxchg8b (%esi)",
        "xchgl %eax, (%esi)",
        "lock btsl $3, (%esi)",
    ),
    "the FPU": (
        "fldt (%esi)",
        "fstpt (%esi)",
        "fldl (%esi)",
        "fstpl (%esi)",
        "flds (%esi)",
        "fistpll (%esi)",
        "fnstcw (%esi)",
    ),
    "SSE": (
        "movq (%esi), %xmm0",
        "movq %xmm0, (%esi)",
        "movups (%esi), %xmm0",
        "movups %xmm0, (%esi)",
        "movaps %xmm1, (%esi)",
        "movq (%esi), %mm0",
    ),
    "strings": (
        "leal -0x200(%esi), %edi; movsl",
        "movl %esi, %edi; stosl",
        "leal 0x40(%esi), %edi; cmpsl",
        "movl %esi, %edi; scasw",
    ),
    "ports": ("movl %esi, %edi; movl $0x80, %edx; insl", "movl $0xe9, %edx; outsl"),
    "system": (
        "sgdt (%esi)",
        "smsw (%esi)",
        "fxsave (%esi)",
        "invlpg (%esi)",
        "movl %esi, %ebp; leave; movl $stack, %esp",
    ),
}
STACKS = {  # a fault in these cannot be delivered, and ends the run
    "pushl": "leal 4(%esi), %esp; pushl %eax",
    "pushw": "leal 2(%esi), %esp; pushw %ax",
    "popl": "movl %esi, %esp; popl %eax",
    "pushal": "leal 32(%esi), %esp; pushal",
    "popal": "movl %esi, %esp; popal",
    "enter": "movl %esi, %esp; movl $stack, %ebp; enter $8, $2",
    "call": "leal 4(%esi), %esp; call 3f; 3:",
    "far call": "leal 8(%esi), %esp; lcall $8, $3f; 3:",
    "popfl": "movl %esi, %esp; popfl",
}
ENDS = [HIGH + PAGE * page - before for page in range(1, 18) for before in (2, 7)]
INSIDE = [HIGH + PAGE * page + 0x80 for page in range(17)]
TARGETS = [*ENDS, *INSIDE, 0xFFFF_FFFE, 0xFFFF_FFF9, 0xFFFF_FF80]


def is_near(target: int, *pages: int) -> bool:
    return any(HIGH + PAGE * page - 0x220 < target < HIGH + PAGE * (page + 1) for page in pages)


OF_MEMORY = [
    target for target in TARGETS if not is_near(target, DEVICE, NOTHING, VIDEO) and target < 0xFFFF_0000
]


def access(way: str, target: int) -> str:
    """Three times, first in a page that the window shows by then: so the host's instruction meets the target."""
    return f"""
        movl    $0x{HIGH + 0x100:x}, %esi
        movl    $3, %ecx
        movl    $0x13579bdf, %eax
        attempt_at 2f
1:      movl    $0x2468ace0, %ebx
        movl    $0x23, %edx
        {way}
2:      movl    $stack, %esp
        movl    $0x{target:x}, %esi
        decl    %ecx
        jnz     1b
        log     eax
        fninit
    """


FETCHED = f"        movl ${HIGH + PAGE * 13}, %eax\n        call *%eax\n"


@pytest.mark.parametrize("ways", WAYS)
def test_accesses_over_the_ends_of_pages(ways: str) -> None:
    write_protect = ways != "words of 32 bits"
    for memories, targets in ((OF_THE_CORE, TARGETS), (MEMORIES, OF_MEMORY)):
        source = FETCHED + "".join(access(way, target) for way in WAYS[ways] for target in targets)
        machine = compared(paged(source, write_protect=write_protect), map_pages, memories=memories)
        assert window_of(machine)[0] > 3
        assert len(logged(machine)) > len(targets) * len(WAYS[ways])


@pytest.mark.parametrize("way", STACKS)
def test_a_stack_over_the_end_of_a_page(way: str) -> None:
    endings = set()
    for target in (HIGH + 0x200, *ENDS[2::4], HIGH + PAGE * 3 + 0x80, HIGH + PAGE * 13 + 0x80, 0xFFFF_FFFE):
        is_plain = not is_near(target, DEVICE, NOTHING, VIDEO) and target < 0xFFFF_0000
        source = FETCHED + access(STACKS[way], target)
        machine = compared(paged(source), map_pages, memories=MEMORIES if is_plain else OF_THE_CORE)
        endings.add((machine.cpu.registers().eip, logged(machine)))
    assert len(endings) > 1


# Entries of the first level change, and bit 63 is reserved once more.
THREE_LEVELS = """
        faults
        movl    $0x230000, %edi
        xorl    %eax, %eax
        movl    $0x4000, %ecx
        rep     stosl
        # pdpt 0x230000, pd 0x231000 (0..1G), pd' 0x232000, pt 0x233000, pt' 0x234000
        movl    $0x231001, 0x230000
        movl    $0x232001, 0x230008
        movl    $0x000083, 0x231000  # 0..2M large
        movl    $0x200083, 0x231008
        movl    $0x400083, 0x231010
        movl    $0x600083, 0x231018
        movl    $0x233003, 0x232000  # 0x40000000
        movl    $0x234003, 0x235000  # another pd
        movl    $0x300003, 0x233000
        movl    $0x301003, 0x233008
        movl    $0x302003, 0x234000
        movl    $0x11111111, 0x300000
        movl    $0x22222222, 0x301000
        movl    $0x33333333, 0x302000
        movl    %cr4, %eax
        orl     $0x20, %eax
        movl    %eax, %cr4
        movl    $0x230000, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        jmp     1f
1:      movl    0x40000000, %eax
        log     eax
        movl    %eax, 0x40001004
        movl    $0x235001, 0x230008
        movl    0x40000000, %eax
        reload_cr3
        movl    0x40000000, %eax
        log     eax
        attempt movl 0x40001000, %ebx
        log     ebx
        movl    $0x232001, 0x230008
        reload_cr3
        movl    0x40000000, %eax
        log     eax
        # NXE
        movl    $0xc0000080, %ecx
        rdmsr
        orl     $0x800, %eax
        wrmsr
        movl    $0x80000000, 0x233004
        invlpg  0x40000000
        movl    0x40000000, %eax
        log     eax
        movl    $5, 0x40000000
        movl    $0xc0000080, %ecx
        rdmsr
        andl    $~0x800, %eax
        wrmsr
        reload_cr3
        attempt movl 0x40000000, %eax
        log     eax
        attempt movl %eax, 0x40000004
        hlt
"""


def test_page_tables_of_three_levels() -> None:
    assert window_of(compared(THREE_LEVELS))[0] > 1


# What is at an address before a load of CR3 and after it; in between an entry of each of the levels changes, and is what it was in the next round.
THREE_LEVELS_CHANGE = (
    THREE_LEVELS.partition("1:      movl")[0]
    + """
1:      movl    $0x234003, 0x236000  # two more tables: the first of the frames is another one
        movl    $0x302003, 0x234000
        movl    $0x303003, 0x237000
        movl    $0x237003, 0x238000
        movl    $0x304003, 0x239000
        movl    $0x239003, 0x23a000
        movl    $9, %ecx
1:      """
    + "".join(
        f"""
        incl    0x40000000
        reload_cr3
        movl    ${there}, {at}
        incl    0x40000000
        movl    0x40000000, %eax
        log     eax
        movl    ${back}, {at}
        incl    0x40000000
        reload_cr3
        incl    0x40000000
"""
        for at, back, there in (
            ("0x230008", "0x232001", "0x238001"),
            ("0x232000", "0x233003", "0x239003"),
            ("0x233000", "0x300003", "0x303003"),
            ("0x230008", "0x232001", "0x23a001"),
        )
    )
    + """
        decl    %ecx
        jnz     1b
        hlt
"""
)


def test_page_tables_of_three_levels_change_before_the_next_access() -> None:
    assert window_of(compared(THREE_LEVELS_CHANGE))[0] > 1
