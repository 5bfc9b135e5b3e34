"""rdtsc gives no host time to the guest."""

from __future__ import annotations

import pytest

from tests.helpers.guest import machine_of, results_of

READING = "rdtsc\n put eax\n put edx\n rdtsc\n put eax\n rdtscp\n put eax\n hlt"


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_the_time_stamp_counter_is_the_same_in_every_run_and_grows(mmu: str) -> None:
    runs = []
    for _ in range(2):
        machine = machine_of(READING, mmu=mmu)
        machine.run()
        runs.append(results_of(machine, 4))
    assert runs == [[1000, 0, 2000, 3000]] * 2


def test_it_goes_back_with_a_snapshot() -> None:
    machine = machine_of(READING)
    with machine.snapshot():
        machine.run()
    machine.run()
    assert results_of(machine, 4) == [1000, 0, 2000, 3000]
