"""Where control goes after an instruction: all that following a function takes of it.

Theory. Compiled code is made of few instructions. The tables below know how long those are, and which of them do not go on with the one
after them. `read_step` leaves all others, such as those of the FPU, to capstone, whose import takes longer than a short run.

Source: SDM vol. 2A, 2.1 (instruction format, tables 2-2 and 2-3); vol. 2D, A.3 (opcode maps) and A.4 (groups).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from emulator.x86 import LONGEST_INSTRUCTION, WORD_MAX


class Next(Enum):
    """Where control goes after an instruction."""

    ON = auto()
    """To the one after it."""
    BRANCH = auto()
    """To its target, or to the one after it."""
    JUMP = auto()
    """To its target."""
    INDIRECT = auto()
    """To an address in this code segment that it does not name."""
    CALL = auto()
    """To its target, and then to the one after it, unless what is called never returns."""
    STOP = auto()
    """To the one after it, or nowhere: a call of what it does not name, an interrupt, `hlt`, `ud2`."""
    RETURN = auto()
    """To the caller."""
    LEAVE = auto()
    """To another code segment, or out of an interrupt."""


class Step(NamedTuple):
    """An instruction.

    Attributes:
        address: Its own.
        size: Bytes.
        next: Where control goes.
        target: The address that it names for that; 0: none.
    """

    address: int
    size: int
    next: Next
    target: int = 0


_FORMS: Final = (
    "mmmmbz..mmmmbz.?"  # 00: add, or
    "mmmmbz..mmmmbz.."  # 10: adc, sbb
    "mmmmbz?.mmmmbz?."  # 20: and, sub
    "mmmmbz?.mmmmbz?."  # 30: xor, cmp
    "................"  # 40: inc, dec
    "................"  # 50: push, pop
    "..??????zZbB...."  # 60: pusha, popa, push, imul, ins, outs
    "jjjjjjjjjjjjjjjj"  # 70: jcc
    "BZ?BmmmmmmmmgMg?"  # 80: add to cmp, test, xchg, mov, lea
    "..........?....."  # 90: nop, xchg, cwde, cdq, fwait, pushf, popf, sahf, lahf
    "aaaa....bz......"  # a0: mov, string instructions, test
    "bbbbbbbbzzzzzzzz"  # b0: mov
    "BBw.??gg?.??.b.."  # c0: shifts, ret, mov, leave, int, iret
    "mmmm????????????"  # d0: shifts
    "jjjjbbbbJJ?j...."  # e0: loop, in, out, call, jmp
    "????..gg......gg"  # f0: hlt, cmc, test to idiv, flags, inc, dec, push, call, jmp
)
"""What follows an opcode. ".": nothing; "b", "w", "a": 1, 2 or 4 bytes; "z": 4, or 2 with an operand size prefix; "m": a ModRM byte and
what it asks for; "M": the same, of memory; "B" and "Z": the same, and then "b" or "z"; "j" and "J": the distance of a branch, 1 or 4 bytes; "g": a ModRM byte,
and see `_GROUPS`. "?" is left to capstone."""

_FORMS_AFTER_0F: Final = (
    "?g????.??.?.????"  # 00: lgdt to invlpg, clts, wbinvd, ud2
    "???????????????m"  # 10: nop
    "bbbb????????????"  # 20: mov of control and debug registers, whose ModRM asks for nothing
    "...?????????????"  # 30: wrmsr, rdtsc, rdmsr
    "mmmmmmmmmmmmmmmm"  # 40: cmovcc
    "????????????????"
    "????????????????"
    "????????????????"
    "JJJJJJJJJJJJJJJJ"  # 80: jcc
    "mmmmmmmmmmmmmmmm"  # 90: setcc
    "...mBm??..?mBm?m"  # a0: push, pop, cpuid, bt, shld, bts, shrd, imul
    "mm?m??mm??gmmmmm"  # b0: cmpxchg, btr, movzx, bt to btc, bsf, bsr, movsx
    "mm??????........"  # c0: xadd, bswap
    "????????????????"
    "????????????????"
    "????????????????"
)
_GROUPS: Final = {
    0x8C: "mmmmmm??",
    0x8E: "m?mmmm??",
    0xC6: "B???????",
    0xC7: "Z???????",
    0xF6: "BBmmmmmm",
    0xF7: "ZZmmmmmm",
    0xFE: "mm??????",
    0xFF: "mmm?m?m?",
    0x0F01: "MMMM??MM",
    0x0FBA: "????BBBB",
}
"""What follows an opcode, by the middle field of its ModRM byte."""

_IMMEDIATES: Final = {"b": 1, "w": 2, "a": 4, "B": 1, "j": 1, "J": 4}
_WITH_MODRM: Final = "mMBZg"
_BY_OPERAND_SIZE: Final = "zZ"
_WITH_TARGET: Final = "jJ"

_TWO_BYTES: Final = 0x0F
_PREFIXES: Final = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66))  # segments, operand size
_OPERAND_SIZE: Final = 0x66
_REPEATS: Final = frozenset((0xF2, 0xF3))
_REPEATED: Final = frozenset((*range(0xA4, 0xA8), *range(0xAA, 0xB0)))  # string instructions
_PAUSE: Final = b"\xf3\x90"
_NEXT: Final = {
    **dict.fromkeys((*range(0x70, 0x80), *range(0x0F80, 0x0F90), *range(0xE0, 0xE4)), Next.BRANCH),
    **dict.fromkeys((0xC2, 0xC3), Next.RETURN),
    **dict.fromkeys((0xCC, 0xCD, 0xCE, 0xF4, 0x0F0B), Next.STOP),
    0xCF: Next.LEAVE,
    0xE8: Next.CALL,
    0xE9: Next.JUMP,
    0xEB: Next.JUMP,
}
"""Where control goes after an opcode, if that is not the next instruction."""
_NEXT_OF_GROUP_5: Final = {2: Next.STOP, 4: Next.INDIRECT}
_GROUP_5: Final = 0xFF
_DISPLACEMENTS: Final = (0, 1, 4, 0)  # bytes, by the first field of ModRM
_IN_REGISTER: Final = 3  # in that field: no memory is addressed
_WITH_SIB: Final = 4  # in its last field
_NO_BASE: Final = 5  # in its last field, or in that of the SIB byte, where there is no other displacement


def read_step(code: bytes, start: int, address: int) -> Step | None:
    """Read an instruction of 32-bit code.

    Args:
        code: What it is read from.
        start: Offset of its first byte in there.
        address: Its linear address.

    Returns:
        None: the code ends before the instruction does, or it is left to capstone, which may know none there.
    """
    try:
        step = _step(code, start, address)
    except IndexError:
        return None
    return None if step is None or step.size > min(len(code) - start, LONGEST_INSTRUCTION) else step


def instruction_starts(code: bytes) -> list[int] | None:
    """Return where the instructions begin that 32-bit code consists of; None: one of them is left to capstone, or cut off."""
    starts: list[int] = []
    at = 0
    while at < len(code):
        step = read_step(code, at, at)
        if step is None:
            return None
        starts.append(at)
        at += step.size
    return starts


def _step(code: bytes, start: int, address: int) -> Step | None:
    at = start
    while code[at] in _PREFIXES:
        at += 1
    prefixes = code[start:at]
    is_pause = not prefixes and code[at : at + 2] == _PAUSE
    if is_pause or (code[at] in _REPEATS and code[at + 1] in _REPEATED):
        at += 1
    opcode, form = code[at], _FORMS[code[at]]
    if opcode == _TWO_BYTES:
        at += 1
        opcode, form = _TWO_BYTES << 8 | code[at], _FORMS_AFTER_0F[code[at]]
    at += 1
    following = _NEXT.get(opcode, Next.ON)
    if form in _WITH_MODRM:
        field = code[at] >> 3 & 7
        form = _GROUPS[opcode][field] if form == "g" else form
        if opcode == _GROUP_5:
            following = _NEXT_OF_GROUP_5.get(field, Next.ON)
        if form == "M" and code[at] >> 6 == _IN_REGISTER:
            return None
        at += _operand_size(code, at)
    if form == "?" or (prefixes and following is not Next.ON):
        return None
    at += (2 if _OPERAND_SIZE in prefixes else 4) if form in _BY_OPERAND_SIZE else _IMMEDIATES.get(form, 0)
    target = 0
    if form in _WITH_TARGET:
        distance = int.from_bytes(code[at - _IMMEDIATES[form] : at], "little", signed=True)
        target = address + at - start + distance & WORD_MAX
    return Step(address, at - start, following, target)


def _operand_size(code: bytes, at: int) -> int:
    """Return how long a ModRM byte is with what it asks for."""
    first, last = code[at] >> 6, code[at] & 7
    if first == _IN_REGISTER:
        return 1
    with_sib = last == _WITH_SIB
    base = code[at + 1] & 7 if with_sib else last
    displacement = _DISPLACEMENTS[first] or (4 if base == _NO_BASE else 0)
    return 1 + with_sib + displacement
