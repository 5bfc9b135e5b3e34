"""Commands as they run on a terminal: a real process on a pseudo-terminal of a chosen width, or in tmux."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KMEMU = (sys.executable, "-m", "emulator.cli.main")
"""The command, from this source."""

_LINES = 40
_PIECE = 1 << 16
_PATIENCE_S = 0.05
_PATIENCE_MAX_S = 300  # only ends the wait for what never comes; how long it takes is not tested


@contextmanager
def terminal(columns: int) -> Iterator[tuple[int, int]]:
    """Make a pseudo-terminal, and yield its two ends: the one to read what is shown, and the terminal."""
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, columns, 0, 0))
        yield master, slave
    finally:
        os.close(master)
        os.close(slave)


def drained(master: int) -> bytes:
    """Return all that a terminal has got so far; one read may give the first of several writes."""
    parts = []
    while select.select([master], [], [], 0)[0]:
        parts.append(os.read(master, _PIECE))
    return b"".join(parts)


def environment(**changes: str) -> dict[str, str]:
    """Return the variables of an ordinary terminal, with some changed."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("COLUMNS", "LINES", "NO_COLOR", "LC_ALL")
    }
    return {**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **changes}


def shown(*words: str, columns: int, changes: Mapping[str, str] | None = None) -> str:
    """Run the command with a terminal as its standard output, and return what that shows."""
    with terminal(columns) as (master, slave):
        process = subprocess.Popen(
            [*KMEMU, *words],
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=subprocess.DEVNULL,
            env=environment(**(changes or {})),
        )
        parts = []
        while process.poll() is None:
            if select.select([master], [], [], _PATIENCE_S)[0]:
                parts.append(os.read(master, _PIECE))
        return b"".join([*parts, drained(master)]).decode().replace("\r\n", "\n")


class Terminal:
    """A terminal of tmux in which the command runs, and after it a shell says its status.

    Args:
        socket: Of tmux.
        columns: Its width.
        rows: Its height.
    """

    def __init__(self, socket: Path, columns: int, rows: int) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._size = ("-x", str(columns), "-y", str(rows))

    def start(self, *arguments: str, setting: str = "") -> None:
        """Run the command, with variables set before it; then a shell goes on."""
        shell = " ".join([setting, *KMEMU, *arguments]) + "; echo left with $?; exec sh -i"
        environment = {**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        subprocess.run([*self._tmux, "new-session", "-d", *self._size, shell], check=True, env=environment)

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def signal(self, number: int) -> None:
        """Send a signal to the command, the only child of the first shell."""
        shell = subprocess.run(
            [*self._tmux, "list-panes", "-F", "#{pane_pid}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text(encoding="ascii")
        os.kill(int(children), number)

    def screen(self, *, escapes: bool = False) -> str:
        """Return what the terminal shows."""
        capture = [*self._tmux, "capture-pane", "-p", *(["-e"] if escapes else [])]
        done = subprocess.run(capture, check=True, capture_output=True, text=True)
        return done.stdout

    def wait_for(self, text: str, gone: str = "\0") -> str:
        """Wait until the terminal shows a text, and does not show another. Return all that it shows."""
        end = time.monotonic() + _PATIENCE_MAX_S
        while time.monotonic() < end:
            screen = self.screen()
            if text in screen and gone not in screen:
                return screen
            time.sleep(0.1)
        pytest.fail(f"{text!r} does not appear:\n{self.screen()}")

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal."""
        size = ("-x", str(columns), "-y", str(rows))
        subprocess.run([*self._tmux, "resize-window", *size], check=True)

    def close(self) -> None:
        """End it, and what runs in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)
