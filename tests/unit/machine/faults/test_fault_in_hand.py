"""Whether a guest has ended in the handler of an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.guest import symbol
from tests.unit.machine.board.test_interrupts import guest

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

INVALID_OPCODE, GENERAL_PROTECTION = 6, 13
UD2 = "gate 6, h\n fault: ud2\n behind: exit 0"


def fault_of(machine: Machine) -> tuple[int, int] | None:
    fault = machine.fault_in_hand()
    return None if fault is None else (fault.vector, fault.eip)


@pytest.mark.parametrize("handler", ["h: exit 2", "h: pushl $1\n call 1f\n1: exit 2", "h: cli\n hlt"])
def test_a_handler_that_ends_the_run_has_the_fault(handler: str) -> None:
    machine = guest(UD2, handler)
    machine.run()
    assert fault_of(machine) == (INVALID_OPCODE, symbol(machine, "fault"))


def test_a_fault_with_an_error_code() -> None:
    machine = guest("gate 13, h\n movl $0x1234, %eax\n fault: movl %eax, %ss\n exit 0", "h: exit 2")
    machine.run()
    assert fault_of(machine) == (GENERAL_PROTECTION, symbol(machine, "fault"))


def test_a_handler_that_returns_has_none() -> None:
    machine = guest(UD2, "h: addl $2, (%esp)\n iret")
    assert machine.run().exit_value == 0
    assert fault_of(machine) is None


def test_a_handler_that_goes_elsewhere_has_none() -> None:
    machine = guest(UD2, "h: movl $behind, (%esp)\n iret")
    assert machine.run().exit_value == 0
    assert fault_of(machine) is None


def test_a_handler_that_is_about_to_return_elsewhere_has_none() -> None:
    machine = guest(UD2, "h: movl $behind, (%esp)\n exit 2")
    machine.run()
    assert fault_of(machine) is None


def test_an_interrupt_of_the_guests_own_is_no_fault() -> None:
    machine = guest("gate 0x40, h\n int $0x40", "h: exit 2")
    machine.run()
    assert fault_of(machine) is None


def test_a_reset_takes_the_fault_back() -> None:
    machine = guest(UD2, "h: exit 2")
    with machine.snapshot():
        machine.run()
        assert fault_of(machine) is not None
    assert machine.interrupts.last_fault is None
