"""Memory operands of SSE that are not aligned: #GP(0) where a CPU raises it (SDM vol. 2A, 2.4); see tests/oracle, too."""

from __future__ import annotations

import pytest

from emulator.errors import GuestException
from tests.helpers.guest import ENABLE_SSE, results_of, symbol
from tests.unit.machine.board.test_interrupts import guest

SSE = f"""{ENABLE_SSE}
        movl    $0x300008, %ecx
        movl    $0x300010, %edx
        pxor    %xmm1, %xmm1
"""
HANDLER = "on_13: popl %ebx\n put ebx\n popl %ebx\n put ebx\n exit 0"
ALIGNED = ["movaps {}, %xmm0", "movaps %xmm1, {}", "movdqa {}, %xmm0", "movntps %xmm1, {}", "addps {}, %xmm1", "ss movapd {}, %xmm0", ".byte 0x66\n movsldup {}, %xmm0"]  # fmt: skip
ANY = ["movups {}, %xmm0", "movdqu %xmm1, {}", "lddqu {}, %xmm0", "addsd {}, %xmm1", "cvtps2pd {}, %xmm0", "paddb {}, %mm1", "movq {}, %xmm0"]  # fmt: skip


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("budget", [None, 1000])
@pytest.mark.parametrize("instruction", ALIGNED)
def test_an_operand_that_has_to_be_aligned(instruction: str, budget: int | None, mmu: str) -> None:
    body = f"{SSE} gate 13, on_13\n {instruction.format('(%edx)')}\n fault: {instruction.format('(%ecx)')}\n exit 9"
    machine = guest(body, HANDLER, mmu)
    assert machine.run(max_instructions=budget).exit_value == 0
    assert results_of(machine, 2) == [0, symbol(machine, "fault")]


@pytest.mark.parametrize("instruction", ANY)
def test_an_operand_that_need_not_be(instruction: str, mmu: str) -> None:
    assert guest(f"{SSE}{instruction.format('1(%ecx)')}\n exit 0", "", mmu).run().exit_value == 0


def test_what_is_loaded_and_stored_is_right(mmu: str) -> None:
    body = "movl $0x12345678, (%edx)\n movl $77, 12(%edx)\n movaps (%edx), %xmm0\n movaps %xmm0, 16(%edx)\n movl 16(%edx), %eax\n put eax\n movl 28(%edx), %eax\n put eax"
    machine = guest(SSE + body, "", mmu)
    assert machine.run().exit_value == 0
    assert results_of(machine, 2) == [0x12345678, 77]


def test_without_a_handler_and_while_steps_are_kept() -> None:
    machine = guest(f"{SSE} fault: movaps (%ecx), %xmm0")
    machine.observers.log_steps(1000)
    with pytest.raises(GuestException, match=r"^triple fault: #GP general protection ") as caught:
        machine.run()
    assert caught.value.eip == symbol(machine, "fault")


OVERRULED = [
    ("0x66, 0xf2", "0xf2", 0x58),  # addsd
    ("0xf2, 0x66", "0xf2", 0x58),
    ("0x66, 0xf3", "0xf3", 0x6F),  # movdqu
    ("0xf3, 0xf2", "0xf2", 0x12),  # movddup
    ("0xf2, 0xf3", "0xf3", 0x5A),  # cvtss2sd
    ("0xf3, 0x66, 0x3e, 0xf2", "0xf2", 0x5D),  # minsd
]


def result_of(prefixes: str, opcode: int, offset: int, mmu: str) -> list[int]:
    """What is in xmm1 after an instruction with an operand that lies *offset* after edx."""
    pattern = "movl $0x41424344, %eax\n movl %eax, (%edx)\n incl %eax\n movl %eax, 12(%edx)\n movups (%edx), %xmm1\n incl 9(%edx)"
    instruction = f".byte {prefixes}, 0x0f, {opcode}, 0x4a, {offset}\n movups %xmm1, 32(%edx)"
    words = "\n".join(f"movl {at}(%edx), %eax\n put eax" for at in (32, 36, 40, 44))
    machine = guest(f"{SSE}{pattern}\n {instruction}\n {words}", "", mmu)
    assert machine.run().exit_value == 0
    return results_of(machine, 4)


@pytest.mark.parametrize(("prefixes", "last", "opcode"), OVERRULED)
@pytest.mark.parametrize("offset", [0, 1])
def test_the_last_f2_or_f3_says_which_instruction_it_is(
    prefixes: str, last: str, opcode: int, offset: int, mmu: str
) -> None:
    """The SDM leaves it open; the CPUs at hand do so."""
    assert result_of(prefixes, opcode, offset, mmu) == result_of(last, opcode, offset, mmu)


@pytest.mark.parametrize(
    "scan", [".byte 0x66, 0xf2, 0x0f, 0xbc, 0xc3", ".byte 0x66, 0xf3, 0x0f, 0xbc, 0xc3", "bsfw %bx, %ax"]
)
def test_66_keeps_its_meaning_where_f2_or_f3_has_none(scan: str, mmu: str) -> None:
    machine = guest(
        f"movl $0x100000, %ebx\n movl $-1, %eax\n {scan}\n setz %cl\n movzbl %cl, %ecx\n put ecx", "", mmu
    )
    assert machine.run().exit_value == 0
    assert results_of(machine, 1) == [1]  # no bit is set in BX
