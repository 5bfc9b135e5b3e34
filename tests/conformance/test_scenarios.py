"""The kernels that show what is right check it themselves: their exit value is 0 only if all they print is as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.machine.consoles import Console

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

PRIORITY, SIZE = 4, 12  # offsets in `struct request` of btron_pools_wait
REQUEST_BYTES = 24


def text_of(machine: Machine) -> str:
    return machine.output[Console.SERIAL].decode()


def ran_with(offset: int, value: int, task: int = 1) -> str:
    """Run `btron_pools_wait` with another word in one of the requests for four sizes, which fails; return its text."""
    machine = boot("firmware:btron_pools_wait")
    requests = machine.image.physical(machine.image.symbols["four_sizes"].address)
    machine.memory.store_u32(requests + REQUEST_BYTES * task + offset, value)
    assert machine.run(timeout_s=60).exit_value == 1
    return text_of(machine)


def test_the_waiting_tasks_say_in_which_order_they_should_have_run() -> None:
    text = ran_with(PRIORITY, 25)
    assert (
        "    D: E_OK, block at +168\n"
        "        expected: B: E_OK, block at +120\n"
        "  FAIL  who is served, with what, and when\n" in text
    )
    assert "  first in the queue: D\n        expected: B\n  FAIL  who is first in the queue\n" in text


def test_the_waiting_tasks_say_what_should_have_been_free() -> None:
    text = ran_with(SIZE, 48)
    assert (
        "  free: 64 bytes, largest 64\n        expected: 72 bytes, in one block\n  FAIL  what is free\n"
        in text
    )


def test_the_waiting_tasks_say_who_was_to_be_served() -> None:
    text = ran_with(SIZE, 72, task=2)
    assert "    D: E_OK, block at +248\n        expected: D: E_OK, block at +168\n" in text


@pytest.mark.parametrize(
    "name",
    [
        "demo",
        "fragment",
        "exhaust",
        "stress",
        "paging_demo",
        "btron_demo",
        "btron_pools_wait",
        "btron_fragment",
        "btron_stress",
        "vm_demo",
        "vm_share",
        "vm_stack_growth",
        "vm_fault",
        "vm_churn",
    ],
)
def test_all_is_as_it_should_be(name: str) -> None:
    machine = boot(f"firmware:{name}", command_line="calls=3000")
    assert machine.run(timeout_s=60).exit_value == 0
    assert "FAIL" not in text_of(machine)
