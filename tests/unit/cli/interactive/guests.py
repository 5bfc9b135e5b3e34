"""Guests that wait for input in `hlt`: one echoes what COM1 receives, one shows keys on the text screen. `q` ends both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.guest import linked

if TYPE_CHECKING:
    from pathlib import Path

# The BIOS has left the first interrupt controller's vectors at 8.
_WAIT = """
        movl    $idt, %edi
        movl    $16, %ecx
1:      movl    $handler, %eax
        movw    %ax, (%edi)
        movw    $8, 2(%edi)
        movw    $0x8e00, 4(%edi)
        shrl    $16, %eax
        movw    %ax, 6(%edi)
        addl    $8, %edi
        loop    1b
        lidt    idtr
        movb    $MASK, %al
        outb    %al, $0x21
        sti
1:      hlt
        jmp     1b
end_of_interrupt:
        movb    $0x20, %al
        outb    %al, $0x20
        popal
        iret
        .data
idtr:   .word   127
        .long   idt
        .bss
        .balign 8
idt:    .skip   128
        .text
handler:
        pushal
"""
_ECHO = """
        .set    MASK, 0xef
        movw    $0x3f9, %dx
        movb    $1, %al
        outb    %al, %dx                # received data
        movw    $0x3f8, %dx
        movb    $'>', %al
        outb    %al, %dx
"""
_ECHOES = """
        movw    $0x3fd, %dx
        inb     %dx, %al
        testb   $1, %al
        jz      end_of_interrupt
        movw    $0x3f8, %dx
        inb     %dx, %al
        outb    %al, %dx
        cmpb    $'q', %al
        jne     end_of_interrupt
        exit    0
"""
_SHOW = """
        .set    MASK, 0xfd
        movl    $0xb8000, %ebx
        movl    $0x1f3e1f4b, (%ebx)     # "K>", white on blue
        addl    $4, %ebx
"""
_SHOWS = """
        inb     $0x60, %al
        testb   %al, %al
        js      end_of_interrupt        # released
        cmpb    $0x10, %al
        je      2f
        movb    %al, %cl
        shrb    $4, %al
        call    digit
        movb    %cl, %al
        andb    $15, %al
        call    digit
        movl    %ebx, 16(%esp)          # for popal
        jmp     end_of_interrupt
digit:  cmpb    $10, %al
        jb      1f
        addb    $7, %al
1:      addb    $'0', %al
        movb    %al, (%ebx)
        movb    $0x1f, 1(%ebx)
        addl    $2, %ebx
        ret
2:      exit    0
"""


def write_echo(path: Path) -> str:
    """Write the guest that echoes what COM1 receives, and return its path."""
    path.write_bytes(linked(_ECHO + _WAIT + _ECHOES))
    return str(path)


def write_keys(path: Path) -> str:
    """Write the guest that shows the scan codes of keys that go down, and return its path."""
    path.write_bytes(linked(_SHOW + _WAIT + _SHOWS))
    return str(path)
