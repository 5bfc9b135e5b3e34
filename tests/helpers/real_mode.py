"""Guests that drop to real mode, as kernels do, and call the BIOS there.

Macros besides those of `tests.helpers.guest`, in code of 16 bits:

* ``keep REGISTER`` appends a 32-bit register to what `kept` returns;
* ``flags`` appends FLAGS;
* ``leave`` ends the run, with exit value 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers.guest import machine_of

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

CODE = 0x8000
"""Where the code runs: segment 0; the stack is below."""
_KEPT, _COUNT = 0x6000, 0x5FFC

_PRELUDE = f"""
        .data
        .balign 8
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00009a000000ffff, 0x000092000000ffff
gdtr:   .word   39
        .long   gdt
        .text
        lgdt    gdtr
        movl    $low, %esi
        movl    $0x8000, %edi
        movl    $low_end - low, %ecx
        cld
        rep movsb
        movl    $0, {_COUNT}
        ljmp    $0x18, $0x8000
        .macro  keep register
        pushl   %ebx
        movl    %cs:{_COUNT}, %ebx
        movl    %\\register, %cs:{_KEPT}(,%ebx,4)
        incl    %cs:{_COUNT}
        popl    %ebx
        .endm
        .macro  flags
        pushfl
        popl    %ebp
        keep    ebp
        .endm
        .macro  leave
        xorl    %eax, %eax
        movw    $0xf4, %dx
        outl    %eax, %dx
        jmp     .
        .endm
low:    .code16
        movw    $0x20, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    %cr0, %eax
        andb    $0xfe, %al
        movl    %eax, %cr0
        ljmp    $0, $0x8000 + 1f - low
1:      xorl    %eax, %eax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $0x7c00, %esp
        xorl    %ebx, %ebx
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        xorl    %esi, %esi
        xorl    %edi, %edi
"""


def real_mode_machine(source: str, **description: Any) -> Machine:  # noqa: ANN401 - the keywords of Machine
    """Return a machine with a guest whose code of 16 bits begins in real mode, with all registers 0.

    Args:
        source: For the GNU assembler; it runs at `CODE`: addresses in it are ``CODE + label - low``.
        description: For `Machine`.
    """
    return machine_of(f"{_PRELUDE}\n{source}\n        .code32\nlow_end:\n", **description)


def kept(machine: Machine) -> list[int]:
    """Return the words that the guest has kept."""
    count = machine.memory.load_words(_COUNT, 1)[0]
    return list(machine.memory.load_words(_KEPT, count))
