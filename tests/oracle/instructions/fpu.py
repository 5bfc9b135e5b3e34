"""Random instructions of x87, MMX and SSE, with the moves that load their operands and store their results."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.oracle.instructions.cases import DATA_MIDDLE
from tests.oracle.instructions.encodings import DOUBLES, EM, TS

if TYPE_CHECKING:
    from tests.oracle.instructions.encodings import State


# Of the group D9: f2xm1, fyl2x, fptan, fpatan, fxtract, fprem1; fprem, fyl2xp1, fsqrt, fsincos; fscale, fsin, fcos
_APPROXIMATING = b"\xf0\xf1\xf2\xf3\xf4\xf5\xf8\xf9\xfb\xfd\xfe\xff"


def _at(opcode: bytes, reg: int, address: int) -> bytes:
    return opcode + bytes([reg << 3 | 5]) + struct.pack("<I", address)


def _switched_off(state: State) -> None:
    if state.random.random() < 0.05:
        state.cr0 |= state.random.choice((TS, EM))


def _doubles(state: State) -> None:
    random = state.random
    numbers = [random.choice((*DOUBLES, random.uniform(-1e6, 1e6), random.randrange(100))) for _ in range(8)]
    state.data[:] = struct.pack("<8d", *numbers)


def x87(state: State) -> bytes:
    """One instruction of D8 to DF that does not approximate, with two numbers on the stack."""
    random = state.random
    _switched_off(state)
    _doubles(state)
    if random.random() < 0.3:
        state.fpu_control = random.choice((0x27F, 0xF7F, 0xB7F, 0x77F))
    loads = b"".join(_at(b"\xdd", 0, DATA_MIDDLE - 32 + 8 * random.randrange(8)) for _ in range(2))
    opcode, operand = random.randrange(0xD8, 0xE0), bytes([0xC0 | random.getrandbits(6)])
    if random.random() < 0.4:
        operand = state.memory(random.randrange(8))
    elif opcode == 0xD9 and operand[0] in _APPROXIMATING:
        operand = b"\xfc"  # frndint
    return loads + bytes([opcode]) + operand + random.choice((b"", b"\x9b"))


_MMX = b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x74\x75\x76\xd1\xd2\xd3\xd5\xd8\xd9\xdb\xdc\xdd\xdf\xe1\xe2\xe5"
_MMX += b"\xe8\xe9\xeb\xec\xed\xef\xf1\xf2\xf3\xf5\xf8\xf9\xfa\xfc\xfd\xfe"
_MMX_OF_SSE = b"\xda\xde\xe0\xe3\xe4\xea\xee\xf6"
_FLOATS = b"\x14\x15\x2e\x2f\x51\x52\x53\x54\x55\x56\x57\x58\x59\x5a\x5c\x5d\x5e\x5f"


def mmx(state: State) -> bytes:
    """A packed instruction on MM0, and EMMS."""
    random = state.random
    _switched_off(state)
    load = _at(b"\x0f\x6f", 0, DATA_MIDDLE - 32) + _at(b"\x0f\x6f", 1, DATA_MIDDLE - 24)
    operand = state.memory(0) if random.random() < 0.3 else b"\xc1"
    code = b"\x0f" + bytes([random.choice(_MMX + _MMX_OF_SSE)]) + operand
    if random.random() < 0.2:
        code = b"\x0f" + random.choice(
            (
                b"\x77",
                b"\x71\xd0\x05",
                b"\x72\xe0\x09",
                b"\x73\xf0\x21",
                b"\x70\xc1\x1b",
                b"\xd7\xd1",
                b"\x7e\xc3",
                b"\xc4\xc0\x02",
                b"\xc5\xc1\x01",
            )
        )
    return load + code + (_at(b"\x0f\x7f", 0, DATA_MIDDLE) if random.random() < 0.5 else b"")


def sse(state: State) -> bytes:
    """A packed or scalar instruction of SSE or SSE2 on XMM0."""
    random = state.random
    _switched_off(state)
    if random.random() < 0.8:
        _doubles(state)
    if random.random() < 0.2:
        state.mxcsr = random.choice((0x3F80, 0x5F80, 0x7F80, 0x1FC0))
    load = _at(b"\x0f\x10", 0, DATA_MIDDLE - 32) + _at(b"\x0f\x10", 1, DATA_MIDDLE - 16)
    operand = state.memory(0, state.target() & ~15) if random.random() < 0.3 else b"\xc1"
    match random.randrange(4):
        case 0 | 1:
            prefix = random.choice((b"", b"\x66", b"\xf2", b"\xf3"))
            code = prefix + b"\x0f" + bytes([random.choice(_FLOATS)]) + operand
        case 2:
            code = (
                b"\x66\x0f" + bytes([random.choice(_MMX + _MMX_OF_SSE + b"\x6c\x6d\xd4\xf4\xfb")]) + operand
            )
        case _:
            prefix, opcode = random.choice(
                (
                    (b"", b"\x28"), (b"", b"\x29"), (b"", b"\x10"), (b"", b"\x11"), (b"\xf3", b"\x10"), (b"\xf2", b"\x11"),
                    (b"", b"\x12"), (b"", b"\x16"), (b"\x66", b"\x6f"), (b"\xf3", b"\x6f"), (b"\xf3", b"\x7f"),
                    (b"\xf3", b"\x2a"), (b"\xf3", b"\x2c"), (b"\xf2", b"\x2d"), (b"\xf2", b"\x2a"), (b"", b"\x5b"),
                    (b"\x66", b"\x5b"), (b"\xf3", b"\x5b"), (b"\xf3", b"\xe6"), (b"\xf2", b"\xe6"), (b"\x66", b"\xd6"),
                    (b"\xf3", b"\x7e"), (b"\x66", b"\x6e"), (b"", b"\x50"), (b"\x66", b"\xd7"),
                )
            )  # fmt: skip
            code = prefix + b"\x0f" + opcode + operand
    return load + code + (_at(b"\x0f\x11", 0, DATA_MIDDLE - 16) if random.random() < 0.5 else b"")
