"""Random programs of memory accesses over pages of all states, which change their page tables as they go.

A program is made of choices, each a few numbers: whatever these are, it can run. Its code, its tables and its log are mapped to
themselves; from HIGH on lie pages in two address spaces.
"""

from __future__ import annotations

from typing import Final

from tests.helpers.guest import ENABLE_SSE

PAGES: Final = 12
HIGH: Final = 0x4000_0000
FRAMES: Final = 0x0030_0000
DIRECTORIES: Final = (0x0020_0000, 0x0020_4000)
END: Final = 0x0062_0000
_TABLES = (0x0020_3000, 0x0020_5000)
_PAGE = 0x1000

Choice = tuple[int, int, int, int]
"""What to do, and three numbers that mean whatever that needs."""

_LOADS = (
    "movb (%esi), %al",
    "movzwl (%esi), %eax",
    "movl (%esi), %eax",
    "fldl (%esi)",
    "movups (%esi), %xmm0",
    "popl %eax",
    "fldt (%esi)",
)
_STORES = (
    "movb %al, (%esi)", "movw %ax, (%esi)", "movl %eax, (%esi)", "movb %ah, (%esi)", "movl $0x12345678, (%esi)", "addl %eax, (%esi)",
    "lock xaddl %eax, (%esi)", "fstpl (%esi)", "movups %xmm0, (%esi)", "fstpt (%esi)", "movsl", "stosl", "btsl $3, (%esi)", "xchgl %eax, (%esi)",
)  # fmt: skip


def entry(a: int, b: int, *, devices: bool) -> int:
    """Return a page table entry: what a page is, of some frame."""
    frame = FRAMES + _PAGE * (b % 8)
    kinds = [frame | 3, frame | 3, frame | 1, 0, frame | 7, frame | 0x63, frame | 0x23, frame | 0x61]
    if devices:
        kinds += [0xFEC0_0003, 0x000F_0003, 0x000A_0003, 0x000B_8003]
    return kinds[a % len(kinds)]


def program(choices: list[Choice], *, devices: bool = True) -> str:
    """Return a guest that makes its page tables, does what was chosen, and halts; each ``pause`` halts, too."""
    lines = [_SETUP]
    for space in range(2):
        for page in range(PAGES):
            value = entry(page * 5 + space, page * 3 + space, devices=devices)
            lines.append(f"movl $0x{value:x}, 0x{_TABLES[space] + 4 * page:x}")
    lines.append(_START)
    for choice in choices:
        lines += _of(choice, devices)
    return "\n        ".join([*lines, "9:", "hlt", "jmp 9b", ""])


def _of(choice: Choice, devices: bool) -> list[str]:  # noqa: PLR0911 - one for each kind
    what, a, b, c = choice
    page, table = a % PAGES, _TABLES[b & 1]
    at = HIGH + _PAGE * page + (c % _PAGE if c & 0x8000 else (_PAGE - 1 - c % 16) % _PAGE)
    match what % 12:
        case 0 | 1 | 2:
            return _looped(_LOADS[b % len(_LOADS)], at, c)
        case 3 | 4 | 5:
            return _looped(_STORES[b % len(_STORES)], at, c)
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
            return [
                f"movl $0x{at:x}, %edi",
                f"movl $0x{FRAMES + c % 0x6000:x}, %esi",
                f"movl ${c % 5000}, %ecx",
                f"attempt {string}",
                "log ecx",
            ]
        case 10:
            return _off(b, c)
        case _:
            return ["hlt"]


def _looped(instruction: str, at: int, c: int) -> list[str]:
    """Twice, first where it can be made by one instruction of the host."""
    first = FRAMES + 0x100 + c % 0x700
    again = ["movl %esi, %edi", "movl %esi, %esp"] if instruction == "popl %eax" else ["leal 8(%esi), %edi"]
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
        movl    $3, %eax
        movl    $1024, %ecx
1:      stosl
        addl    $0x1000, %eax
        loop    1b
        movl    $0x202000 + 4 * 0x1f0, %edi
        movl    $0x5f0003, %eax
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
        movl    $0x201003, 0x{DIRECTORIES[0]:x}
        movl    $0x202003, 0x{DIRECTORIES[0] + 4:x}
        movl    $0x{_TABLES[0] | 3:x}, 0x{DIRECTORIES[0] + 0x400:x}
        movl    $0x201003, 0x{DIRECTORIES[1]:x}
        movl    $0x202003, 0x{DIRECTORIES[1] + 4:x}
        movl    $0x{_TABLES[1] | 3:x}, 0x{DIRECTORIES[1] + 0x400:x}
"""
_START = f"""
        faults
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
