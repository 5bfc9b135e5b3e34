"""Guests that talk to devices on ports, and print what they read on COM1: for comparison with QEMU.

Macros besides those of `tests.helpers.guest`:

* ``read PORT`` and ``write PORT, VALUE`` access a byte; what was read is printed in hexadecimal;
* ``print VALUE`` prints AL, ``say "text"`` a text, ``line`` ends the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.machine.address_map import MIB
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu
from tests.helpers.guest import assemble

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.loader.image import KernelImage

PORTS = """
        .macro  print
        call    print_byte
        .endm
        .macro  read port
        movw    $\\port, %dx
        inb     %dx, %al
        call    print_byte
        .endm
        .macro  write port, value
        movb    $\\value, %al
        movw    $\\port, %dx
        outb    %al, %dx
        .endm
        .macro  say text
        movl    $9f, %esi
        call    print_text
        .section .rodata
9:      .asciz  "\\text"
        .text
        .endm
        .macro  line
        movb    $10, %al
        call    print_character
        .endm
        jmp     guest

print_character:
        pushl   %edx
        movw    $0x3f8, %dx
        outb    %al, %dx
        popl    %edx
        ret
print_text:
1:      lodsb
        testb   %al, %al
        jz      2f
        call    print_character
        jmp     1b
2:      ret
print_byte:
        pushl   %eax
        shrb    $4, %al
        call    print_digit
        movb    (%esp), %al
        andb    $15, %al
        call    print_digit
        movb    $32, %al
        call    print_character
        popl    %eax
        ret
print_digit:
        cmpb    $10, %al
        jb      1f
        addb    $39, %al
1:      addb    $48, %al
        jmp     print_character
"""


def lines_here(source: str, **description: Any) -> list[str]:  # noqa: ANN401 - the keywords of Machine
    """Return what a guest prints here, line by line.

    Args:
        source: Begins at the label ``guest``, ends with ``exit``.
        description: For `Machine`.
    """
    machine = Machine(_assembled(source), ram=RamWindow(MIB, qemu.RAM_MIB * MIB), **description)
    machine.run(timeout_s=60)
    return machine.output[Console.SERIAL].decode().splitlines()


def lines_in_qemu(source: str, directory: Path, *options: str) -> list[str]:
    """Return what it prints in QEMU.

    Args:
        source: See `lines_here`.
        directory: For the kernel.
        options: Further ones for QEMU.
    """
    kernel = directory / "guest.elf"
    kernel.write_bytes(_assembled(source).data)
    return qemu.run_to_exit(kernel, options=options).serial.decode().splitlines()


def _assembled(source: str) -> KernelImage:
    return assemble(PORTS + source)
