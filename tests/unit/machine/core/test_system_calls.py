"""syscall, sysret, sysenter, sysexit in 32-bit mode of a CPU of Intel's (SDM vol. 2B): they are never passed over."""

from __future__ import annotations

import pytest

from emulator.errors import GuestException, NotEmulated
from tests.helpers.guest import machine_of, results_of, symbol
from tests.unit.machine.board.test_interrupts import guest

SCE = "movl $0xc0000080, %ecx\n rdmsr\n orl $1, %eax\n wrmsr\n"
SYSENTER_CS = "movl $0x174, %ecx\n xorl %edx, %edx\n movl $8, %eax\n wrmsr\n"


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("before", ["nop\n", SCE], ids=["", "EFER.SCE"])
@pytest.mark.parametrize(
    ("instruction", "vector"), [("syscall", 6), ("sysret", 6), ("sysenter", 13), ("sysexit", 13)]
)
def test_what_they_raise(instruction: str, vector: int, before: str, mmu: str) -> None:
    for budget in (None, 100):
        machine = machine_of(f"{before} fault: {instruction}\n hlt", mmu=mmu)
        with pytest.raises(GuestException) as caught:
            machine.run(max_instructions=budget)
        assert (caught.value.vector, caught.value.eip) == (vector, symbol(machine, "fault"))


def test_a_handler_sees_the_instruction(mmu: str) -> None:
    body = "gate 6, on_6\n nop\n fault: syscall\n exit 9"
    machine = guest(body, "on_6: movl (%esp), %ebx\n put ebx\n exit 0", mmu)
    assert machine.run().exit_value == 0
    assert results_of(machine, 1) == [symbol(machine, "fault")]


def test_sysenter_that_a_kernel_has_prepared_is_what_kmemu_lacks(mmu: str) -> None:
    machine = machine_of(SYSENTER_CS + "fault: sysenter\n hlt", mmu=mmu)
    with pytest.raises(NotEmulated, match=r"^kmemu does not have sysenter at fault\+0x0 ") as caught:
        machine.run()
    assert caught.value.eip == symbol(machine, "fault")
