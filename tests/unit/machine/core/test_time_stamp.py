"""rdtsc gives virtual time to the guest, a nanosecond a count."""

from __future__ import annotations

import pytest

from emulator.machine.execution import Returned
from tests.helpers.guest import machine_of, results_of

READING = "rdtsc\n put eax\n put edx\n rdtsc\n put eax\n hlt"


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_the_time_stamp_counter_is_the_same_in_every_run_and_grows(mmu: str) -> None:
    runs = []
    for budget in (None, 100):
        machine = machine_of(READING, mmu=mmu)
        machine.run(max_instructions=budget)
        runs.append(results_of(machine, 3))
    assert runs == [[10, 0, 120]] * 2


def test_it_goes_back_with_a_snapshot() -> None:
    machine = machine_of(READING)
    with machine.snapshot():
        machine.run()
    machine.run()
    assert results_of(machine, 3) == [10, 0, 120]


def test_no_host_time_is_seen_between_a_reset_and_the_end_of_its_block() -> None:
    machine = machine_of("movl $0x80500, 0xfee00300\n" + READING)  # the local APIC sends INIT to its own CPU
    assert machine.run().ending is Returned.RESET
    assert results_of(machine, 2)[1] == 0
    assert results_of(machine, 1)[0] < 1000


def test_cpuid_says_the_same_there() -> None:
    machine = machine_of("movl $0x80500, 0xfee00300\n movl $1, %eax\n cpuid\n put eax\n put ecx\n hlt")
    machine.run()
    assert results_of(machine, 2) == [0x673, 0]
