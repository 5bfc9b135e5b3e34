"""Runs cases in processes of their own, so that one that dies or hangs is known by its number and the others go on."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, deque
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.fuzz.harness.commands import ERR, OUT, taken
from tests.fuzz.harness.limits import Meter, TooSlow, resident

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from tests.fuzz.harness.target import Case, Target

HANGS_AFTER_S = 60.0
"""A process that says nothing for so long is ended."""
_ERR_FILE = "err"
_EXITS_WITHIN_S = 10  # a process that has closed its reports
_TRIES = 3  # of a case that is too slow
_FORK = multiprocessing.get_context("fork")


class Failure(NamedTuple):
    """A case that did what none may."""

    number: int
    text: str


class _Done(NamedTuple):
    """A case that is over, as a worker reports it."""

    number: int
    ending: str
    failure: str
    seconds: float
    size: int


@dataclass
class Tally:
    """What all cases came to.

    Attributes:
        cases: How many ran.
        endings: How often each was.
        seconds: The most that a case took besides 1.2 times its time budget.
        size: The most bytes besides guest RAM.
        elapsed_s: Time that all took.
        interrupted: Ctrl-C ended it before all cases had run.
    """

    cases: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = -1e9
    size: int = 0
    elapsed_s: float = 0.0
    interrupted: bool = False

    def add(self, done: _Done) -> None:
        """Count a case."""
        self.cases += 1
        self.seconds = max(self.seconds, done.seconds)
        self.size = max(self.size, done.size)
        if done.failure:
            self.failures.append(Failure(done.number, done.failure))
        else:
            self.endings[done.ending] += 1

    def died(self, number: int, how: str) -> None:
        """Count a case that took its process with it."""
        self.cases += 1
        self.failures.append(Failure(number, how))


def case_of(target: Target, seed: int, number: int) -> Case:
    """Return a case: the same for the same numbers, always."""
    return target.make(Random(f"{target.name} {seed} {number}"))


def run_cases(
    target: Target,
    seed: int,
    numbers: Sequence[int],
    *,
    jobs: int = 1,
    hangs_after_s: float | None = None,
    on_failure: Callable[[Failure], None] = lambda _failure: None,
) -> Tally:
    """Run cases.

    Args:
        target: Makes and uses them.
        seed: What they are made of, with their numbers.
        numbers: Which.
        jobs: Processes at a time.
        hangs_after_s: Seconds after which a case that does not end is given up; None: `HANGS_AFTER_S`.
        on_failure: Is given each failure when it happens.
    """
    target.prepare()
    started = time.monotonic()
    tally = Tally()
    size = target.cases_a_process
    waiting = deque(numbers[start : start + size] for start in range(0, len(numbers), size))
    workers: dict[Connection, _Worker] = {}
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                worker = _Worker(target, seed, waiting.popleft())
                workers[worker.reports] = worker
            known = len(tally.failures)
            ready = wait(list(workers), timeout=1)
            for reports, worker in list(workers.items()):
                if reports in ready and worker.take(tally):
                    continue
                if reports in ready or worker.silent_s() > (hangs_after_s or HANGS_AFTER_S):
                    del workers[reports]
                    left = worker.end(tally)
                    if left:
                        waiting.appendleft(left)
            for failure in tally.failures[known:]:
                on_failure(failure)
    except KeyboardInterrupt:  # what there is so far counts
        tally.interrupted = True
    finally:
        for worker in workers.values():
            worker.kill()
    tally.elapsed_s = time.monotonic() - started
    return tally


class _Worker:
    """A process that runs some cases in their order and reports each."""

    def __init__(self, target: Target, seed: int, numbers: Sequence[int]) -> None:
        self._left = deque(numbers)
        self._heard = time.monotonic()
        self._folder = tempfile.TemporaryDirectory(prefix="kmemu-fuzz-")
        self.reports, there = _FORK.Pipe(duplex=False)
        self._process: ForkProcess = _FORK.Process(
            target=_work, args=(target, seed, numbers, there, self._folder.name), daemon=True
        )
        self._process.start()
        there.close()

    def silent_s(self) -> float:
        """How long ago the last report came."""
        return time.monotonic() - self._heard

    def take(self, tally: Tally) -> bool:
        """Count the case that is reported; False when the process has ended."""
        try:
            done: _Done = self.reports.recv()
        except EOFError:
            return False
        self._heard = time.monotonic()
        assert done.number == self._left.popleft()
        tally.add(done)
        return True

    def end(self, tally: Tally) -> list[int]:
        """Take leave of a process that has ended or hangs; return the cases that it has not run."""
        hung = not self.reports.poll()  # else there is the end of the reports
        seconds = self.silent_s()
        self._process.join(0 if hung else _EXITS_WITHIN_S)
        self.kill()
        if self._left:
            code = self._process.exitcode or 0
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
            said = Path(self._folder.name, _ERR_FILE).read_text(errors="replace")
            tally.died(
                self._left.popleft(), f"{said}did not end in {seconds:.0f} s" if hung else f"{said}{how}"
            )
        self._folder.cleanup()
        return list(self._left)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self.reports.close()


def _work(target: Target, seed: int, numbers: Sequence[int], reports: Connection, folder: str) -> None:
    """Be the process."""
    warnings.simplefilter("error")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    os.chdir(folder)
    for descriptor, name in ((OUT, "out"), (ERR, _ERR_FILE)):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdout = open(OUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - lasts as the process
    sys.stderr = open(ERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    before = resident()
    faulthandler.enable(sys.stderr, all_threads=False)
    for number in numbers:
        reports.send(_done(target, case_of(target, seed, number), number, before))


def _done(target: Target, case: Case, number: int, before: int) -> _Done:
    for _ in range(_TRIES):
        meter = Meter(before)
        ending = failure = ""
        try:
            ending = target.run(case, meter, number)
        except TooSlow as error:
            failure = f"TooSlow: {error}"
            continue
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the case's failure
            failure = "".join(traceback.format_exception(error))
        break
    if said := taken(ERR):
        failure = failure or f"said on standard error: {said}"
    taken(OUT)
    return _Done(number, ending, failure, meter.seconds, meter.size)
