"""Some cases of the other kinds, each as a command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.harness.commands import Done, check
from tests.fuzz.harness.guests import Guests
from tests.fuzz.harness.kernels import Kernels
from tests.fuzz.harness.limits import peak, waited_s
from tests.fuzz.harness.target import Case, Target
from tests.fuzz.harness.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tests.fuzz.harness.limits import Meter


class Processes(Target):
    """What no call of `main` shows: the start and the end of the process, its status, all that it has in memory."""

    name = "processes"
    suffix = ".input"
    count = 600

    def __init__(self) -> None:
        self._targets: tuple[Target, ...] = (Kernels(), Traces(), Guests())

    def prepare(self) -> None:
        for target in self._targets:
            target.prepare()

    def make(self, random: Random) -> Case:
        target = random.choice(self._targets)
        case = target.make(random)
        name = f"case{target.suffix}"
        commands = tuple(
            tuple(name if word == "{}" else word for word in command) for command in case.commands
        )
        return case._replace(
            commands=commands[:1], beside={**case.beside, name: case.data}, note=f"{target.name} {case.note}"
        )

    def run(self, case: Case, meter: Meter, _number: int) -> str:
        for name, data in case.beside.items():
            Path(name).write_bytes(data)
        (words,) = case.commands
        done = _run(words, case, meter)
        check(done, words)
        return f"{words[0]}: {done.status}"


def _run(words: Sequence[str], case: Case, meter: Meter) -> Done:
    command = [sys.executable, "-m", "emulator.cli.main", *words]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    started, inherited = time.monotonic(), peak()
    with Path("stdout").open("w+b") as out, Path("stderr").open("w+b") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        seconds = time.monotonic() - started - waited_s(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode >= 0, f"killed by signal {-process.returncode}"
        size = (
            usage.ru_maxrss << 10
        )  # at least what this process has had: getrusage(2) counts what was before exec
        meter.note(seconds, size if size > inherited else 0, case.timeout_s, case.ram)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
    return Done(process.returncode, *texts)
