"""Give all that is typed on a terminal to the program, and the terminal back as it was."""

from __future__ import annotations

import os
import signal
import termios
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

    from emulator.cli.interactive.screen_view import ScreenView

_STOPPING = (signal.SIGTSTP, signal.SIGCONT)
_IFLAG, _LFLAG, _CC = 0, 3, 6  # in what tcgetattr() returns
_NOT_IN = termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
_NOT_IN |= termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
_NOT_LOCAL = termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN | termios.ISIG


class RawTerminal:
    """A terminal whose keys all come as bytes, Ctrl-C too, as long as the context lasts; output is processed as ever.

    Whoever stops the process (SIGTSTP) gets the terminal back meanwhile.

    Args:
        descriptor: The terminal.
        view: What is shown there; None: text that scrolls.
    """

    def __init__(self, descriptor: int, view: ScreenView | None) -> None:
        self._descriptor = descriptor
        self._view = view
        self._before = termios.tcgetattr(descriptor)
        self._handlers: list[Any] = []

    def __enter__(self) -> Self:
        self._take()
        self._handlers = [signal.getsignal(number) for number in _STOPPING]
        signal.signal(signal.SIGTSTP, lambda *_: self.suspend())
        signal.signal(signal.SIGCONT, lambda *_: self._come_back())
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(_STOPPING, self._handlers, strict=True):
            signal.signal(number, handler)
        self._give_back()

    def suspend(self) -> None:
        """Stop the process, as Ctrl-Z does elsewhere. Come back when it goes on."""
        if self._view is not None:
            self._view.close()
        self._give_back()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # has no effect where no shell could let the process go on
        signal.signal(signal.SIGTSTP, ours)
        self._come_back()

    def _come_back(self) -> None:
        self._take()
        if self._view is not None:
            self._view.open()

    def _take(self) -> None:
        mode = self._before
        raw = [*mode[:_CC], list(mode[_CC])]
        raw[_IFLAG] &= ~_NOT_IN
        raw[_LFLAG] &= ~_NOT_LOCAL
        raw[_CC][termios.VMIN], raw[_CC][termios.VTIME] = 1, 0
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, raw)

    def _give_back(self) -> None:
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
