"""Runs a campaign of fault injection: one run for each failure, spread over processes.

A machine holds memory and translated code of the process that made it, so each worker makes its own. Workers are started
afresh, not forked: the core has threads.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from multiprocessing import connection, get_context, resource_tracker
from typing import TYPE_CHECKING, Final

from emulator.errors import EmulatorError, HostError
from emulator.inject.campaign import Campaign, TrialRunner, sampled
from emulator.run.ending import NO_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    from emulator.inject.campaign import GoodRun, Trial
    from emulator.replay.engine import Rerun
    from emulator.run.ending import Budget

_WORTH_PROCESSES: Final = (
    1 << 26
)  # instructions in all good runs together; starting processes takes about a second
_DEATHS_IN_A_ROW: Final = 8
"""So many workers of a share die without an answer until what is left of it is given up."""


def run_campaign(
    rerun: Rerun,
    *,
    budget: Budget = NO_LIMIT,
    limit: int,
    workers: int | None = None,
    on_start: Callable[[int], None] = lambda _total: None,
    on_trial: Callable[[int], None] = lambda _steps: None,
) -> Campaign:
    """Run a kernel once as it is, and once for each of its allocations with that one failing.

    Args:
        rerun: How to run the kernel once more; can be pickled.
        budget: Budget of the good run.
        limit: The most allocations that fail, 2 or more; of more than these an even sample does.
        workers: Processes; 1: none but this one; None: one for each CPU that we may use, where it is worth it. The
            result is the same. Where one dies, another goes on after the allocation that it tried, which is lost.
        on_start: Called with the number of trials before the first one.
        on_trial: Called with 1 after each of them.

    Raises:
        NoEnd: The good run does not end within its budget.
        EmulatorError: The kernel cannot be loaded, the good run ends badly, a worker does, or none lives.
        KeyboardInterrupt: Ctrl-C, or a signal that is handled so; no worker is left.
    """
    runner = TrialRunner(rerun)
    good, allocations = runner.good_run(budget), runner.allocations
    numbers = sampled(allocations, limit)
    on_start(len(numbers))
    count = _workers(good, len(numbers)) if workers is None else workers
    shares = [numbers[first::count] for first in range(count)]
    trials = []
    for trial in _trials(rerun, good, [share for share in shares if share]):
        trials.append(trial)
        on_trial(1)
    return Campaign(good.ending, allocations, tuple(sorted(trials, key=lambda trial: trial.number)))


def _workers(good: GoodRun, runs: int) -> int:
    return len(os.sched_getaffinity(0)) if runs * (good.ending.instructions or 0) >= _WORTH_PROCESSES else 1


def _trials(rerun: Rerun, good: GoodRun, shares: Sequence[Sequence[int]]) -> Iterator[Trial]:
    """Yield the trials in the order in which they end."""
    if len(shares) <= 1:
        for share in shares:
            yield from TrialRunner(rerun).trials(share, good)
        return
    lost: dict[int, str] = {}
    with _started(rerun, good, shares) as workers:
        while pipes := [worker.pipe for worker in workers if worker.left]:
            ready = connection.wait(pipes)
            for worker in [each for each in workers if each.left and each.pipe in ready]:
                try:
                    yield worker.receive()
                except (EOFError, OSError):
                    lost |= worker.replace()
    if len(lost) == sum(map(len, shares)):
        raise HostError(f"no worker of --exhaust lives: {lost[min(lost)]}")
    yield from TrialRunner(rerun).lost_trials(lost)


class _Worker:
    """A process that runs its share of the trials, and those that take its place when it dies.

    Args:
        rerun: How to run the kernel once more; can be pickled.
        good: The run without a failure.
        share: Numbers of allocations, ascending.

    Attributes:
        pipe: The trials come from here.
        left: Allocations without a trial so far.
    """

    def __init__(self, rerun: Rerun, good: GoodRun, share: Sequence[int]) -> None:
        self._rerun, self._good = rerun, good
        self.left = list(share)
        self._deaths = 0  # in a row, without an answer between them
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe(duplex=False)
        arguments = (theirs, self._rerun, self._good, self.left)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        with _without_signals():
            self._process.start()
        theirs.close()

    def receive(self) -> Trial:
        """Return its next trial.

        Raises:
            EOFError, OSError: It has died.
            EmulatorError: It cannot work.
        """
        answer: Trial | str = self.pipe.recv()
        if isinstance(answer, str):
            raise EmulatorError(answer)
        self.left.remove(answer.number)
        self._deaths = 0
        return answer

    def replace(self) -> dict[int, str]:
        """Start again after the allocation at which the process died. Return the lost allocations, each with the cause."""
        self.pipe.close()
        self._process.join()
        self._deaths += 1
        cause = _how_ended(self._process.exitcode or 0)
        count = 1 if self._deaths < _DEATHS_IN_A_ROW else len(self.left)
        lost, self.left = self.left[:count], self.left[count:]
        if self.left:
            self._start()
        return dict.fromkeys(lost, cause)

    def kill(self) -> None:
        """End the process, if it has not ended; `join` comes next."""
        self._process.kill()

    def join(self) -> None:
        """Wait for the end of the process."""
        self._process.join()
        self.pipe.close()


def _how_ended(status: int) -> str:
    how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    return f"the process that tried it ended {how}"


@contextmanager
def _without_signals() -> Iterator[None]:
    """Keep signals to the whole group from what is started in the body: who started it ends it."""
    resource_tracker.ensure_running()  # started with the first process, it would let them through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _started(rerun: Rerun, good: GoodRun, shares: Sequence[Sequence[int]]) -> Iterator[list[_Worker]]:
    """Run workers while the body runs, and end those that are left."""
    workers: list[_Worker] = []
    try:
        workers.extend(_Worker(rerun, good, share) for share in shares)
        yield workers
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()


def _work(answers: Connection, rerun: Rerun, good: GoodRun, numbers: Sequence[int]) -> None:
    """Work on a share of the trials; the main function of a worker."""
    try:
        for trial in TrialRunner(rerun).trials(numbers, good):
            answers.send(trial)
    except EmulatorError as error:
        answers.send(str(error))
    except BrokenPipeError:
        pass  # nobody waits for answers any more
