from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.helpers.guest import ENABLE_SSE, machine_of

if TYPE_CHECKING:
    from emulator.machine.core.core_types import FpuRegisters

PI, ONE = (0x4000, 0xC90F_DAA2_2168_C235), (0x3FFF, 1 << 63)
EMPTY = 3


def registers_after(code: str) -> FpuRegisters:
    machine = machine_of(f"{ENABLE_SSE}\n{code}\n        exit    0\n")
    machine.run()
    return machine.fpu_registers()


def number(exponent: int, significand: int) -> int:
    return exponent << 64 | significand


def test_the_stack_begins_at_its_top() -> None:
    registers = registers_after("fninit\nfldpi\nfld1\n")
    assert registers.stack == (number(*ONE), number(*PI), 0, 0, 0, 0, 0, 0)
    assert registers.status >> 11 & 7 == 6, "two were pushed"
    assert [registers.tags >> 2 * each & 3 for each in range(8)] == [EMPTY] * 6 + [0, 0]
    assert registers.control == 0x37F


def test_a_kernel_finds_the_fpu_as_fninit_leaves_it() -> None:
    registers = registers_after("")
    assert (registers.control, registers.status, registers.tags) == (0x37F, 0, 0xFFFF)
    assert registers.mxcsr == 0x1F80
    assert registers_after("fninit") == registers


def test_a_kernel_may_divide_by_zero_without_fninit() -> None:
    native_errors = "movl %cr0, %eax\norl $0x20, %eax\nmovl %eax, %cr0\n"
    registers = registers_after(f"{native_errors}fldz\nfld1\nfdivp\nfwait\n")
    assert registers.status & 1 << 2, "it is noted, and raises no #MF"


def test_sse_has_registers_of_128_bits() -> None:
    registers = registers_after(
        """
        .data
        .balign 16
values: .long   1, 2, 3, 4
rounding: .long 0x3f80
        .text
        movups  values, %xmm5
        ldmxcsr rounding
        """
    )
    assert registers.xmm[5].to_bytes(16, "little") == struct.pack("<4I", 1, 2, 3, 4)
    assert registers.xmm[4] == 0
    assert registers.mxcsr == 0x3F80
