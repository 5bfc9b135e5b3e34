"""Random instructions of an i686 with MMX and SSE, by category, with state in which they do something.

Memory operands are made for a target: base and index have what values they have, and the displacement makes up for it. So
most accesses go into the window, across its pages and over its edges, and few into the blue.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.oracle.instructions.cases import (
    CODE,
    DATA,
    DATA_MIDDLE,
    READ_ONLY,
    READ_ONLY_RING_0,
    RING_0,
    STACK,
    STACK_MIDDLE,
    Case,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
_EDGES = (
    0,
    1,
    2,
    3,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFE,
    0xFFFF_FFFF,
)
DOUBLES = (0.0, -0.0, 1.0, -1.5, 1e300, -1e-300, 0.1, -7.25, 0.5, 4294967297.0)
SELECTORS = (
    0,
    0x08,
    0x10,
    0x1B,
    0x20,
    0x23,
    0x28,
    0x33,
    0x3B,
    0x43,
    0x4B,
    0x53,
    0x5B,
    0x63,
    0x6B,
    0x73,
    0x7B,
    0x83,
    0x17,
    0xFFF8,
)
_REPEATS = {0xF2, 0xF3}  # of two, it is not defined which one counts
CF_PF_AF_ZF_SF_DF_OF = 0xCD5
IF, IOPL, AC, ID = 0x200, 0x3000, 0x4_0000, 0x20_0000
WP, TS, EM, MP = 0x1_0000, 8, 4, 2


class State:
    """What a case starts with; categories change it to their needs."""

    def __init__(self, random: Random, rings: Sequence[int]) -> None:
        self.random = random
        self.ring = random.choice(rings)
        self.registers = [self.value() for _ in range(8)]
        self.registers[ESP] = STACK_MIDDLE
        if self.ring and random.random() < 0.15:
            self.registers[ESP] = random.choice(
                (STACK, STACK + 4096, STACK + 2, READ_ONLY + 64, RING_0 + 64, self.target())
            )
        self.eflags = 2 | random.getrandbits(22) & CF_PF_AF_ZF_SF_DF_OF | random.choice((0, 0, IF))
        if random.random() < 0.1:
            self.eflags |= random.getrandbits(22) & (IOPL | AC | ID)
        self.segments = [0x23, 0x23, 0x23, 0x23]
        if random.random() < 0.1:
            self.segments[random.randrange(4)] = random.choice((0, 0x10, 0x33, 0x3B, 0x4B))
        self.eip = CODE + 0x400
        self.cr0 = random.choice((0, WP))
        self.fpu_control, self.mxcsr = 0x37F, 0x1F80
        self.data = bytearray(random.randbytes(64))
        self.stack = bytearray(random.randbytes(64))

    def value(self) -> int:
        """Return a word: an edge of numbers, a small one, one into the window, or any."""
        random = self.random
        match random.randrange(10):
            case 0 | 1 | 2:
                return random.choice(_EDGES)
            case 3 | 4:
                return random.randrange(64)
            case 5 | 6:
                return self.target()
            case _:
                return random.getrandbits(32)

    def target(self) -> int:
        """Return an address, as a rule in the window."""
        random = self.random
        match random.randrange(20):
            case 0:
                return DATA + random.randrange(-4, 4)
            case 1:
                return DATA + 8192 + random.randrange(-16, 2)
            case 2:
                return READ_ONLY + random.randrange(4080)
            case 3:
                return RING_0 + random.randrange(4080)
            case 4:
                return random.choice(
                    (READ_ONLY_RING_0 + random.randrange(4000), CODE + random.randrange(0x800, 0xF00))
                )
            case 5:
                return random.getrandbits(32) | 0x1000_0000
            case _:
                return DATA_MIDDLE + random.randrange(-32, 32)

    def case(self, kind: str, code: bytes) -> Case:
        """Return the case that runs *code* from this state."""
        return Case(
            kind,
            code,
            tuple(self.registers),
            self.eflags,
            self.eip,
            self.ring,
            (self.segments[0], self.segments[1], self.segments[2], self.segments[3]),
            self.cr0,
            self.fpu_control,
            self.mxcsr,
            bytes(self.data),
            bytes(self.stack),
        )

    # -- operands ----------------------------------------------------------------------------------

    def memory(self, reg: int, target: int | None = None) -> bytes:
        """Return ModRM, SIB and displacement of a memory operand.

        Args:
            reg: The other operand's number, or more of the opcode.
            target: Where it lies; None: anywhere.
        """
        random = self.random
        at = self.target() if target is None else target
        if random.random() < 0.2:
            return bytes([reg << 3 | 5]) + struct.pack("<I", at)
        base = random.choice((EAX, ECX, EDX, EBX, EBP, ESI, EDI))
        if random.random() < 0.3:
            index, scale = random.choice((EAX, ECX, EDX, EBX, EBP, ESI, EDI)), random.randrange(4)
            offset = at - self.registers[base] - (self.registers[index] << scale)
            return bytes([0x84 | reg << 3, scale << 6 | index << 3 | base]) + struct.pack(
                "<I", offset & 0xFFFF_FFFF
            )
        if self.ring and random.random() < 0.7:  # the register is the pointer, or nearly
            near = random.choice((0, 0, 4, -8))
            self.registers[base] = at - near & 0xFFFF_FFFF
            if not near and base != EBP:
                return bytes([reg << 3 | base])
            return bytes([0x40 | reg << 3 | base, near & 0xFF])
        return bytes([0x80 | reg << 3 | base]) + struct.pack("<I", at - self.registers[base] & 0xFFFF_FFFF)

    def operand(self, reg: int, *, writes_word: bool = True) -> bytes:
        """Return ModRM for a register or memory; no register that is ESP in ring 0, where that has to stay."""
        if self.random.random() < 0.5:
            return self.memory(reg)
        number = self.random.randrange(8)
        if number == ESP and not self.ring and writes_word:
            number = EDX
        return bytes([0xC0 | reg << 3 | number])

    def destination(self) -> int:
        """Return the number of a register that may be written."""
        number = self.random.randrange(8)
        return EBX if number == ESP and not self.ring else number

    def immediate(self, size: int) -> bytes:
        """Return *size* random bytes, often an edge."""
        return (self.value() & (1 << 8 * size) - 1).to_bytes(size, "little")

    def prefixed(self, code: bytes) -> bytes:
        """Return an instruction, sometimes with prefixes."""
        random = self.random
        if random.random() < 0.03 and not _REPEATS.intersection(code[:2]):
            code = random.choice((b"\xf2", b"\xf3")) + code
        if random.random() < 0.05:
            code = random.choice((b"\x26", b"\x2e", b"\x36", b"\x3e", b"\x64", b"\x65")) + code
        if self.ring and random.random() < 0.02:  # what follows may then be any instruction
            code = b"\x67" + code
        return code
