"""The harness sees a case that dies, hangs or takes too much, goes on with the others, and does the same again."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.harness import __main__ as command
from tests.fuzz.harness.devices import Devices
from tests.fuzz.harness.guests import Guests
from tests.fuzz.harness.kernels import Kernels
from tests.fuzz.harness.limits import BYTES_OVER, SECONDS_OVER
from tests.fuzz.harness.machines import Machines
from tests.fuzz.harness.pages import Pages
from tests.fuzz.harness.processes import Processes
from tests.fuzz.harness.programs import Programs
from tests.fuzz.harness.target import Case, Target
from tests.fuzz.harness.traces import Traces
from tests.fuzz.harness.workers import case_of, run_cases

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.fuzz.harness.limits import Meter

A_FEW: dict[type[Target], int] = {
    Kernels: 60,
    Traces: 60,
    Guests: 300,
    Devices: 100,
    Pages: 2,
    Programs: 20,
    Machines: 20,
    Processes: 3,
}
"""What every run of the tests does; `make fuzz` does more."""


@pytest.mark.parametrize("kind", A_FEW)
def test_a_few_cases_of_each_kind(kind: type[Target]) -> None:
    tally = run_cases(kind(), seed=2, numbers=range(A_FEW[kind]))
    assert tally.failures == []
    assert tally.cases == sum(tally.endings.values()) == A_FEW[kind]
    assert len(tally.endings) > (kind not in (Machines, Pages))
    assert tally.seconds <= SECONDS_OVER
    assert tally.size <= BYTES_OVER


@pytest.mark.parametrize("kind", [Kernels, Traces, Guests, Devices, Pages, Programs, Machines])
def test_a_case_is_made_of_its_numbers(kind: type[Target]) -> None:
    first, second = kind(), kind()
    first.prepare()
    second.prepare()
    cases = [case_of(first, 3, number) for number in range(6)]
    assert cases == [case_of(second, 3, number) for number in range(6)]
    assert len({case.data + repr(case.commands).encode() for case in cases}) > 1


class Strange(Target):
    """Does what no case may, by its number."""

    name = "strange"
    suffix = ".txt"
    count = 9

    def prepare(self) -> None:
        pass

    def make(self, random: Random) -> Case:
        return Case(str(random.random()).encode(), (("boot", "{}"),), 0.0, 0, "strange")

    def run(self, case: Case, meter: Meter, number: int) -> str:
        with meter.watch(case.timeout_s, case.ram):
            match number:
                case 1:
                    os.kill(os.getpid(), signal.SIGSEGV)
                case 2:
                    os._exit(3)
                case 3:
                    signal.pause()
                case 4:
                    raise OverflowError("large")
                case 5:
                    sys.stdout.write(str(len(b"x" * BYTES_OVER)))
                case 6:
                    sys.stderr.write("From cffi callback\n")
                case 7:
                    over = time.thread_time() + 0.1
                    while time.thread_time() < over:
                        pass
        return "good"


def test_what_no_case_may_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the fork of a process that has much: what it had before its cases is not theirs."""
    much = b"x" * BYTES_OVER
    monkeypatch.setattr("tests.fuzz.harness.limits.SECONDS_OVER", 0.05)
    reported: list[int] = []
    tally = run_cases(
        Strange(),
        1,
        range(9),
        jobs=2,
        hangs_after_s=8,
        on_failure=lambda failure: reported.append(failure.number),
    )
    texts = {failure.number: failure.text.splitlines()[-1] for failure in tally.failures}
    assert texts[1] == "killed by SIGSEGV"
    assert "Fatal Python error: Segmentation fault" in next(
        each.text for each in tally.failures if each.number == 1
    )
    assert texts[2] == "ended with status 3"
    assert texts[3].startswith("did not end in ")
    assert texts[4] == "OverflowError: large"
    assert re.search(r"OverLimit: \d+ MiB besides 0 MiB of RAM$", texts[5])
    assert texts[6] == "said on standard error: From cffi callback"
    assert re.search(r"TooSlow: 0.\d+ s besides 1.2 times 0 s$", texts[7])
    assert tally.endings == {"good": 2}
    assert len(much) == BYTES_OVER
    assert tally.cases == 9
    assert sorted(reported) == [1, 2, 3, 4, 5, 6, 7]


def test_a_failure_keeps_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "TARGETS", (Strange,))
    monkeypatch.setattr(sys, "argv", ["fuzz", "--strange", "2", "--first", "3", "--keep", str(tmp_path)])
    monkeypatch.setattr("tests.fuzz.harness.workers.HANGS_AFTER_S", 1.0)
    assert command.main() == 1
    out = capsys.readouterr().out
    kept = tmp_path / "strange-1-4.txt"
    assert kept.read_bytes() == case_of(Strange(), 1, 4).data
    assert "FAILED strange 4 (strange): Traceback" in out
    assert f"  again: {sys.executable} -m tests.fuzz.harness --strange 1 --seed 1 --first 4\n" in out
    assert f"  input: kmemu boot {kept}\n" in out
    assert "strange: 2 cases, seed 1, " in out


def test_nothing_to_run_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "--guests", "0"])
    assert command.main() == 1
    assert capsys.readouterr().out == "nothing was run\n"
