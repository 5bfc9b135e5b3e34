"""Commands as they run on a terminal: a real process on a pseudo-terminal of a chosen width."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KMEMU = (sys.executable, "-m", "emulator.cli.main")
"""The command, from this source."""

_LINES = 40
_PIECE = 1 << 16
_PATIENCE_S = 0.05


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
        while process.poll() is None or select.select([master], [], [], 0)[0]:
            if select.select([master], [], [], _PATIENCE_S)[0]:
                parts.append(os.read(master, _PIECE))
        return b"".join(parts).decode().replace("\r\n", "\n")
