"""How a RAM image is laid out: an ELF core file with two notes, then RAM. kmemu writes one of 32 bits, QEMU one of 64 bits.

The note ``QEMU`` is QEMU's: version, size, general registers, EIP and EFLAGS of 8 bytes each, ten segments of 24 bytes, CR0 to CR4 of 8 bytes
each, one more word of 8. The note ``kmemu`` has EFER, which that one lacks.

Source: Tool Interface Standard, Executable and Linking Format 1.2, book I chapter 1 and book III, appendix A; QEMU, target/i386/arch_dump.c.
"""

from __future__ import annotations

import struct
from typing import Final

MAGIC: Final = b"\x7fELF\x01\x01\x01"
"""ELF, 32 bits, little endian, version 1."""
MAGIC_64: Final = b"\x7fELF\x02\x01\x01"

HEADER: Final = struct.Struct("<16sHHIIIIIHHHHHH")
PROGRAM_HEADER: Final = struct.Struct("<8I")
HEADER_64: Final = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER_64: Final = struct.Struct("<2I6Q")
NOTE: Final = struct.Struct("<3I")
CORE, I386 = 4, 3
LOAD, NOTES = 1, 4

QEMU: Final = b"QEMU\0"
QEMU_STATE: Final = struct.Struct("<2I18Q240x6Q")
QEMU_VERSION: Final = 1
QEMU_CR0: Final = 20  # its index among the members
KMEMU: Final = b"kmemu\0"
KMEMU_STATE: Final = struct.Struct("<2I")
"""Version, EFER."""
KMEMU_VERSION: Final = 1

_ALIGN: Final = 4


def padded(size: int) -> int:
    """Return a size rounded up as notes have it."""
    return -(-size // _ALIGN) * _ALIGN


def note(name: bytes, kind: int, data: bytes) -> bytes:
    """Return a note."""
    head = NOTE.pack(len(name), len(data), kind)
    return head + name.ljust(padded(len(name)), b"\0") + data.ljust(padded(len(data)), b"\0")
