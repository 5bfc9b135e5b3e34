"""Writes tiny kernels for the command to boot: machine code at 1 MiB."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.unit.loader.elf_builder import BASE, FUNC, Elf, Load, Sym, build_elf

if TYPE_CHECKING:
    from pathlib import Path

LOOP = b"\x40\xeb\xfd"  # 1: inc eax; jmp 1b
SPIN = b"\xeb\xfe"  # jmp $
HALT = b"\xfa\xf4"  # cli; hlt
JUMP_TO_NOWHERE = b"\xb8\xef\xbe\xad\xde\xff\xe0"  # mov eax, 0xdeadbeef; jmp eax
JUMP_INTO_ROM = b"\xb8\x00\x00\x0f\x00\xff\xe0"  # mov eax, 0xf0000; jmp eax
UNDEFINED = b"\x0f\x0b"  # ud2
GARBAGE = b"\xff\xff\xff\xff\x0f\xff"
RESET = b"\xb0\xfe\xe6\x64\xf4"  # mov al, 0xfe; out 0x64, al; hlt
POWER_OFF = b"\x66\xba\x04\x06\x66\xb8\x00\x20\x66\xef\xf4"  # mov dx, 0x604; mov ax, 0x2000; out dx, ax; hlt
READ_NOTHING = b"\xa1\x08\x00\x50\x00\xe4\x64\xfa\xf4"  # mov eax, [0x500008]; in al, 0x64; cli; hlt


def exit_with(value: int) -> bytes:
    return (
        b"\x66\xba\xf4\x00\xb8" + struct.pack("<I", value) + b"\xef"
    )  # mov dx, 0xf4; mov eax, value; out dx, eax


def send(port: int, text: bytes) -> bytes:
    start = b"\x66\xba" + struct.pack("<H", port)  # mov dx, port
    return start + b"".join(b"\xb0" + bytes([each]) + b"\xee" for each in text)  # mov al, byte; out dx, al


def write_kernel(path: Path, code: bytes, *symbols: Sym) -> str:
    """Write a kernel with one function, ``start``, and return its path."""
    start = Sym("start", BASE, len(code), FUNC)
    path.write_bytes(build_elf(Elf([Load(BASE, code)], symbols=[start, *symbols])))
    return str(path)
