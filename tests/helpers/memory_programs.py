"""Random programs of memory accesses over pages of all states, which change their page tables as they go.

A program is made of choices, each a few numbers: whatever these are, it can run. Its code, its tables and its log are mapped to
themselves, for both rings; from HIGH on lie pages in two address spaces. Half of the accesses are made in ring 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.helpers.guest import ENABLE_SSE

if TYPE_CHECKING:
    from collections.abc import Callable

PAGES: Final = 12
HIGH: Final = 0x4000_0000
FRAMES: Final = 0x0030_0000
DIRECTORIES: Final = (0x0020_0000, 0x0020_4000)
END: Final = 0x0062_0000
_TABLES = (0x0020_3000, 0x0020_5000)
_PAGE = 0x1000

Choice = tuple[int, int, int, int]
"""What to do, and three numbers that mean whatever that needs."""

_POP = "popl %eax"
"""Always of ring 3: in ring 0 there would be no place for the frame of a fault."""

_LOADS = (
    "movb (%esi), %al",
    "movzwl (%esi), %eax",
    "movl (%esi), %eax",
    "fldl (%esi)",
    "movups (%esi), %xmm0",
    _POP,
    "fldt (%esi)",
)
_STORES = (
    "movb %al, (%esi)", "movw %ax, (%esi)", "movl %eax, (%esi)", "movb %ah, (%esi)", "movl $0x12345678, (%esi)", "addl %eax, (%esi)",
    "lock xaddl %eax, (%esi)", "fstpl (%esi)", "movups %xmm0, (%esi)", "fstpt (%esi)", "movsl", "stosl", "btsl $3, (%esi)", "xchgl %eax, (%esi)",
)  # fmt: skip


def entry(a: int, b: int, *, devices: bool) -> int:
    """Return a page table entry: what a page is, of some frame."""
    frame = FRAMES + _PAGE * (b % 8)
    kinds = [frame | 3, frame | 7, frame | 1, 0, frame | 7, frame | 0x63, frame | 0x23, frame | 0x61]
    kinds += [frame | 5, frame | 0x67, frame | 0x27, frame | 0x65]
    if devices:
        kinds += [0xFEC0_0003, 0x000F_0003, 0x000A_0003, 0x000B_8003]
    return kinds[a % len(kinds)]


def program(choices: list[Choice], *, devices: bool = True) -> str:
    """Return a guest that makes its page tables, does what was chosen, and halts; each ``pause`` halts, too."""

    def entry_of(space: int, page: int) -> int:
        return entry(page * 5 + space, page * 3 + space, devices=devices)

    return guest_of([line for choice in choices for line in _of(choice, devices)], entry_of)


def guest_of(steps: list[str], entry_of: Callable[[int, int], int]) -> str:
    """Return a guest that makes its page tables, takes some steps in ring 0, and halts.

    Args:
        steps: Lines of assembly; `in_ring_3` puts some into ring 3.
        entry_of: Returns the page table entry of a page from `HIGH` on, from the number of the address space, 0 or 1, and that of the page.
    """
    entries = [
        f"movl $0x{entry_of(space, page):x}, 0x{table_entry_at(space, page):x}"
        for space in range(2)
        for page in range(PAGES)
    ]
    return "\n        ".join([_SETUP, *entries, _START, *steps, "9:", "hlt", "jmp 9b", ""])


def _of(choice: Choice, devices: bool) -> list[str]:  # noqa: PLR0911 - one for each kind
    what, a, b, c = choice
    page, table = a % PAGES, _TABLES[b & 1]
    at = HIGH + _PAGE * page + (c % _PAGE if c & 0x8000 else (_PAGE - 1 - c % 16) % _PAGE)
    match what % 12:
        case 0 | 1 | 2:
            load = _LOADS[b % len(_LOADS)]
            made = _looped(load, at, c)
            return in_ring_3(*made) if b & 0x100 or load == _POP else made
        case 3 | 4 | 5:
            made = _looped(_STORES[b % len(_STORES)], at, c)
            return in_ring_3(*made) if b & 0x100 else made
        case 6:
            value = entry(c, c >> 4, devices=devices)
            use = [f"attempt movl 0x{at & -_PAGE:x}, %eax", "log eax", f"attempt incl 0x{at & -_PAGE | 8:x}"]
            return [
                *use,
                f"movl $0x{value:x}, 0x{table + 4 * page:x}",
                f"invlpg 0x{HIGH + _PAGE * page:x}",
                *use,
            ]
        case 7:
            return [f"movl $0x{DIRECTORIES[b & 1]:x}, %eax", "movl %eax, %cr3"]
        case 8:
            return ["movl %cr0, %eax", "xorl $0x10000, %eax", "movl %eax, %cr0"]
        case 9:
            string = ("rep stosb", "rep movsb", "rep movsl", "repe cmpsb", "repne scasb")[b % 5]
            made = [
                f"movl $0x{at:x}, %edi",
                f"movl $0x{FRAMES + c % 0x6000:x}, %esi",
                f"movl ${c % 5000}, %ecx",
                f"attempt {string}",
                "log ecx",
            ]
            return in_ring_3(*made) if b & 0x100 else made
        case 10:
            return _off(b, c)
        case _:
            return ["hlt"]


def in_ring_3(*lines: str) -> list[str]:
    """Return lines that ring 3 executes."""
    return ["in_ring_3", *lines, "int $31"]


def table_entry_at(space: int, page: int) -> int:
    """Return where the entry of a page from `HIGH` on lies."""
    return _TABLES[space] + 4 * page


def _looped(instruction: str, at: int, c: int) -> list[str]:
    """Twice, first where it can be made by one instruction of the host."""
    first = FRAMES + 0x100 + c % 0x700
    again = ["movl %esi, %edi", "movl %esi, %esp"] if instruction == _POP else ["leal 8(%esi), %edi"]
    return [
        f"movl $0x{first:x}, %esi", "movl $2, %ebx", "attempt_at 2f", "1:", "fninit", "fld1", *again, instruction, "2:",
        "movl $stack, %esp", f"movl $0x{at:x}, %esi", "decl %ebx", "jnz 1b", "log eax",
    ]  # fmt: skip


def _off(b: int, c: int) -> list[str]:
    """Paging is off for a store, and on again."""
    return ["movl %cr0, %eax", "andl $0x7fffffff, %eax", "movl %eax, %cr0", f"addl $0x{c:x}, 0x{FRAMES + _PAGE * (b % 8) + c % 0xFF0:x}",
            "orl $0x80000000, %eax", "movl %eax, %cr0"]  # fmt: skip


_SETUP = f"""
        movl    $0x{DIRECTORIES[0]:x}, %edi
        xorl    %eax, %eax
        movl    $0x1800, %ecx
        cld
        rep stosl
        movl    $0x5f0000, %edi
        movl    $0xc000, %ecx
        rep stosl
        movl    $0x201000, %edi
        movl    $7, %eax
        movl    $1024, %ecx
