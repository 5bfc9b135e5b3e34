"""Blocks that count their instructions themselves, and Unicorn's hooks: the same numbers, the same stops.

The reference MMU counts with hooks, and so does every machine in a process that loaded libunicorn before ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from emulator.errors import BudgetUsedUp
from emulator.loader.builtin import KERNELS, resolve
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine

COMMAND_LINES = {"stress": "calls=40000", "btron_stress": "calls=5000", "vm_churn": "calls=100"}
ENOUGH = 1 << 60
BUDGETS = (1025, 1700, 20_000, 33_333)

COUNTED_BY_HOOKS = """
import ctypes, importlib.util, json, pathlib
package = pathlib.Path(importlib.util.find_spec("unicorn").origin).parent
ctypes.CDLL(str(next((package / "lib").glob("libunicorn.so*"))))
from tests.oracle.test_two_counters import BUDGETS, stopped_at
print(json.dumps([stopped_at("demo", budget) for budget in BUDGETS]))
"""


def machine_of(kernel: str, mmu: Literal["fast", "reference"] = "fast") -> Machine:
    image = KernelImage.read(resolve(f"firmware:{kernel}"))
    return Machine(image, command_line=COMMAND_LINES.get(kernel, ""), mmu=mmu)


def stopped_at(kernel: str, budget: int, mmu: Literal["fast", "reference"] = "fast") -> list[int]:
    machine = machine_of(kernel, mmu)
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=budget)
    return list(machine.cpu.registers())


@pytest.mark.parametrize("kernel", KERNELS)
def test_both_count_the_same(kernel: str) -> None:
    fast = machine_of(kernel).run(max_instructions=ENOUGH)
    assert fast.instructions > 10_000
    assert fast == machine_of(kernel, "reference").run(max_instructions=ENOUGH)


@pytest.mark.parametrize("budget", BUDGETS)
def test_both_stop_at_the_same_instruction(budget: int) -> None:
    assert stopped_at("demo", budget) == stopped_at("demo", budget, "reference")


def test_a_libunicorn_that_was_there_before_counts_with_hooks() -> None:
    command = [sys.executable, "-c", COUNTED_BY_HOOKS]
    result = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2])
    assert json.loads(result.stdout) == [stopped_at("demo", budget) for budget in BUDGETS]
