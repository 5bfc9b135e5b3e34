from __future__ import annotations

import pytest

from emulator.errors import BudgetUsedUp, NotEmulated
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from tests.helpers.real_mode import kept, real_mode_machine

CARRY = 1


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_a_service_returns_to_its_caller(mmu: str) -> None:
    machine = real_mode_machine("int $0x12\n keep eax\n leave", mmu=mmu)
    machine.run(timeout_s=20)
    assert kept(machine) == [639]


def test_a_service_that_is_not_there_is_counted() -> None:
    machine = real_mode_machine(
        """
        movw    $2, %cx
1:      movw    $0x53aa, %ax
        int     $0x15
        flags
        keep    eax
        loop    1b
        leave
        """
    )
    machine.run(timeout_s=20)
    first, ax, _, _ = kept(machine)
    assert first & CARRY
    assert ax == 0x86AA
    [lack] = machine.unanswered.lacks()
    assert (lack.service, lack.reads, lack.port, lack.address) == ("int 0x15, AH=53", 2, None, None)


def test_snapshots_keep_how_often_a_service_was_called() -> None:
    machine = real_mode_machine("movb $0x77, %ah\n int $0x15\n movb $0xf0, %al\n outb %al, $0x80\n leave")
    snapshot = machine.snapshot()
    machine.run(timeout_s=20)
    assert [lack.reads for lack in machine.unanswered.lacks()] == [1]
    snapshot.reset()
    assert machine.unanswered.lacks() == ()


@pytest.mark.parametrize("vector", [0x18, 0x19])
def test_no_disk_is_booted_from(vector: int) -> None:
    machine = real_mode_machine(f"int ${vector}")
    with pytest.raises(
        NotEmulated, match=rf"^kmemu does not have int 0x{vector:02x}, which boots from a disk "
    ):
        machine.run(timeout_s=20)


def test_the_start_of_a_bios_resets_the_pc() -> None:
    assert real_mode_machine("ljmp $0xffff, $0").run(timeout_s=20).ending is Returned.RESET


@pytest.mark.parametrize("code", ["ljmp $0xf000, $0xd000", "ljmp $0xf000, $0"], ids=["undefined", "data"])
def test_the_rest_of_the_rom_is_no_code(code: str) -> None:
    with pytest.raises(NotEmulated, match=r"^kmemu does not have code of a BIOS: a jump into its ROM at "):
        real_mode_machine(code).run(timeout_s=20)


def test_an_undefined_instruction_of_the_guests_own_is_its_own() -> None:
    machine = real_mode_machine(
        """
        movw    $0x8000 + handler - low, 6 * 4
        movw    $0, 6 * 4 + 2
        ud2
handler:
        keep    esp
        leave
        """
    )
    machine.run(timeout_s=20)
    assert kept(machine) == [0x7C00 - 6 - 4]  # its frame, and what `keep` has pushed


def test_an_interrupt_through_a_changed_vector_can_be_passed_on() -> None:
    machine = real_mode_machine(
        """
        movl    0x12 * 4, %eax
        movl    %eax, 0x8000 + old - low
        movw    $0x8000 + mine - low, 0x12 * 4
        movw    $0, 0x12 * 4 + 2
        int     $0x12
        movzwl  %ax, %eax
        keep    eax
        leave
mine:   pushfw
        lcallw  *%cs:0x8000 + old - low
        addw    $0x1000, %ax
        iretw
old:    .long   0
        """
    )
    machine.run(timeout_s=20)
    assert kept(machine) == [0x1000 + 639]


def test_a_budget_may_end_at_any_instruction_of_a_call() -> None:
    source = "1: int $0x11\n int $0x12\n incw %cx\n cmpw $20, %cx\n jb 1b\n keep ecx\n leave"
    whole = real_mode_machine(source)
    total = whole.run(timeout_s=20).instructions
    parts = real_mode_machine(source)
    for _ in range(total - 2):  # the last block ends after the exit
        with pytest.raises(BudgetUsedUp):
            parts.run(max_instructions=1)
    assert parts.run(max_instructions=1).exit_code == 1
    assert kept(parts) == kept(whole) == [20]


def test_the_serial_port_of_the_bios_is_the_console() -> None:
    machine = real_mode_machine("movw $0x0141, %ax\n int $0x14\n leave")
    machine.run(timeout_s=20)
    assert machine.output[Console.SERIAL] == b"A"
