"""Which instructions of SSE fault where their memory operand is not aligned: QEMU's and ours are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.helpers import qemu
from tests.helpers.guest import ENABLE_SSE, as_bytes, symbol
from tests.unit.machine.board.test_interrupts import guest

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.machine import Machine

EXECUTED, PROTECTION, INVALID = 3, 1, 2
PREFIXES = (b"", b"\x66", b"\xf2", b"\xf3")
PLAIN = (
    *range(0x10, 0x18),
    *range(0x28, 0x30),
    *range(0x50, 0x77),
    *range(0x7C, 0x80),
    0xC2,
    0xC4,
    0xC6,
    *range(0xD0, 0xFF),
)
AT_ECX, CONSTANT = b"\x09", b"\x00"
WITH_CONSTANT = (0x70, 0x71, 0x72, 0x73, 0xC2, 0xC4, 0xC6)
SET_UP = f"""
        gate    6, on_6
        gate    13, on_13
{ENABLE_SSE}
"""
CASE = """
        movl    $table + {number}, at
        movl    $1f, resume
        movl    $operand + 8, %ecx
{code}
        movb    $3, table + {number}
1:
"""
HANDLERS = """
        cli
        hlt
on_6:   movb    $2, %al
        jmp     1f
on_13:  popl    %eax
        movb    $1, %al
1:      movl    at, %edx
        movb    %al, (%edx)
        movl    resume, %eax
        movl    %eax, (%esp)
        iret
        .data
at:     .long   0
resume: .long   0
        .bss
        .balign 64
operand: .skip  64
table:  .skip   {count}
"""


# By the SDM their operands have to be aligned (vol. 2A, table 2-21, types 2 and 4); QEMU 7.2 does not ask.
LENIENT = {
    *("0f1409", "0f1509", "0f5409", "0f5509", "0f5609", "0f5709", "0f5b09", "0fc609", "660f1409", "660f1509"),
    *(
        "660f2c09",
        "660f2d09",
        "660f5409",
        "660f5509",
        "660f5609",
        "660f5709",
        "660f5a09",
        "660f5b09",
        "660f7c09",
    ),
    *(
        "660f7d09",
        "660fc609",
        "660fd009",
        "660fe109",
        "660fe209",
        "660fe609",
        "660ff109",
        "660ff209",
        "660ff309",
    ),
    *("f20f7c09", "f20f7d09", "f20fd009", "f20fe609", "f30f1209", "f30f1609", "f30f5b09"),
}


class Instruction(NamedTuple):
    """One with a memory operand at the address in ecx."""

    code: bytes

    @property
    def has_constant(self) -> bool:
        """Whether a byte follows the operand."""
        return (self.code[-2] in WITH_CONSTANT and self.code[-3] == 0x0F) or b"\x0f\x3a" in self.code


INSTRUCTIONS = [
    *(Instruction(prefix + bytes([0x0F, opcode]) + AT_ECX) for prefix in PREFIXES for opcode in PLAIN),
    *(
        Instruction(b"\x66\x0f" + bytes([map_byte, opcode]) + AT_ECX)
        for map_byte in (0x38, 0x3A)
        for opcode in range(0xF0)
    ),
]


def machine() -> Machine:
    cases = (
        CASE.format(number=number, code=as_bytes(each.code + (CONSTANT if each.has_constant else b"")))
        for number, each in enumerate(INSTRUCTIONS)
    )
    body = SET_UP + "\n".join(cases)
    return guest(body + "\n exit 0\n" + HANDLERS.format(count=len(INSTRUCTIONS)))


def test_the_same_instructions_fault(tmp_path: Path) -> None:
    """Where QEMU's CPU lacks an instruction, it has no opinion; some others it lets pass that the SDM does not."""
    ours = machine()
    assert ours.run(timeout_s=30).exit_value == 0
    table = symbol(ours, "table")
    kernel = tmp_path / "guest.elf"
    kernel.write_bytes(ours.image.data)
    ram = qemu.inspect(kernel, ours.image.physical_entry, table + len(INSTRUCTIONS)).at_end.ram
    mine = ours.memory.read(table, len(INSTRUCTIONS))
    both = [(each.code.hex(), *bytes_) for each, *bytes_ in zip(INSTRUCTIONS, mine, ram[table:], strict=True)]
    assert [code for code, here, there in both if there not in (INVALID, here) and there != EXECUTED] == []
    assert {code for code, here, there in both if (here, there) == (PROTECTION, EXECUTED)} == LENIENT
    assert [code for code, here, there in both if (here, there) == (INVALID, EXECUTED)] == []
    assert sum(here == there == PROTECTION for _, here, there in both) > 80
    assert sum(here == there == EXECUTED for _, here, there in both) > 100
