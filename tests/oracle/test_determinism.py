"""Two runs are the same: events, RAM and text; in one process, in two, and on a host that is busy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from tests.helpers.fingerprint import fingerprint
from tests.helpers.kernels import BTRON, BTRON_DEFECTS, LITECORE, LITECORE_DEFECTS

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
LONG = ("stress", "calls=60000 seed=11")


def start(names: Sequence[str], command_line: str, hash_seed: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.helpers.fingerprint", command_line, *names]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def results(process: subprocess.Popen[str]) -> dict[str, dict[str, str]]:
    output, _ = process.communicate()
    assert process.returncode == 0
    found: dict[str, dict[str, str]] = json.loads(output)
    return found


def test_two_processes_run_alike() -> None:
    """Whatever each has run before, too: one runs the kernels in the other's order, backwards."""
    names = [*(name for name in LITECORE if name != "stress"), *LITECORE_DEFECTS]
    processes = [start(names, "", "1"), start(names[::-1], "", "2")]
    first, second = map(results, processes)
    assert len(first) == len(names)
    assert first == second


def test_a_long_run_is_the_same_in_one_process_in_two_and_under_load() -> None:
    idle = [fingerprint(*LONG) for _ in range(2)]
    with ExitStack() as stack:
        for _ in range(2):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(busy.kill)
        name, command_line = LONG
        processes = [start([name], command_line, hash_seed) for hash_seed in ("0", "random")]
        loaded = [results(process)[name] for process in processes]
    assert int(idle[0]["event count"]) > 100_000
    assert idle[0] == idle[1] == loaded[0] == loaded[1]


def test_another_seed_gives_other_events_and_other_ram() -> None:
    """So the comparison above would see a difference."""
    first, second = (fingerprint("stress", f"calls=2000 seed={seed}") for seed in (1, 2))
    assert first["calls"] != second["calls"]
    assert first["memory"] != second["memory"]
    assert first["text"] != second["text"]


@pytest.mark.parametrize("name", [*BTRON, *BTRON_DEFECTS])
def test_a_kernel_with_a_timer_runs_alike_every_time(name: str) -> None:
    """Ticks come at the same instruction, whatever the host does."""
    ends = []
    for _ in range(2):
        machine = Machine(KernelImage.read(resolve(f"firmware:{name}")), command_line="calls=3000")
        machine.run(timeout_s=60)
        memory = machine.memory.read(0, len(machine.memory))
        ends.append((machine.cpu.registers(), machine.interrupts.now_ns(), machine.output, memory))
    assert ends[0] == ends[1]
