"""Random instructions that have to do with the stack, segments, control flow, rings and exceptions."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.oracle.instructions.cases import CODE, DATA_MIDDLE, STACK, STACK_MIDDLE
from tests.oracle.instructions.encodings import EAX, EBP, EBX, ECX, EDX, ESP, IOPL, SELECTORS

if TYPE_CHECKING:
    from tests.oracle.instructions.encodings import State

_NOT_ECX = (EAX, EDX, EBX, EBP, 6, 7)  # nor ESP
_NOT_ESP = (EAX, ECX, EDX, EBX, EBP, 6, 7)


def _selector(state: State) -> int:
    if state.random.random() < 0.1:
        return state.random.getrandbits(16)
    return state.random.choice(SELECTORS)


def _near(state: State) -> int:
    """Return an address of code where the end of the case stands."""
    return CODE + 0x400 + 2 * state.random.randrange(30, 200)


def _on_stack(state: State, *words: int) -> None:
    state.stack[: 4 * len(words)] = struct.pack(f"<{len(words)}I", *words)


def _in_data(state: State, words: bytes) -> int:
    """Put *words* somewhere into the data; return where."""
    offset = state.random.randrange(64 - len(words))
    state.data[offset : offset + len(words)] = words
    return DATA_MIDDLE - 32 + offset


def stack(state: State) -> bytes:
    """PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER, LEAVE."""
    random = state.random
    prefix = b"\x66" if random.random() < 0.2 else b""
    size = 2 if prefix else 4
    match random.randrange(10):
        case 0:
            return prefix + bytes([0x50 | random.randrange(8)])
        case 1:
            return prefix + bytes([0x58 | state.destination()])
        case 2:
            return prefix + b"\x68" + state.immediate(size)
        case 3:
            return prefix + b"\x6a" + state.immediate(1)
        case 4:
            return prefix + random.choice((b"\x60", b"\x61"))
        case 5:
            flags = random.getrandbits(22) & 0x24_7ED7 & ~0x100
            _on_stack(state, flags)
            return prefix + random.choice((b"\x9c", b"\x9d", b"\x9d"))
        case 6:
            return prefix + b"\xff" + state.operand(6, writes_word=False)
        case 7:
            return prefix + b"\x8f" + state.memory(0)
        case 8:
            return (
                prefix
                + b"\xc8"
                + struct.pack("<HB", random.choice((0, 8, 100)), random.choice((0, 0, 1, 2, 5)))
            )
        case _:
            if not state.ring or random.random() < 0.7:
                state.registers[EBP] = STACK_MIDDLE + random.randrange(-64, 64)
            return (b"" if not state.ring else prefix) + b"\xc9"


def jump(state: State) -> bytes:
    """Near Jcc, JMP, CALL, RET, LOOP and JCXZ, to code and into the blue."""
    random = state.random
    far = random.random() < 0.15
    to = random.getrandbits(32) | 0x1000_0000 if far else _near(state)
    match random.randrange(8):
        case 0:
            return bytes([0x70 | random.randrange(16), 2 * random.randrange(30)])
        case 1:
            return (
                b"\x0f" + bytes([0x80 | random.randrange(16)]) + struct.pack("<i", 2 * random.randrange(200))
            )
        case 2:
            state.registers[ECX] = random.choice((0, 1, 2, 0x1_0000, 0x1_0001))
            size = b"\x67" if random.random() < 0.2 else b""
            return size + bytes([random.randrange(0xE0, 0xE4), 2 * random.randrange(30)])
        case 3:
            code = random.choice((b"\xe8", b"\xe9"))
            return code + struct.pack("<I", to - state.eip - 5 & 0xFFFF_FFFF)
        case 4:
            _on_stack(state, to)
            return random.choice(
                (b"\xc3", b"\xc2\x08\x00", b"\xc2" + struct.pack("<H", random.randrange(64)))
            )
        case 5:
            register = random.choice(_NOT_ESP)
            state.registers[register] = to
            return b"\xff" + bytes([random.choice((0xD0, 0xE0)) | register])
        case 6:
            return b"\xff" + state.memory(random.choice((2, 4)), _in_data(state, struct.pack("<I", to)))
        case _:
            return bytes([0xEB, 2 * random.randrange(30)])


def sequence(state: State) -> bytes:
    """Arithmetic, a jump over nothing or back, and what reads the flags: they are computed late."""
    random = state.random
    state.registers[ECX] = random.choice((1, 2, 3, 0x1_0001))
    first = b"".join(
        random.choice(
            (
                bytes(
                    [
                        random.randrange(8) << 3 | 3,
                        0xC0 | random.choice(_NOT_ECX) << 3 | random.choice(_NOT_ECX),
                    ]
                ),
                bytes([0x40 | random.randrange(2) << 3 | random.choice(_NOT_ECX)]),
                bytes(
                    [0xC1, 0xC0 | random.randrange(8) << 3 | random.choice(_NOT_ECX), random.randrange(32)]
                ),
                bytes([0x0F, 0xAF, 0xC0 | random.choice(_NOT_ECX) << 3 | random.choice(_NOT_ECX)]),
                bytes([0x85, 0xC0 | random.randrange(64)]),
                b"\xf5",
            )
        )
        for _ in range(random.randrange(1, 4))
    )
    jumps = (b"\xeb\x00", bytes([0x70 | random.randrange(16), 0]), random.choice((b"\xe2\x00", b"\xe3\x00")))
    back = bytes([0xE2, -len(first) - 2 & 0xFF])
    last = (
        b"\x9c",
        bytes([0x0F, 0x90 | random.randrange(16), 0xC2]),
        b"\x83\xd0\x00",
        b"\xd1\xd2",
        b"",
        b"\x9f",
        bytes([0x0F, 0x40 | random.randrange(16), 0xD8]),
        b"\x0f\x0b",
    )
    return first + random.choice((*jumps, back)) + random.choice(last)


def far_jump(state: State) -> bytes:
    """Far JMP, CALL, RET and IRET: to other segments, rings and through a call gate."""
    random = state.random
    own = 0x1B if state.ring else 0x08
    selector = random.choice((own, own, 0x58 | state.ring, 0x78 | state.ring, _selector(state)))
    to = random.choice((_near(state), _near(state), random.getrandbits(32) | 0x1000_0000))
    match random.randrange(6):
        case 0:
            return random.choice((b"\xea", b"\x9a")) + struct.pack("<IH", to, selector)
        case 1:
            at = _in_data(state, struct.pack("<IH", to, selector))
            return b"\xff" + state.memory(random.choice((3, 5)), at)
        case 2:
            _on_stack(state, to, selector, STACK_MIDDLE - 64, 0x23)
            return random.choice((b"\xcb", b"\xca\x04\x00"))
        case _:
            flags = 2 | random.getrandbits(22) & 0x24_3ED7 & ~0x100
            stack_selector = random.choice((0x23, 0x23, 0x23, _selector(state)))
            if not state.ring and random.random() < 0.5:
                selector = 0x1B
            if selector & 3 == 0 and not state.ring:  # stays in ring 0, with its stack
                stack_selector = 0x10
            _on_stack(state, to, selector, flags, STACK_MIDDLE - 64, stack_selector)
            return b"\xcf"


def segment(state: State) -> bytes:
    """MOV, PUSH and POP of segment registers, LDS and kin, LAR, LSL, VERR, VERW, ARPL."""
    random = state.random
    prefix = b"\x66" if random.random() < 0.1 else b""
    selector = _selector(state)
    register = random.choice(_NOT_ESP)
    state.registers[register] = selector | random.getrandbits(32) & 0xFFFF_0000
    match random.randrange(9):
        case 0:
            return b"\x8e" + bytes([0xC0 | random.choice((0, 3, 4, 5)) << 3 | register])
        case 1 if state.ring:  # SS: ring 0 needs its own
            return b"\x8e" + bytes([0xD0 | register])
        case 2:
            return prefix + b"\x8c" + state.operand(random.randrange(6))
        case 3:
            return prefix + random.choice((b"\x06", b"\x0e", b"\x16", b"\x1e", b"\x0f\xa0", b"\x0f\xa8"))
        case 4:
            _on_stack(state, selector)
            pops = (b"\x07", b"\x1f", b"\x0f\xa1", b"\x0f\xa9", b"\x17")
            return random.choice(pops if state.ring else pops[:-1])
        case 5:
            state.data[:] = struct.pack("<IH", random.getrandbits(32), selector) * 10 + bytes(4)
            loads = (b"\xc4", b"\xc5", b"\x0f\xb4", b"\x0f\xb5", b"\x0f\xb2")
            return random.choice(loads if state.ring else loads[:-1]) + state.memory(state.destination())
        case 6:
            return (
                prefix
                + random.choice((b"\x0f\x02", b"\x0f\x03"))
                + bytes([0xC0 | state.destination() << 3 | register])
            )
        case 7:
            return b"\x0f\x00" + bytes([random.choice((0xE0, 0xE8)) | register])
        case _:
            return b"\x63" + state.operand(random.randrange(8))


def interrupt(state: State) -> bytes:
    """INT n, INT3, INTO, BOUND, INT1, UD2."""
    random = state.random
    match random.randrange(7):
        case 0:
            return b"\xcc"
        case 1 | 2:
            vectors = (
                0x80,
                0x91,
                0x90,
                0x93,
                0x94,
                0x95,
                3,
                4,
                0x21,
                random.choice((0, 1, 5, 6, 7, 9, 16, 18, 255)),
            )
            return b"\xcd" + bytes([random.choice(vectors)])
        case 3:
            return b"\xce"
        case 4:
            return b"\x62" + state.memory(random.randrange(8))
        case 5:
            return random.choice((b"\x0f\x0b", b"\x0f\xb9\xc0", b"\x0f\xff\xc0", b"\xf1"))
        case _:
            return random.choice((b"\x8d\xc0", b"\xfe\xf8", b"\xff\xff"))


_OF_RING_0 = (
    b"\xf4",  # hlt
    b"\x0f\x00\xd0",  # lldt %ax
    b"\x0f\x00\xd8",  # ltr %ax
    b"\x0f\x01\x15\0\x38\x50\0",  # lgdt
    b"\x0f\x01\x1d\0\x38\x50\0",  # lidt
    b"\x0f\x01\xf0",  # lmsw %ax
    b"\x0f\x22\xc0",  # mov %eax, %cr0
    b"\x0f\x22\xd8",  # mov %eax, %cr3
    b"\x0f\x22\xe0",  # mov %eax, %cr4
    b"\x0f\x23\xc0",  # mov %eax, %dr0
    b"\x0f\x30",  # wrmsr
    b"\x0f\x32",  # rdmsr
    b"\x0f\x35",  # sysexit
)
_EVERYWHERE = (
    b"\x0f\x06",  # clts
    b"\x0f\x08",  # invd
    b"\x0f\x09",  # wbinvd
    b"\x0f\x01\x38",  # invlpg (%eax)
    b"\x0f\x20\xc0",  # mov %cr0, %eax
    b"\x0f\x20\xd1",  # mov %cr2, %ecx
    b"\x0f\x20\xe2",  # mov %cr4, %edx
    b"\x0f\x21\xf8",  # mov %dr7, %eax
    b"\x0f\x01\xe0",  # smsw %eax
    b"\x0f\x00\xc0",  # sldt %eax
    b"\x0f\x00\xc8",  # str %eax
    b"\xfa",
    b"\xfb",
    b"\x9b",  # fwait
    b"\x0f\x34",  # sysenter, with an MSR of zero
    b"\xe6\x80",  # out %al, $0x80
    b"\xe7\x80",
)


def privileged(state: State) -> bytes:
    """What ring 3 must not do, or only with IOPL or the bitmap of the TSS, and what ring 0 may."""
    random = state.random
    if random.random() < 0.3:
        state.eflags |= IOPL
    choices: tuple[bytes, ...] = _EVERYWHERE + _OF_RING_0 if state.ring else _EVERYWHERE
    if state.ring and not state.eflags & IOPL:
        choices += (b"\xe4\x60", b"\xe5\x40", b"\xee", b"\xec", b"\x6c", b"\x6e", b"\xf3\x6d")
    return random.choice(choices)


def garbage(state: State) -> bytes:
    """Any bytes, in ring 3."""
    state.ring = 3
    state.eflags &= ~IOPL
    state.registers[ESP] = state.random.choice((STACK_MIDDLE, STACK_MIDDLE, STACK))
    return state.random.randbytes(state.random.randrange(1, 9))
