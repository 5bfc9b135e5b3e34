from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

from emulator.cli.terminal.progress import progress

if TYPE_CHECKING:
    import pytest

SCRIPT = """
import os, sys, time
from emulator.cli.terminal.progress import progress
total = int(os.environ["TOTAL"])
with progress("writing [b]x", total) as advance:
    for _ in range(4):
        advance(total // 4)
        time.sleep(0.12)
print("rich" in sys.modules)
"""


STEPS = """
import time
from emulator.cli.terminal.progress import steps
with steps("failing [b]x") as (on_start, on_step):
    on_start(4)
    for _ in range(4):
        on_step(1)
        time.sleep(0.12)
"""


def on_terminal(script: str = SCRIPT, **environment: str) -> tuple[bytes, bytes]:
    """Run a script with a terminal as its standard error; return output and what the terminal got."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "TOTAL": "1000000", **environment}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=theirs, env=env
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 4096):
                shown += data
        except OSError:  # the other side is closed
            pass
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(ours)
    return out, shown


def test_a_terminal_gets_a_bar() -> None:
    out, shown = on_terminal()
    assert out == b"True\n"
    assert b"writing [b]x" in shown
    assert b"100%" in shown
    assert b"/s" in shown
    assert b"\x1b[3" in shown  # colours
    assert shown.endswith(b"\x1b[2K")  # taken away again


def test_a_few_long_steps_have_a_bar() -> None:
    _, shown = on_terminal(STEPS)
    assert b"failing [b]x" in shown
    assert b"100%" in shown
    assert shown.endswith(b"\x1b[2K")


def test_steps_show_nothing_on_a_dumb_terminal() -> None:
    assert on_terminal(STEPS, TERM="dumb") == (b"", b"")


def test_no_color_has_no_colours() -> None:
    _, shown = on_terminal(NO_COLOR="1")
    assert b"100%" in shown
    assert b"\x1b[3" not in shown


def test_a_short_piece_of_work_shows_nothing() -> None:
    assert on_terminal(TOTAL="1000") == (b"False\n", b"")


def test_a_dumb_terminal_gets_nothing() -> None:
    assert on_terminal(TERM="dumb") == (b"False\n", b"")


def test_a_pipe_gets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("writing", 1_000_000) as advance:
        advance(1_000_000)
    assert capsys.readouterr() == ("", "")
