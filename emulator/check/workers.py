"""Many runs with a failure each, spread over processes.

A machine holds memory and translated code of the process that made it, so each worker makes its own. Workers are started
afresh, not forked: the core has threads.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from multiprocessing import connection, get_context
from typing import TYPE_CHECKING, Final

from emulator.check.exhaust import Exhaustion, FailurePoint, sampled
from emulator.errors import EmulatorError, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from emulator.check.exhaust import GoodRun, Task

_WORTH_PROCESSES: Final = (
    1 << 26
)  # instructions in all good runs together; starting processes takes about a second


def exhaust(  # noqa: PLR0913 - the run, and how to spread it
    task: Task,
    *,
    max_instructions: int | None = None,
    timeout_s: float | None = None,
    limit: int,
    workers: int | None = None,
    on_start: Callable[[int], None] = lambda _total: None,
    on_point: Callable[[int], None] = lambda _steps: None,
) -> Exhaustion:
    """Run a kernel once as it is, and once for each of its allocations with that one failing.

    Args:
        task: The kernel.
        max_instructions: Budget of the good run.
        timeout_s: The same in seconds of the host.
        limit: So many allocations fail at most, 2 or more; of more an even sample does.
        workers: Processes; 1: none but this one; None: one for each CPU that we may use, where it is worth it. The
            result is the same.
        on_start: Is told how many runs there will be.
        on_point: Is told 1 after each of them.

    Raises:
        BudgetUsedUp: The good run does not end within its budgets.
        EmulatorError: The kernel cannot be loaded, the good run ends badly, or a worker does.
        KeyboardInterrupt: Ctrl-C; no worker is left.
    """
    good = task.exhauster().good_run(max_instructions, timeout_s)
    numbers = sampled(good.allocations, limit)
    on_start(len(numbers))
    count = _workers(good, len(numbers)) if workers is None else workers
    shares = [numbers[first::count] for first in range(count)]
    points = []
    for point in _points(task, good, [share for share in shares if share]):
        points.append(point)
        on_point(1)
    return Exhaustion(good, tuple(sorted(points, key=lambda point: point.number)))


def _workers(good: GoodRun, runs: int) -> int:
    return len(os.sched_getaffinity(0)) if runs * good.instructions >= _WORTH_PROCESSES else 1


def _points(task: Task, good: GoodRun, shares: Sequence[Sequence[int]]) -> Iterator[FailurePoint]:
    """Yield the points in the order in which they are done."""
    if len(shares) <= 1:
        for share in shares:
            yield from task.exhauster().points(share, good)
        return
    with _started(task, good, shares) as pipes:
        while pipes:
            ready = connection.wait(pipes)
            for pipe in [each for each in pipes if each in ready]:
                answer = _receive(pipe)
                if answer is None:
                    pipes.remove(pipe)
                else:
                    yield answer


def _receive(pipe: Connection) -> FailurePoint | None:
    """Return the next answer of a worker; None: it is done."""
    try:
        answer: FailurePoint | str | None = pipe.recv()
    except EOFError:
        raise HostError("a worker of --exhaust died") from None
    if isinstance(answer, str):
        raise EmulatorError(answer)
    return answer


@contextmanager
def _started(task: Task, good: GoodRun, shares: Sequence[Sequence[int]]) -> Iterator[list[Connection]]:
    """Run workers while the body runs, and end those that are left."""
    context = get_context("spawn")
    processes: list[SpawnProcess] = []
    pipes: list[Connection] = []
    try:
        for share in shares:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(theirs, task, good, share), daemon=True)
            pipes.append(ours)
            process.start()
            processes.append(process)
            theirs.close()
        yield list(pipes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        for pipe in pipes:
            pipe.close()


def _work(answers: Connection, task: Task, good: GoodRun, numbers: Sequence[int]) -> None:
    """Be a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started us ends us
    try:
        for point in task.exhauster().points(numbers, good):
            answers.send(point)
        answers.send(None)
    except EmulatorError as error:
        answers.send(str(error))
    except BrokenPipeError:
        pass  # nobody waits for answers any more
