"""Show how far a long piece of work is, on the terminal of whoever waits for it."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, Task

_TOTAL_MIN = 200_000  # what is less is done before a bar has been drawn


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error while the body runs, if that is a terminal, and take it away again.

    Args:
        label: What is being done.
        total: Number of its steps.

    Yields:
        A function to call with the number of steps done since its last call.
    """
    if total < _TOTAL_MIN or not _is_shown():
        yield _ignore
        return
    with _bar() as bar:  # rich keeps to NO_COLOR by itself
        task = bar.add_task(label, total=total)
        yield lambda steps: bar.advance(task, steps)


@contextmanager
def steps(label: str) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Show a bar on standard error for steps that take long, if that is a terminal, and take it away again.

    Args:
        label: What is being done.

    Yields:
        A function to call with the number of steps when it is known, and one to call with those done since its last call.
    """
    if not _is_shown():
        yield _ignore, _ignore
        return
    with _bar() as bar:
        task = bar.add_task(label, total=None)
        yield (lambda total: bar.update(task, total=total)), (lambda done: bar.advance(task, done))


@contextmanager
def activity(label: str, what: str) -> Iterator[Callable[[int], None]]:
    """Show on standard error that something goes on, if that is a terminal, and take it away again.

    Args:
        label: What is being done.
        what: What is counted meanwhile.

    Yields:
        A function to call with the number of them so far.
    """
    if not _is_shown():
        yield _ignore
        return
    with _counter(what) as counter:
        task = counter.add_task(label, total=None)
        yield lambda count: counter.update(task, completed=count)


def show_stage(name: str) -> None:
    """Show on standard error which stage of the work begins, if that is a terminal, instead of the stage before.

    Args:
        name: The stage; "" takes the last one away.
    """
    if sys.stderr.isatty():
        print(f"\r\x1b[K{name}", end="", file=sys.stderr, flush=True)


def _is_shown() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def _bar() -> Progress:
    from rich import progress as parts  # slow, and only for a terminal
    from rich.console import Console
    from rich.text import Text

    class Rate(parts.ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f}/s")

    return parts.Progress(
        parts.TextColumn("{task.description}", markup=False),
        parts.BarColumn(),
        parts.TaskProgressColumn(),
        Rate(),
        parts.TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )


def _counter(what: str) -> Progress:
    from rich import progress as parts  # slow, and only for a terminal
    from rich.console import Console

    return parts.Progress(
        parts.SpinnerColumn(),
        parts.TextColumn("{task.description}", markup=False),
        parts.TextColumn(f"{{task.completed:,.0f}} {what}", markup=False),
        parts.TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )


def _ignore(_: int) -> None:
    """Show nothing."""
