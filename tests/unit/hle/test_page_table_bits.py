"""A and D bits that the CPU sets in page tables while a call in lockstep goes on, in entries that the call changes itself, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.hle.layers import LockstepCalls, Mode, attach_layers, lockstep_calls
from emulator.hle.lockstep import Divergence
from tests.helpers.guest import symbol
from tests.helpers.paging_kernel import paging_machine, register

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

SET_ENTRY = "pushl $second + 7\n pushl ${}\n call entry_set\n exit 0"
SET_DIRECTORY = "pushl $0x87\n pushl $3\n call directory_set\n exit 0"
READ, WRITE = "movl {}, %edx\n", "addl $0, {}\n"
A, D = 0x20, 0x40


@pytest.fixture(autouse=True)
def entry(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def machine_for(body: str, first: str = "", extra: str = "") -> Machine:
    machine = paging_machine(body, first=first, extra=extra)
    attach_layers(machine, {"tables": Mode.LOCKSTEP})
    return machine


def agrees(machine: Machine) -> bool:
    assert machine.run(max_instructions=100_000).exit_value == 0
    return lockstep_calls(machine) == LockstepCalls(compared=1)


@pytest.mark.parametrize(("access", "bits"), [(READ, A), (WRITE, A | D)])
class TestSetByTheCpu:
    def test_in_an_entry_that_the_call_has_just_written(self, access: str, bits: int) -> None:
        machine = machine_for(SET_ENTRY.format(1), extra=access.format("0x401000"))
        assert agrees(machine)
        assert machine.memory.load_u32(symbol(machine, "window_table") + 4) & 0xFFF == 7 | bits
        assert machine.memory.load_u32(symbol(machine, "directory") + 4) & 0xFFF == 7 | A

    def test_in_another_entry_of_the_table(self, access: str, bits: int) -> None:
        machine = machine_for(SET_ENTRY.format(1), extra=access.format("0x400000"))
        assert agrees(machine)
        assert machine.memory.load_u32(symbol(machine, "window_table")) & 0xFFF == 7 | bits

    def test_in_a_table_that_the_call_does_not_write_to(self, access: str, bits: int) -> None:
        machine = machine_for(SET_DIRECTORY, extra=access.format("0x400000"))
        assert agrees(machine)
        assert machine.memory.load_u32(symbol(machine, "window_table")) & 0xFFF == 7 | bits

    def test_in_a_large_page_that_the_call_has_just_mapped(self, access: str, bits: int) -> None:
        machine = machine_for(SET_DIRECTORY, extra=access.format("0xc01000"))
        assert agrees(machine)
        assert machine.memory.load_u32(symbol(machine, "directory") + 12) == 0x87 | bits

    def test_in_another_large_page(self, access: str, bits: int) -> None:
        machine = machine_for(SET_ENTRY.format(1), extra=access.format("0x801000"))
        assert agrees(machine)
        assert machine.memory.load_u32(symbol(machine, "directory") + 8) == 0x83 | bits

    def test_in_an_entry_that_the_call_replaces_after_that(self, access: str, bits: int) -> None:
        """What it returns is the old entry, which has bits that the model has not seen."""
        machine = machine_for(SET_ENTRY.format(0), first=access.format("0x400000"))
        assert agrees(machine)
        assert machine.registers().eax == 0
        assert machine.memory.load_u32(symbol(machine, "window_table")) == symbol(machine, "second") + 7
        assert bits

    def test_other_bits_of_their_entry_are_compared(self, access: str, bits: int) -> None:
        machine = machine_for(
            SET_ENTRY.format(1), extra=access.format("0x401000") + "orl $0x200, window_table + 4"
        )
        with pytest.raises(Divergence) as caught:
            machine.run(max_instructions=100_000)
        (difference,) = caught.value.differences
        new = symbol(machine, "second") + 7
        assert (difference.expected, difference.actual) == (f"0x{new:08x}", f"0x{new | bits | 0x200:08x}")

    def test_a_wrong_result_is_a_difference_all_the_same(self, access: str, bits: int) -> None:
        machine = machine_for(SET_ENTRY.format(1), extra=access.format("0x401000") + "incl %eax")
        with pytest.raises(Divergence) as caught:
            machine.run(max_instructions=100_000)
        assert [each.place for each in caught.value.differences] == ["result"]
        assert bits