1:      stosl
        addl    $0x1000, %eax
        loop    1b
        movl    $0x202000 + 4 * 0x1f0, %edi
        movl    $0x5f0007, %eax
        movl    $0x30, %ecx
1:      stosl
        addl    $0x1000, %eax
        loop    1b
        movl    $0x{FRAMES:x}, %edi
        movl    $0x12345, %eax
        movl    $0x4000, %ecx
1:      stosl
        imull   $0x41c64e6d, %eax
        addl    $0x3039, %eax
        loop    1b
        movl    $0xc3c3c3c3, 0x{FRAMES + 0x7000:x}
        movl    $0x{FRAMES + 0x7000:x}, %eax
        call    *%eax
        movl    $0x201007, 0x{DIRECTORIES[0]:x}
        movl    $0x202007, 0x{DIRECTORIES[0] + 4:x}
        movl    $0x{_TABLES[0] | 7:x}, 0x{DIRECTORIES[0] + 0x400:x}
        movl    $0x201007, 0x{DIRECTORIES[1]:x}
        movl    $0x202007, 0x{DIRECTORIES[1] + 4:x}
        movl    $0x{_TABLES[1] | 7:x}, 0x{DIRECTORIES[1] + 0x400:x}
"""
_START = f"""
        .data
        .balign 8
rings:  .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cffa000000ffff, 0x00cff2000000ffff
task_descriptor:
        .quad   0x0000890000000067
rings_at:
        .word   6 * 8 - 1
        .long   rings
        .balign 4
task:   .long   0, stack_0, 0x10
        .skip   92
back:   .long   0
        .skip   256
stack_0:
        .skip   256
stack_3:
        .text
        .macro  in_ring_3
        pushl   $0x23
        pushl   $stack_3
        pushl   $2
        pushl   $0x1b
        pushl   $97f
        iret
97:
        .endm
        jmp     1f
in_ring_0:
        popl    back
        movl    $stack, %esp
        jmp     *back
1:      faults
        gate    31, in_ring_0
        movb    $0xee, idt + 8 * 31 + 5
        lgdt    rings_at
        movl    $task, %eax
        movw    %ax, task_descriptor + 2
        shrl    $16, %eax
        movb    %al, task_descriptor + 4
        movb    %ah, task_descriptor + 7
        movw    $0x28, %ax
        ltr     %ax
        movw    $0x23, %ax
        movw    %ax, %ds
        movw    %ax, %es
        {ENABLE_SSE}
        movl    $0x{DIRECTORIES[0]:x}, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        jmp     begin
begin:  fninit
        xorps   %xmm0, %xmm0
        xorl    %eax, %eax
        xorl    %edx, %edx
"""
