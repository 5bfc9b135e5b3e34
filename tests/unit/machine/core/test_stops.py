"""A run that is stopped in front of any instruction, and goes on, is the run that nobody has stopped."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.errors import BudgetUsedUp, HostError
from emulator.machine.consoles import Console
from emulator.machine.core.stops import Instant, Stopping
from emulator.machine.execution import Returned
from tests.helpers.guest import FUNCTION, machine_of

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

KERNELS = {
    "demo": 115_466,
    "btron_stress": 24_000_000,  # ticks and tasks
    "btron_pools_wait": 1_036_202,
    "vm_fault": 1_240_582,  # page faults
    "vm_churn": 3_000_000,
    "bad_stale_tlb": 67_699,
}
LOOP = FUNCTION + "1: incl %esi\n incl %edi\n cmpl $1000, %esi\n jne 1b\n exit 0\n"


def state(machine: Machine) -> tuple[object, ...]:
    return (
        machine.memory.read(0, len(machine.memory)),
        machine.registers(),
        machine.interrupts.now_ns(),
        machine.interrupts.waited_ns(),
        [bytes(machine.output[console]) for console in Console],
    )


def go_to(machine: Machine, instant: Instant) -> Returned:
    machine.stops.stop_at(instant)
    return machine.run().ending


@pytest.mark.parametrize("kernel", KERNELS)
def test_stops_leave_no_trace(kernel: str) -> None:
    length = KERNELS[kernel]
    straight, stopped = boot(f"firmware:{kernel}"), boot(f"firmware:{kernel}")
    how = go_to(straight, Instant(length))
    random = Random(kernel)
    for at in sorted(random.randrange(1, length - 10) for _ in range(200)):
        if at <= stopped.stops.now.instructions:
            continue
        assert go_to(stopped, Instant(at)) is Returned.STOP
        assert stopped.stops.now.instructions == at
        for _ in range(random.randrange(3)):
            now = stopped.stops.now
            assert go_to(stopped, now._replace(faults=now.faults + 1)) is Returned.STOP
            assert stopped.stops.now in ((now.instructions + 1, 0), (now.instructions, now.faults + 1))
    assert go_to(stopped, Instant(length)) is how
    assert stopped.stops.now == straight.stops.now
    assert state(stopped) == state(straight)


def test_each_instruction_of_a_run_can_be_stopped_at() -> None:
    machine, exact = machine_of(LOOP), machine_of(LOOP)
    start = machine.snapshot()
    for at in range(1, 60):
        start.reset()
        go_to(machine, Instant(at))
        with pytest.raises(BudgetUsedUp):
            exact.run(max_instructions=1)
        assert machine.registers() == exact.registers()
        assert machine.stops.now == exact.stops.now == Instant(at)


def test_a_faulting_instruction_and_its_handler_have_the_same_count() -> None:
    machine = boot("firmware:vm_fault")
    machine.stops.at_faults = True
    machine.stops.stop_at(None)
    assert machine.run().ending is Returned.STOP
    handler = machine.stops.now
    assert handler.faults == 1
    assert machine.stops.newest_faults()[0] == handler
    fault = machine.fault_in_hand()
    assert fault is not None
    other = boot("firmware:vm_fault")
    go_to(other, handler._replace(faults=0))
    assert other.registers().eip == fault.eip
    go_to(other, handler)
    assert other.registers() == machine.registers()


def test_a_snapshot_in_the_middle_of_a_block_is_gone_back_to() -> None:
    straight, machine = machine_of(LOOP), machine_of(LOOP)
    go_to(machine, Instant(42))
    here = machine.snapshot()
    go_to(machine, Instant(99))
    here.reset()
    machine.stops.stop_at(None)
    machine.run()
    straight.run()
    assert machine.stops.now == straight.stops.now
    assert state(machine) == state(straight)


def test_a_breakpoint_stops_in_code_that_has_run_and_costs_nothing_afterwards() -> None:
    machine = machine_of(LOOP)
    go_to(machine, Instant(41))
    loop = machine.registers().eip
    with machine.stops.break_at(loop) as point:
        machine.stops.stop_at(None)
        assert machine.run().ending is Returned.STOP
        assert machine.stops.now == Instant(45)
        assert machine.stops.reached == (point.number, Instant(45))
        machine.stops.stop_at(None)
        machine.run()
        assert machine.stops.now == Instant(49)
    machine.stops.stop_at(None)
    assert machine.run().ending is Returned.EXIT


def test_a_condition_is_asked_where_registers_are_exact() -> None:
    machine = machine_of(LOOP)
    go_to(machine, Instant(2))
    loop = machine.registers().eip
    asked: list[tuple[int, int, Instant]] = []

    def condition() -> bool:
        registers = machine.registers()
        asked.append((registers.eip, registers.esi, machine.stops.now))
        return registers.esi == registers.edi + 1 == 500

    with machine.stops.break_at(loop, condition):
        machine.stops.stop_at(None)
        assert machine.run().ending is Returned.STOP
    assert (machine.registers().esi, machine.stops.now) == (500, Instant(2 + 4 * 499))
    assert [each[1] for each in asked] == list(range(2, 501))
    assert {each[0] for each in asked} == {loop}
    assert [each[2].instructions for each in asked] == [2 + 4 * i for i in range(1, 500)]


def test_breakpoints_may_only_note_where_they_were_reached() -> None:
    machine = machine_of(LOOP)
    go_to(machine, Instant(2))
    with machine.stops.break_at(machine.registers().eip) as point:
        with machine.stops.mode_for(Stopping.NOTES, Instant(402)):
            assert go_to(machine, Instant(1000)) is Returned.STOP
            assert machine.stops.reached == (point.number, Instant(398))
        with machine.stops.mode_for(Stopping.IGNORES):
            assert go_to(machine, Instant(2000)) is Returned.STOP
            assert machine.stops.reached is None


def test_the_newest_instructions_are_kept() -> None:
    machine = machine_of(LOOP)
    go_to(machine, Instant(100))
    with machine.stops.trail(5) as trail:
        go_to(machine, Instant(200))
        kept = trail()
    assert [each.instant.instructions for each in kept] == [196, 197, 198, 199, 200]
    assert kept[-1].pc == machine.registers().pc
    assert {each.esp for each in kept} == {machine.registers().esp}


def test_a_number_of_instructions_may_begin() -> None:
    machine = machine_of(LOOP)
    machine.stops.stop_at(None)
    machine.stops.stop_after(77)
    assert machine.run().ending is Returned.STOP
    assert machine.stops.now == Instant(77)
    assert machine.stops.steps_left == 0


def test_the_reference_mmu_cannot_be_stopped() -> None:
    with pytest.raises(
        HostError, match=r"^runs cannot be stopped exactly: blocks do not count their instructions$"
    ):
        boot("firmware:demo", mmu="reference").stops.stop_at(None)
