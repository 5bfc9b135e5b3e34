"""rdtsc gives virtual time to the guest, a nanosecond a count; rdrand and rdseed no chance of the host's."""

from __future__ import annotations

import pytest

from tests.helpers.guest import machine_of, results_of

READING = "rdtsc\n put eax\n put edx\n rdtsc\n put eax\n rdtscp\n put eax\n hlt"


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_the_time_stamp_counter_is_the_same_in_every_run_and_grows(mmu: str) -> None:
    runs = []
    for budget in (None, 100):
        machine = machine_of(READING, mmu=mmu)
        machine.run(max_instructions=budget)
        runs.append(results_of(machine, 4))
    assert runs == [[10, 0, 120, 180]] * 2


def test_it_goes_back_with_a_snapshot() -> None:
    machine = machine_of(READING)
    with machine.snapshot():
        machine.run()
    machine.run()
    assert results_of(machine, 4) == [10, 0, 120, 180]


DRAWING = "rdrand %ebx\n setc %cl\n movzbl %cl, %ecx\n put ebx\n put ecx\n rdseed %ebx\n put ebx\n rdrand %ebx\n put ebx\n hlt"


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_random_numbers_are_the_same_in_every_run(mmu: str) -> None:
    runs = []
    for budget in (None, 100):
        machine = machine_of(DRAWING, mmu=mmu)
        snapshot = machine.snapshot()
        for _ in range(2):
            machine.run(max_instructions=budget)
            runs.append(results_of(machine, 4))
            snapshot.reset()
    first, carry, seed, second = runs[0]
    assert runs == [runs[0]] * 4
    assert carry == 1
    assert len({first, seed, second, 0}) == 4
