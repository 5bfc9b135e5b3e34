"""Who may call the BIOS: code in real mode, and in virtual-8086 mode, in which monitors of other people run it."""

from __future__ import annotations

import pytest

from emulator.errors import NotEmulated
from tests.helpers.guest import machine_of, results_of

LOW_MEMORY_SIZE = "0xf000, $0xf841"  # the entry of int 12h

VIRTUAL_8086 = f"""
        .data
        .balign 8
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff
tssd:   .quad   0
gdtr:   .word   31
        .long   gdt
tss:    .long   0, stack, 0x10
        .skip   92
        .balign 8
idt:    .skip   14 * 8
idtr:   .word   14 * 8 - 1
        .long   idt
        .text
        movl    $tss, %eax
        movw    $103, tssd
        movw    %ax, tssd + 2
        shrl    $16, %eax
        movb    %al, tssd + 4
        movb    $0x89, tssd + 5
        movb    %ah, tssd + 7
        movl    $out, %eax
        movw    %ax, idt + 13 * 8
        movw    $8, idt + 13 * 8 + 2
        movw    $0x8e00, idt + 13 * 8 + 4
        shrl    $16, %eax
        movw    %ax, idt + 13 * 8 + 6
        lgdt    gdtr
        lidt    idtr
        movw    $0x18, %ax
        ltr     %ax
        movl    $low, %esi
        movl    $0x8000, %edi
        movl    $low_end - low, %ecx
        rep movsb
        xorl    %eax, %eax
        .rept   5                       # GS, FS, DS, ES, SS
        pushl   $0
        .endr
        pushl   $0x7c00
        pushl   $0x23202                # virtual-8086 mode, IOPL 3
        pushl   $0
        pushl   $0x8000
        iret
out:    put     eax
        exit    0
low:    .code16
        pushfw
        lcall   ${LOW_MEMORY_SIZE}
        hlt                             # which only ring 0 may
low_end: .code32
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_virtual_8086_mode(mmu: str) -> None:
    machine = machine_of(VIRTUAL_8086, mmu=mmu)
    machine.run(timeout_s=20)
    assert results_of(machine, 1) == [639]


def test_not_protected_mode() -> None:
    machine = machine_of("movl $0xff841, %eax\n call *%eax")
    with pytest.raises(NotEmulated, match=r"^kmemu does not have code of a BIOS: a jump into its ROM at "):
        machine.run(timeout_s=20)
