"""The LOCK prefix where it must not stand is an invalid opcode, never the end of the process (SDM vol. 2A, LOCK)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import pytest

from emulator.machine.core.core_types import Reason
from tests.helpers.guest import machine_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.machine.machine import Machine

Mmu = Literal["fast", "reference"]
INVALID_OPCODE = 6
CODE, DATA = 0x0020_0000, 0x0030_0000
LOCK, HLT = 0xF0, 0xF4
PREFIXES = (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, LOCK, 0xF2, 0xF3)
REGISTER, MEMORY = 0xC1, 0x01  # modrm: ecx, or the memory at ecx
FIELDS = range(8)  # of modrm: a register, or a part of the opcode
LOCKABLE = {
    *((bytes([first + low]), field) for first in range(0, 0x38, 8) for low in (0, 1) for field in FIELDS),
    *((bytes([opcode]), field) for opcode in range(0x80, 0x84) for field in range(7)),
    *((bytes([opcode]), field) for opcode in (0x86, 0x87) for field in FIELDS),
    *((bytes([opcode]), field) for opcode in (0xF6, 0xF7) for field in (2, 3)),
    *((bytes([opcode]), field) for opcode in (0xFE, 0xFF) for field in (0, 1)),
    *((bytes([0x0F, second]), field) for second in (0xAB, 0xB3, 0xBB, 0xB0, 0xB1, 0xC0, 0xC1) for field in FIELDS),
    *((bytes([0x0F, 0xBA]), field) for field in (5, 6, 7)),
    (bytes([0x0F, 0xC7]), 1),
}  # fmt: skip


class Case(NamedTuple):
    """An instruction after LOCK, and whether LOCK may stand there."""

    code: bytes
    valid: bool


def every_case() -> list[Case]:
    opcodes = [
        *(bytes([opcode]) for opcode in range(0x100) if opcode != 0x0F and opcode not in PREFIXES),
        *(bytes([0x0F, second]) for second in range(0x100)),
    ]
    return [
        Case(opcode + bytes([modrm | field << 3]), modrm == MEMORY and (opcode, field) in LOCKABLE)
        for opcode in opcodes
        for modrm in (REGISTER, MEMORY)
        for field in FIELDS
    ]


def is_refused(machine: Machine, code: bytes, budget: int | None) -> bool:
    """Run one instruction: whether it raises #UD. What is done is done by other instructions, too, or by none."""
    machine.memory.write(CODE, code.ljust(32, bytes([HLT])))
    before = machine.cpu.registers()
    machine.cpu.set_registers(
        before._replace(
            eax=DATA, ecx=DATA, edx=DATA, ebx=DATA, esp=DATA, ebp=DATA, esi=DATA, edi=DATA, eip=CODE
        )
    )
    machine.cpu.flush_code()
    stop = machine.cpu.run(budget)
    refused = stop.reason is Reason.EXCEPTION and stop.vector == INVALID_OPCODE
    assert not refused or (stop.eip == CODE and machine.cpu.registers().esp == DATA)
    assert refused or stop.reason in (Reason.HALTED, Reason.INSTRUCTIONS), (code.hex(), stop)
    return refused


def wrongly_answered(cases: Iterable[Case], mmu: Mmu, budget: int | None) -> list[str]:
    """The code of the cases that a machine takes for what they are not."""
    machine = machine_of("hlt", mmu=mmu)
    wrong = []
    for case in cases:
        with machine.snapshot():
            if is_refused(machine, bytes([LOCK]) + case.code, budget) == case.valid:
                wrong.append(case.code.hex())
    return wrong


@pytest.mark.parametrize(
    ("mmu", "budget"), [("fast", None), ("fast", 1), ("reference", None), ("reference", 1)]
)
def test_every_opcode(mmu: Mmu, budget: int | None) -> None:
    """In a process of its own: it must live to the end."""
    command = [sys.executable, "-m", "tests.unit.machine.core.test_lock", mmu, json.dumps(budget)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[4])
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]", "")


BTC_MEMORY, BTC_REGISTER = bytes.fromhex("0fbb09"), bytes.fromhex("0fbbc9")


@pytest.mark.parametrize(
    "prefixes",
    [[LOCK], [LOCK, LOCK], *([LOCK, each] for each in PREFIXES), *([each, LOCK] for each in PREFIXES)],
)
def test_other_prefixes_change_nothing(prefixes: list[int]) -> None:
    machine = machine_of("hlt")
    for code, valid in ((BTC_MEMORY, True), (BTC_REGISTER, False)):
        assert is_refused(machine, bytes(prefixes) + code, None) != valid


@pytest.mark.parametrize("code", ["b0f0", "b8f0f0f0f0", "0410b8f00fbbc0", "80c1f0", "8d81f00fbbc0", "8d41f0"])
def test_a_byte_of_another_meaning_is_none(code: str) -> None:
    """0xf0 as a constant or a displacement, with bytes after it that would make it an invalid LOCK."""
    assert not is_refused(machine_of("hlt"), bytes.fromhex(code), None)


def test_the_instruction_may_reach_to_the_last_byte_of_ram() -> None:
    """Deciding about LOCK reads nothing after the instruction."""
    machine = machine_of("hlt")
    code = bytes([LOCK]) + BTC_MEMORY
    end = machine.ram.end
    machine.memory.write(end - len(code), code)
    machine.cpu.set_registers(machine.cpu.registers()._replace(ecx=DATA, eip=end - len(code)))
    stop = machine.cpu.run(None)
    assert (stop.reason, stop.address) == (Reason.UNMAPPED, end)


if __name__ == "__main__":
    chosen: Mmu = "fast" if sys.argv[1] == "fast" else "reference"
    json.dump(wrongly_answered(every_case(), chosen, json.loads(sys.argv[2])), sys.stdout)
