"""Random i386 code: any bytes, instructions with operands that mean something, and what only a kernel executes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

CODE, RAM_END = 0x0010_0000, 0x0050_0000
OPERANDS = (
    *(0, 0x9000, 0x9FC00, 0x9FD00, 0xA0000, 0xB8000, 0xBFFFE, 0xC0000, 0xF0000, 0xFFFFF),
    *(CODE, 0x101000, 0x200000, 0x3FFFFE, 0x400000, RAM_END - 4, RAM_END - 1, RAM_END, RAM_END + 0x1000),
    *(0x7FFFFFFF, 0x80000000, 0xC0000000, 0xFEE00000, 0xFFFFFFFC, 0xFFFFFFFF),
)
PORTS = (0x20, 0x21, 0x40, 0x43, 0x60, 0x64, 0x70, 0xA0, 0xA1, 0xE9, 0xF4, 0x3D4, 0x3D5, 0x3F8, 0x3FD, 0xCF8)
_PREFIXES = bytes((0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65))
_SELECTORS = (0, 3, 8, 0x10, 0x1B, 0x23, 0x28, 0x30, 0x38, 0x43, 0xFFFF)
_WITHOUT_OPERAND = bytes.fromhex(
    "27 2f 37 3f 40 48 50 54 58 5c 60 61 6c 6d 6e 6f 90 98 99 9b 9c 9d 9e 9f a4 a5 a6 a7 aa ab ac ad ae af"
    "c3 c9 cb cc ce cf d6 d7 ec ed ee ef f1 f4 f5 f8 f9 fa fb fc fd"
)
_OF_SYSTEMS = tuple(
    bytes.fromhex(each)
    for each in (
        *("0f01d0", "0f01d1", "0f01c1", "0f01c8", "0f01c9", "0f01ca", "0f01cb", "0f01f8", "0f01f9"),
        *(
            "0f05",
            "0f06",
            "0f07",
            "0f08",
            "0f09",
            "0f0b",
            "0f0e",
            "0f30",
            "0f31",
            "0f32",
            "0f33",
            "0f34",
            "0f35",
        ),
        *(
            "0f77",
            "0fa0",
            "0fa1",
            "0fa2",
            "0fa8",
            "0fa9",
            "0faa",
            "0fb9",
            "0fff",
            "dbe3",
            "dbe2",
            "9bdbe3",
            "d9f7",
        ),
        *(
            "fa",
            "fb",
            "f4",
            "fbf4",
            "faf4",
            "cd00",
            "cd03",
            "cd0d",
            "cd20",
            "cd80",
            "cdff",
            "cc",
            "ce",
            "cf",
            "66cf",
        ),
        *(
            "ebfe",
            "eb00",
            "e2fe",
            "e3fe",
            "f3a4",
            "f3a5",
            "f3aa",
            "f3ab",
            "f2ae",
            "f36d",
            "f36f",
            "67f3a4",
            "66f3a5",
        ),
        *(
            "9c8104240001000090",
            "9d",
            "0f20c0",
            "0f22c0",
            "0f20d8",
            "0f22d8",
            "0f20e0",
            "0f22e0",
            "0f20d0",
            "0f22d0",
        ),
        *(
            "0f2000",
            "0f2200",
            "0f2300",
            "0f21f8",
            "0f23f8",
            "0f22e7",
            "0f22c7",
            "0f20c7",
            "8ed0",
            "8ed8",
            "8ec0",
            "8ee0",
        ),
    )
)


def word(rng: Random) -> int:
    """Return a word that is often an address, a small number or a border."""
    kind = rng.randrange(8)
    if kind < 3:
        return rng.choice(OPERANDS)
    if kind < 5:
        return CODE + rng.randrange(RAM_END - CODE)
    if kind == 5:
        return rng.randrange(256)
    return 1 << rng.randrange(32) if kind == 6 else rng.getrandbits(32)


def program(rng: Random, size: int) -> bytes:
    """Return code of *size* bytes."""
    if rng.randrange(6) == 0:
        return rng.randbytes(size)
    code = bytearray()
    while len(code) < size:
        code += instruction(rng)
    return bytes(code[:size])


def instruction(rng: Random) -> bytes:
    """Return an instruction, or a few of them, or nearly one."""
    prefixes = bytes(rng.choices(_PREFIXES, k=rng.randint(1, 3))) if rng.randrange(5) == 0 else b""
    return prefixes + rng.choices(_FORMS, _SHARES)[0](rng)


def _any_bytes(rng: Random) -> bytes:
    return rng.randbytes(rng.randint(1, 8))


def _without_operand(rng: Random) -> bytes:
    return bytes([rng.choice(_WITHOUT_OPERAND) ^ rng.randrange(8) * (rng.randrange(8) == 0)])


def _with_operand(rng: Random) -> bytes:
    escape = rng.choices((b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a"), (6, 5, 1, 1))[0]
    return (
        escape
        + bytes([rng.randrange(256)])
        + _operand(rng)
        + struct.pack("<I", word(rng))[: rng.choice((0, 0, 1, 4))]
    )


def _on_x87(rng: Random) -> bytes:
    return bytes([0xD8 + rng.randrange(8)]) + _operand(rng)


def _operand(rng: Random) -> bytes:
    """Return ModRM, SIB and displacement."""
    if rng.randrange(5) < 2:
        return bytes([rng.randrange(8) << 3 | 5]) + struct.pack("<I", word(rng))
    modrm = rng.randrange(256)
    mode, register = modrm >> 6, modrm & 7
    code = bytes([modrm])
    if mode != 3 and register == 4:
        code += rng.randbytes(1)
    if mode == 1:
        code += rng.randbytes(1)
    return code + struct.pack("<I", word(rng)) if mode == 2 else code


def _of_systems(rng: Random) -> bytes:
    return rng.choice(_OF_SYSTEMS)


def _loads(rng: Random) -> bytes:
    return bytes([0xB8 + rng.randrange(8)]) + struct.pack("<I", word(rng))


def _on_tables(rng: Random) -> bytes:
    """Load and store descriptor tables, selectors, TSS; look into descriptors; invlpg, fxsave, xsave and their kin."""
    second = rng.choice((0x00, 0x01, 0x01, 0x02, 0x03, 0xAE, 0xB2, 0xB4, 0xB5, 0xC7, 0x18, 0x0D))
    return bytes([0x0F, second]) + _operand(rng)


def _selects(rng: Random) -> bytes:
    """Load a segment register, or go to another segment."""
    selector = struct.pack("<H", rng.choice(_SELECTORS))
    kind = rng.randrange(4)
    if kind == 0:
        return b"\x66\xb8" + selector + bytes([0x8E, 0xC0 | rng.randrange(8) << 3])
    far = struct.pack("<I", word(rng)) + selector
    return (b"\x9a", b"\xea", b"\x68" + selector + b"\0\0\x68")[kind - 1] + (
        far if kind < 3 else far[:4] + b"\xcb"
    )


def _on_port(rng: Random) -> bytes:
    port = rng.choice((*PORTS, rng.getrandbits(16)))
    if rng.randrange(2):
        return bytes([rng.choice((0xE4, 0xE5, 0xE6, 0xE7)), port & 0xFF])
    return (
        b"\x66\xba"
        + struct.pack("<H", port)
        + rng.choice((b"\xec", b"\xed", b"\xee", b"\xef", b"\x6e", b"\xf3\x6f", b"\x6c"))
    )


def _on_control(rng: Random) -> bytes:
    """Change a few bits of a control register, a model specific register or EFLAGS."""
    bit = struct.pack("<I", 1 << rng.choice((0, 1, 2, 3, 4, 5, 7, 9, 10, 16, 18, 29, 30, 31)))
    kind = rng.randrange(4)
    if kind == 0:
        return b"\x9c\x81\x34\x24" + struct.pack("<I", 1 << rng.randrange(22)) + b"\x9d"
    if kind == 1:
        msr = rng.choice(
            (0x10, 0x1B, 0x174, 0x175, 0x176, 0x277, 0xC0000080, 0xC0000081, 0xC0000100, rng.getrandbits(32))
        )
        return b"\xb9" + struct.pack("<I", msr) + rng.choice((b"\x0f\x30", b"\x0f\x32"))
    register = rng.choice((0, 0, 3, 4)) << 3
    return bytes([0x0F, 0x20, 0xC0 | register, 0x35]) + bit + bytes([0x0F, 0x22, 0xC0 | register])


def _jumps(rng: Random) -> bytes:
    near = bytes([rng.randrange(0xF0, 0x100) if rng.randrange(2) else rng.randrange(0, 0x20)])
    kind = rng.randrange(5)
    if kind == 0:
        return bytes([0x70 + rng.randrange(16)]) + near
    if kind == 1:
        return bytes([rng.choice((0xE0, 0xE1, 0xE2, 0xE3, 0xEB))]) + near
    if kind == 2:
        return bytes([0xE8 + rng.randrange(2)]) + struct.pack("<i", rng.randint(-64, 64))
    target = b"\xb8" + struct.pack("<I", word(rng))
    return target + (b"\xff\xe0" if kind == 3 else b"\xff\xd0")


_FORMS = (
    _any_bytes,
    _without_operand,
    _with_operand,
    _on_x87,
    _of_systems,
    _loads,
    _on_tables,
    _selects,
    _on_port,
    _on_control,
    _jumps,
)
_SHARES = (4, 8, 30, 5, 10, 8, 7, 5, 6, 7, 9)
