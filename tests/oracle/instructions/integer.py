"""Random integer instructions: arithmetic, logic, moves, shifts, decimals, bits, strings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.oracle.instructions.cases import DATA_MIDDLE
from tests.oracle.instructions.encodings import EAX, ECX, EDI, EDX, ESI, ESP

if TYPE_CHECKING:
    from tests.oracle.instructions.encodings import State


def _size(state: State) -> tuple[bytes, int]:
    """Return the prefix of a random operand size, and that size."""
    return (b"\x66", 2) if state.random.random() < 0.25 else (b"", 4)


def arithmetic(state: State) -> bytes:
    """ADD, OR, ADC, SBB, AND, SUB, XOR, CMP in all forms."""
    random, (prefix, size) = state.random, _size(state)
    number = random.randrange(8)
    match random.randrange(7):
        case 0:
            return bytes([number << 3]) + state.operand(random.choice((0, 1, 2, 3, 7)))
        case 1:
            return prefix + bytes([number << 3 | 1]) + state.operand(random.randrange(8))
        case 2:
            return bytes([number << 3 | 2]) + state.operand(random.randrange(8), writes_word=False)
        case 3:
            return prefix + bytes([number << 3 | 3]) + state.operand(state.destination())
        case 4:
            return bytes([number << 3 | 4]) + state.immediate(1)
        case 5:
            return prefix + bytes([number << 3 | 5]) + state.immediate(size)
        case _:
            opcode = random.choice((0x80, 0x81, 0x83))
            immediate = state.immediate(size if opcode == 0x81 else 1)
            return prefix + bytes([opcode]) + state.operand(number) + immediate


def unary(state: State) -> bytes:
    """INC, DEC, NOT, NEG, TEST, MUL, DIV and their signed kin."""
    random, (prefix, size) = state.random, _size(state)
    match random.randrange(4):
        case 0:
            return prefix + bytes([random.choice((0x40, 0x48)) | state.destination()])
        case 1:
            return prefix + bytes([random.choice((0xFE, 0xFF))]) + state.operand(random.randrange(2))
        case _:
            wide, number = random.randrange(2), random.randrange(8)
            if number >= 6 and random.random() < 0.6:  # a quotient that fits
                state.registers[EDX] = random.choice((0, 0, 1, 0xFFFF_FFFF))
                state.registers[EAX] = random.getrandbits(32)
            operand = state.operand(number)
            immediate = state.immediate(size if wide else 1) if number < 2 else b""
            return prefix + bytes([0xF6 | wide]) + operand + immediate


def multiply(state: State) -> bytes:
    """IMUL with two and three operands."""
    prefix, size = _size(state)
    match state.random.randrange(3):
        case 0:
            return prefix + b"\x0f\xaf" + state.operand(state.destination())
        case 1:
            return prefix + b"\x69" + state.operand(state.destination()) + state.immediate(size)
        case _:
            return prefix + b"\x6b" + state.operand(state.destination()) + state.immediate(1)


def move(state: State) -> bytes:
    """MOV, MOVZX, MOVSX, LEA, XCHG, BSWAP, XLAT, CMOVcc, SETcc."""
    random, (prefix, size) = state.random, _size(state)
    match random.randrange(13):
        case 0:
            return b"\x88" + state.operand(random.randrange(8))
        case 1:
            return prefix + b"\x89" + state.operand(random.randrange(8))
        case 2:
            return prefix + b"\x8b" + state.operand(state.destination())
        case 3:
            return prefix + bytes([random.randrange(0xA0, 0xA4)]) + state.target().to_bytes(4, "little")
        case 4:
            return prefix + bytes([0xB8 | state.destination()]) + state.immediate(size)
        case 5:
            return prefix + b"\xc7" + state.operand(0) + state.immediate(size)
        case 6:
            return (
                prefix
                + b"\x0f"
                + bytes([random.choice((0xB6, 0xB7, 0xBE, 0xBF))])
                + state.operand(state.destination())
            )
        case 7:
            return prefix + b"\x8d" + state.memory(state.destination())
        case 8:
            return prefix + b"\x87" + state.operand(state.destination())
        case 9:
            return b"\x0f" + bytes([0xC8 | state.destination()])
        case 10:
            state.registers[3] = DATA_MIDDLE - 100
            return b"\xd7"
        case 11:
            return (
                prefix + b"\x0f" + bytes([0x40 | random.randrange(16)]) + state.operand(state.destination())
            )
        case _:
            return (
                b"\x0f"
                + bytes([0x90 | random.randrange(16)])
                + state.operand(random.randrange(8), writes_word=False)
            )


def shift(state: State) -> bytes:
    """ROL to SAR by 1, an immediate and CL; SHLD and SHRD."""
    random, (prefix, _) = state.random, _size(state)
    if random.random() < 0.25:
        opcode = random.choice((0xA4, 0xA5, 0xAC, 0xAD))
        count = b"" if opcode & 1 else state.immediate(1)
        return prefix + bytes([0x0F, opcode]) + state.operand(random.randrange(8)) + count
    opcode, number = random.choice((0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3)), random.randrange(8)
    count = state.immediate(1) if opcode < 0xD0 else b""
    return prefix + bytes([opcode]) + state.operand(number) + count


def decimal(state: State) -> bytes:
    """DAA, DAS, AAA, AAS, AAM, AAD; CBW, CWD; SAHF, LAHF, SALC; flags."""
    plain = b"\x27\x2f\x37\x3f\x98\x99\x9e\x9f\xd6\xf5\xf8\xf9\xfc\xfd"
    match state.random.randrange(3):
        case 0:
            return state.random.choice((b"\xd4", b"\xd5")) + state.random.choice(
                (b"\x0a", b"\x00", state.immediate(1))
            )
        case _:
            return _size(state)[0] + bytes([state.random.choice(plain)])


def bits(state: State) -> bytes:
    """BT, BTS, BTR, BTC, BSF, BSR."""
    random, (prefix, _) = state.random, _size(state)
    match random.randrange(3):
        case 0:
            register = state.destination()
            if register != ESP and (not state.ring or random.random() < 0.7):
                state.registers[register] = random.randrange(-300, 300) & 0xFFFF_FFFF
            return (
                prefix + b"\x0f" + bytes([random.choice((0xA3, 0xAB, 0xB3, 0xBB))]) + state.operand(register)
            )
        case 1:
            return prefix + b"\x0f\xba" + state.operand(random.randrange(4, 8)) + state.immediate(1)
        case _:
            return (
                prefix + b"\x0f" + bytes([random.choice((0xBC, 0xBD))]) + state.operand(state.destination())
            )


def exchange(state: State) -> bytes:
    """CMPXCHG, XADD, CMPXCHG8B, with LOCK or without."""
    random, (prefix, _) = state.random, _size(state)
    lock = b"\xf0" if random.random() < 0.4 else b""
    operand = state.memory if lock else state.operand
    match random.randrange(3):
        case 0:
            code = b"\x0f" + bytes([random.choice((0xB0, 0xB1))]) + operand(state.destination())
        case 1:
            code = b"\x0f" + bytes([random.choice((0xC0, 0xC1))]) + operand(state.destination())
        case _:
            at = DATA_MIDDLE + random.randrange(-32, 24)
            code = b"\x0f\xc7" + state.memory(1, at)
            if random.random() < 0.5:  # equal
                offset = at - (DATA_MIDDLE - 32)
                state.registers[EAX] = int.from_bytes(state.data[offset : offset + 4], "little")
                if code[2] & 0xC7 == 5:
                    state.registers[EDX] = int.from_bytes(state.data[offset + 4 : offset + 8], "little")
    return prefix + lock + code


def string(state: State) -> bytes:
    """MOVS, CMPS, STOS, LODS, SCAS, with REP and REPNE, over edges of pages."""
    random, (prefix, _) = state.random, _size(state)
    state.registers[ESI], state.registers[EDI] = state.target(), state.target()
    state.registers[ECX] = random.choice((0, 1, 2, 7, 33, 64, 200, 4096, random.getrandbits(32)))
    if random.random() < 0.3:
        state.registers[EAX] = int.from_bytes(state.data[:4], "little")
    repeat = random.choice((b"", b"\xf3", b"\xf3", b"\xf2"))
    segment = b"\x26" if random.random() < 0.05 else b""
    return prefix + segment + repeat + bytes([random.choice(b"\xa4\xa5\xa6\xa7\xaa\xab\xac\xad\xae\xaf")])
