"""What `emulator.machine.code.steps` reads without capstone is what capstone reads, instruction by instruction."""

from __future__ import annotations

import random
from itertools import product

import pytest

from emulator.loader.functions.disassembler import disassembler
from emulator.machine.code.steps import Next, Step, instruction_starts, read_step
from emulator.machine.code.unusual_steps import decode_step

AT = 0xFFFF_FFF0  # distances lead past the end of the address space, too
OPCODES = [*(bytes((code,)) for code in range(256)), *(bytes((0x0F, code)) for code in range(256))]
MODRM = [
    bytes((modrm, sib))
    for modrm in range(256)
    for sib in ((0x24, 0x65) if modrm & 7 == 4 and modrm < 0xC0 else (0x11,))
]


def cases(prefix: bytes, every: int) -> list[bytes]:
    """Return code that begins with each opcode, with every so manieth of the operands."""
    noise = random.Random(1)
    operands = MODRM[::every]
    return [prefix + opcode + operand + noise.randbytes(12) for opcode, operand in product(OPCODES, operands)]


@pytest.mark.parametrize(
    ("prefix", "every", "least"),
    [
        ("", 1, 75_000),
        ("66", 5, 12_000),
        ("2e", 5, 12_000),
        ("66 2e", 11, 5_000),
        ("64 66 66", 11, 5_000),
        ("f2", 11, 200),
        ("f3", 11, 200),
        ("66 f3", 11, 200),
        ("f3 66", 11, 0),
        ("f0", 11, 0),
        ("67", 11, 0),
    ],
)
def test_instructions_are_read_as_capstone_reads_them(prefix: str, every: int, least: int) -> None:
    read = [(read_step(code, 0, AT), code) for code in cases(bytes.fromhex(prefix), every)]
    known = [(step, code) for step, code in read if step is not None]
    wrong = [(code.hex(" "), step) for step, code in known if step != decode_step(code, AT)]
    assert wrong == []
    assert len(known) >= least, "too much is left to capstone"


def test_what_is_cut_off_is_no_instruction() -> None:
    for code in cases(b"\x66", 37):
        step = read_step(code, 0, AT)
        if step is not None:
            assert [read_step(code[:size], 0, AT) for size in range(step.size)] == [None] * step.size


def test_an_instruction_has_fifteen_bytes_at_most() -> None:
    assert read_step(b"\x66" * 14 + b"\x90", 0, AT) == Step(AT, 15, Next.ON)
    assert read_step(b"\x66" * 15 + b"\x90", 0, AT) is None


@pytest.mark.parametrize(
    ("code", "following", "target"),
    [
        ("75 02", Next.BRANCH, 0x1004),
        ("0f 84 fa ff ff ff", Next.BRANCH, 0x1000),
        ("e2 fe", Next.BRANCH, 0x1000),
        ("eb 7f", Next.JUMP, 0x1081),
        ("e9 fb ef ff ff", Next.JUMP, 0),
        ("e8 fb df ff ff", Next.CALL, 0xFFFF_F000),
        ("ff e0", Next.INDIRECT, 0),
        ("ff d0", Next.STOP, 0),
        ("f4", Next.STOP, 0),
        ("0f 0b", Next.STOP, 0),
        ("cd 80", Next.STOP, 0),
        ("c2 08 00", Next.RETURN, 0),
        ("cf", Next.LEAVE, 0),
        ("f3 90", Next.ON, 0),
        ("f3 ab", Next.ON, 0),
    ],
)
def test_where_control_goes(code: str, following: Next, target: int) -> None:
    read = bytes.fromhex(code)
    assert read_step(read, 0, 0x1000) == Step(0x1000, len(read), following, target)


@pytest.mark.parametrize(
    "code", ["cb", "ea 00 00 00 00 08 00", "ff 28", "66 c3", "2e 75 02", "d9 c9", "f0 ff 00"]
)
def test_what_is_rare_is_left_to_capstone(code: str) -> None:
    read = bytes.fromhex(code)
    assert read_step(read, 0, 0x1000) is None
    assert decode_step(read, 0x1000) is not None


def test_code_is_divided_as_capstone_divides_it() -> None:
    code = bytes.fromhex("55 89 e5 83 ec 08 66 c7 45 fe 01 00 e8 00 00 00 00 f3 a5 0f b6 45 fe c9 c3")
    starts = [address for address, *_ in disassembler().disasm_lite(code, 0)]
    assert instruction_starts(code) == starts
    assert instruction_starts(b"") == []


@pytest.mark.parametrize("code", ["90 d9 c9", "90 e8 00 00 00"])
def test_code_of_what_is_left_to_capstone_is_not_divided(code: str) -> None:
    assert instruction_starts(bytes.fromhex(code)) is None
