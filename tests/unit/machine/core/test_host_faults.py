"""SIGSEGV that is not ours ends the process as it would without kmemu, and many machines share what the host has."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.guest import machine_of, symbol

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

HEAD = """
import ctypes, faulthandler, os, signal, sys
from tests.helpers.guest import machine_of
"""
MACHINE = """
machine = machine_of("1: hlt; incl 0x300000; jmp 1b")
machine.run()
snapshot = machine.snapshot()
machine.run()
"""
RUN = "machine.run()\n"
ON, OFF = "faulthandler.enable()\n", "faulthandler.disable()\n"
SENT = "os.kill(os.getpid(), signal.SIGSEGV); print('alive')\n"
RAISED = "signal.raise_signal(signal.SIGSEGV); print('alive')\n"
REAL = "ctypes.string_at(0)\n"


def ended(program: str) -> tuple[int, str, str]:
    """Run a Python program; return its exit code and what it prints, without addresses and lines."""
    # The environment of this process may enable the fault handler.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"}
    done = subprocess.run(
        [sys.executable, "-c", HEAD + "\n".join(f"exec({part!r})" for part in program.splitlines())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
        cwd=Path(__file__).parents[4],
    )
    said = re.sub(r"0x[0-9a-f]+|line \d+", "*", done.stderr).split("Extension modules")[0]
    return done.returncode, done.stdout, "\n".join(dict.fromkeys(said.splitlines()))


@pytest.mark.parametrize("death", [REAL, SENT, RAISED], ids=["real", "sent", "raised"])
@pytest.mark.parametrize(
    "before",
    [
        MACHINE,
        ON + MACHINE,
        MACHINE + ON,
        MACHINE + ON + RUN,
        MACHINE + ON + RUN + OFF,
        ON + MACHINE + OFF + RUN,
        MACHINE + ON + RUN + OFF + ON + RUN,
        MACHINE + "signal.signal(signal.SIGSEGV, signal.SIG_IGN)\n" + RUN,
        ON + MACHINE + "del machine, snapshot\n",
    ],
    ids=[
        "none",
        "enabled before",
        "enabled after",
        "used after",
        "disabled",
        "disabled after",
        "twice",
        "ignored",
        "deleted",
    ],
)
def test_it_ends_as_without_a_machine(before: str, death: str) -> None:
    without = before.replace(MACHINE, "").replace(RUN, "").replace("del machine, snapshot\n", "")
    code, said, error = ended(before + death)
    assert (code, said, error) == ended(without + death)
    assert code == -11 or said == "alive\n"


def test_writes_of_python_are_dealt_with_after_others_have_handled_it() -> None:
    program = (
        MACHINE
        + ON
        + RUN
        + "machine.memory.store_u32(0x310000, 1)\nsnapshot.reset()\nprint(machine.memory.load_u32(0x300000))\n"
    )
    assert ended(program) == (0, "0\n", "")


WORKER = """
        paging  directory
1:      hlt
        movl    $0x200000, %esi
        movl    $300, %ecx
2:      incl    (%esi)
        addl    $0x1000, %esi
        decl    %ecx
        jnz     2b
        incl    counter
        jmp     1b
        .data
        .globl  counter
counter: .long  0
        .bss
        .balign 4096
        .globl  directory
directory: .skip 4096
"""


def worker() -> Machine:
    machine = machine_of(WORKER)
    machine.memory.store_u32(symbol(machine, "directory"), 0x83)
    machine.run()
    return machine


def mappings() -> int:
    return len(Path("/proc/self/maps").read_text().splitlines())


def work(machine: Machine, turns: int) -> None:
    for turn in range(turns):
        snapshot = machine.snapshot()
        machine.run()
        assert machine.memory.load_u32(symbol(machine, "counter")) == turn + 1
        if turn % 3 == 0:
            snapshot.reset()
            machine.run()
        snapshot.discard()


def test_eight_threads_with_a_machine_each() -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            for _ in range(3):
                work(worker(), 30)
        except BaseException as error:  # noqa: BLE001 - it is told below
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_two_hundred_machines_at_once() -> None:
    machines = [worker() for _ in range(200)]
    for machine in machines:
        work(machine, 2)
    assert {machine.memory.load_u32(symbol(machine, "counter")) for machine in machines} == {2}


def test_machines_that_are_gone_leave_nothing() -> None:
    gc.collect()
    work(worker(), 3)
    gc.collect()
    before = mappings(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(40):
        work(worker(), 3)
        gc.collect()
    after = mappings(), len(list(Path("/proc/self/fd").iterdir()))
    assert after[1] == before[1]
    assert after[0] < before[0] + 20


def test_ctrl_c_in_the_middle_of_a_fast_run() -> None:
    program = (
        """
machine = machine_of("1: incl 0x300000; addl $0x1000, %esi; andl $0xff000, %esi; incl 0x200000(%esi); jmp 1b")
import threading
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
"""
        "exec('''try:\\n machine.run()\\nexcept KeyboardInterrupt:\\n print(machine.memory.load_u32(0x300000) > 0)''')\n"
    )
    assert ended(program) == (0, "True\n", "")
