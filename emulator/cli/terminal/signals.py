"""Let signals from outside end the command in order, as Ctrl-C does."""

from __future__ import annotations

import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from emulator.cli.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_STATUS = {
    signal.SIGINT: Status.INTERRUPTED,
    signal.SIGTERM: Status.TERMINATED,
    signal.SIGHUP: Status.HUNG_UP,
}
ENDING = tuple(_STATUS)
"""Signals that end a command in order."""


class Interrupted(KeyboardInterrupt):
    """A signal wants the command to end; the text is its name, or "" for that of Ctrl-C, as Python itself has it.

    Attributes:
        status: The exit status that follows.
    """

    def __init__(self, number: int) -> None:
        which = signal.Signals(number)
        super().__init__("" if which is signal.SIGINT else which.name)
        self.status = _STATUS[which]


@contextmanager
def ending_in_order() -> Iterator[list[Interrupted]]:
    """Let SIGTERM and SIGHUP do in the body what SIGINT does: raise a `KeyboardInterrupt`.

    One that is ignored, as nohup has it, or that somebody handles, stays so; in another thread than the first, both.

    Yields:
        Those that have come so far: what they interrupt only knows that it was interrupted.
    """
    come: list[Interrupted] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        come.append(Interrupted(number))
        raise come[-1]

    ours = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    with suppress(ValueError):  # not the first thread
        for number in ours:
            signal.signal(number, interrupt)
    try:
        yield come
    finally:
        with suppress(ValueError):
            for number in ours:
                signal.signal(number, signal.SIG_DFL)
