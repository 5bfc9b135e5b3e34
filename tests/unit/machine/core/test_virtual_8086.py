"""Virtual 8086 mode is ring 3, whatever CS holds (Intel SDM vol. 3B, 21.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from emulator.errors import GuestException
from tests.helpers.guest import machine_of
from tests.helpers.page_tables import LARGE_PAGE, PAGE, P, PageTables, U, W, enable_paging

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

Mmu = Literal["fast", "reference"]
CODE, STACK, FLAG_VM = 0x8000, 0x7000, 1 << 17
SUPERVISORS = 0x6000
# In the GDT of the machine there is no task state segment: nothing here leaves virtual 8086 mode.
ENTER = f"""
        .code32
        movl    $code_16, %esi
        movl    $0x{CODE:x}, %edi
        movl    $64, %ecx
        rep movsb
        pushl   $0                          # GS, FS, DS, ES
        pushl   $0
        pushl   $0
        pushl   $0
        pushl   $0x{STACK >> 4:x}           # SS, ESP
        pushl   $0xf00
        pushl   $0x{FLAG_VM | 2:x}
        pushl   $0x{CODE >> 4:x}            # CS, EIP
        pushl   $0
        iret
        .code16
code_16:
"""
HANDLERS = """
        lidt    idtr
        .data
        .balign 8
idt:    .rept   32
        .word   handler_low, 8, 0x8e00, handler_high
        .endr
idtr:   .word   255
        .long   idt
        .text
"""


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> Mmu:
    found: Mmu = request.param
    return found


def paged(code: str, mmu: Mmu) -> Machine:
    """Return a machine whose first 4 MiB are open to all, but for one page."""
    machine = machine_of(enable_paging() + ENTER + code, mmu=mmu)
    tables = PageTables(machine.memory)
    for page in range(0, LARGE_PAGE, PAGE):
        tables.map(page, page, P | W if page == SUPERVISORS else P | W | U)
    return machine


def stopped(machine: Machine) -> GuestException:
    with pytest.raises(GuestException) as caught:
        machine.run(timeout_s=20)
    return caught.value


@pytest.mark.parametrize("access", ["movb 0x6010, %al", "movb %al, 0x6010"])
def test_a_supervisors_page_is_out_of_reach(access: str, mmu: Mmu) -> None:
    machine = paged(f"movw $1, %cx\n {access}\n cli\n hlt", mmu)
    error = stopped(machine)
    assert (error.vector, error.eip) == (14, 3)
    if mmu == "fast":
        code = 7 if access.endswith("0x6010") else 5
        assert f", error code 0x{code}," in error.problem


def test_a_page_of_its_own_is_not(mmu: Mmu) -> None:
    machine = paged("movb $7, 0x5010\n ud2", mmu)
    assert stopped(machine).vector == 6
    assert machine.memory.load_u8(0x5010) == 7


def test_an_exception_does_not_reach_a_handler_on_the_wrong_stack(mmu: Mmu) -> None:
    gate = "handler_low = 0x0100\n handler_high = 0x0010\n"
    machine = machine_of(gate + HANDLERS + ENTER + "movw $1, %cx\n ud2", mmu=mmu)
    problem = (
        r"^#UD invalid opcode came in ring 3, and the task register was never loaded: its handler has no stack "
        r"at EIP 0x00000003$"
    )
    with pytest.raises(GuestException, match=problem):
        machine.run(timeout_s=20)
    registers = machine.cpu.registers()
    assert (registers.cs, registers.eip, registers.esp) == (CODE >> 4, 3, 0xF00)
    assert registers.eflags & FLAG_VM
    assert not any(machine.memory.read(STACK, 0x1000))
