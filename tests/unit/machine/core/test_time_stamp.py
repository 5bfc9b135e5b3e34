"""rdtsc gives virtual time to the guest, a nanosecond a count."""

from __future__ import annotations

import pytest

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
