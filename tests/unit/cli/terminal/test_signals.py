"""SIGTERM and SIGHUP end a command as Ctrl-C does: nothing is left over, and the exit status says which it was."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from typing import TYPE_CHECKING

import pytest

from emulator.cli.status import Status
from emulator.cli.terminal.signals import Interrupted, ending_in_order
from emulator.trace.trace import Trace
from tests.helpers.terminal import KMEMU, environment
from tests.unit.cli import kernels

if TYPE_CHECKING:
    from pathlib import Path

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
PROFILE = 'name = "mine"\n[heap]\nalloc = "start()"\n'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_becomes_an_interruption_and_is_remembered(number: signal.Signals) -> None:
    with ending_in_order() as come:
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(number)
        assert str(caught.value) == number.name
        assert [each.status for each in come] == [dict(SIGNALS)[number]]
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_others_do_with_a_signal_stays() -> None:
    for action in (signal.SIG_IGN, lambda *_: None):
        before = signal.signal(signal.SIGHUP, action)
        try:
            with ending_in_order() as come:
                signal.raise_signal(signal.SIGHUP)
            assert come == []
            assert signal.getsignal(signal.SIGHUP) is action
        finally:
            signal.signal(signal.SIGHUP, before)


def test_another_thread_than_the_first_handles_no_signals() -> None:
    received: list[list[Interrupted]] = []

    def run() -> None:
        with ending_in_order() as come:
            received.append(come)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert received == [[]]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_text_is_the_name_of_the_signal() -> None:
    assert (str(Interrupted(signal.SIGHUP)), str(Interrupted(signal.SIGINT))) == ("SIGHUP", "")
    assert Interrupted(signal.SIGINT).status is Status.INTERRUPTED


def looping_kernel(folder: Path) -> tuple[str, str]:
    """Write a kernel that says "up" on COM1 and loops, and a profile for it; return both names."""
    (folder / "p.toml").write_text(PROFILE)
    path = kernels.write_kernel(folder / "k.elf", kernels.send(0x3F8, b"up\n") + kernels.LOOP)
    return path, str(folder / "p.toml")


def interrupted(
    number: signal.Signals, folder: Path, *words: str, console: str
) -> tuple[int, str, str, list[str]]:
    """Run a command until the kernel says "up", then send a signal.

    Args:
        number: The signal.
        folder: Gets a folder for temporary files.
        words: Of the command.
        console: Where the kernel is heard: "stdout" or "stderr".

    Returns:
        Exit status, rest of standard output and standard error, and what is left in the folder for temporary files.
    """
    temporary = folder / "tmp"
    temporary.mkdir()
    command = ["env", "--default-signal=INT,HUP", *KMEMU, *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(TMPDIR=str(temporary)),
    ) as process:
        stream = getattr(process, console)
        assert stream.readline() == "up\n"
        process.send_signal(number)
        out, err = process.communicate()
    return process.returncode, out, err, os.listdir(temporary)  # noqa: PTH208 - names


def name(number: signal.Signals) -> str:
    return "interrupted" if number is signal.SIGINT else f"interrupted by {number.name}"


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_boot_shows_its_summary(tmp_path: Path, number: signal.Signals, status: int) -> None:
    path, _ = looping_kernel(tmp_path)
    done, out, err, left = interrupted(number, tmp_path, "boot", path, console="stdout")
    assert (done, err, left) == (status, f"kmemu: {name(number)}\n", [])
    by = "Ctrl-C" if number is signal.SIGINT else number.name
    assert f"\nEnded     interrupted by {by}\n" in out


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_trace_leaves_nothing_in_the_folder_for_temporary_files(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    path, profile = looping_kernel(tmp_path)
    words = ["trace", path, "--profile", profile, "--console"]
    done, out, err, left = interrupted(number, tmp_path, *words, console="stderr")
    assert (done, left) == (status, [])
    assert err.endswith(f"kmemu: {name(number)}\n")
    if number is signal.SIGINT:
        assert out.startswith("#1  start(") or "no call of start was seen" in err  # no chunk was whole yet
        assert err.startswith(
            "kmemu: interrupted; what was recorded until then follows (Ctrl-C once more ends that)\n"
        )
    else:
        assert out == ""


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_trace_that_was_asked_for_is_whole(tmp_path: Path, number: signal.Signals, status: int) -> None:
    path, profile = looping_kernel(tmp_path)
    kept = tmp_path / "kept"
    kept.mkdir()
    words = ["trace", path, "--profile", profile, "--console", "-o", str(kept / "run.kmt")]
    done, _, err, _ = interrupted(number, tmp_path, *words, console="stderr")
    assert done == status, err
    assert [each.name for each in kept.iterdir()] == ["run.kmt"]
    ending = Trace.read(str(kept / "run.kmt")).ending
    assert ending is None or ending.how == "interrupted"  # None: a chunk was being written


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_check_leaves_nothing(tmp_path: Path, number: signal.Signals, status: int) -> None:
    path, profile = looping_kernel(tmp_path)
    words = ["check", path, "--profile", profile, "--console", "--format", f"junit={tmp_path}/x.xml"]
    done, _, err, left = interrupted(number, tmp_path, *words, console="stderr")
    assert (done, err, left) == (status, f"kmemu: {name(number)}\n", [])
    assert not [each for each in tmp_path.iterdir() if each.suffix == ".part"]


SCRIPT = """\
import signal, sys
from emulator.cli.commands import export
from emulator.cli.main import command
number = int(sys.argv.pop())
export._write = lambda trace, stream, options: (stream.write(b"part"), signal.raise_signal(number))
command()
"""


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_file_that_is_being_written_goes_away(tmp_path: Path, number: signal.Signals, status: int) -> None:
    trace = tmp_path / "run.kmt"
    subprocess.run([*KMEMU, "trace", "firmware:overflow", "-o", trace], check=True, capture_output=True)
    words = ["export", str(trace), "--to", "csv", str(int(number))]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"kmemu: {name(number)}\n")
    assert [each.name for each in tmp_path.iterdir()] == ["run.kmt"]


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_step_gives_the_terminal_back(tmp_path: Path, number: signal.Signals, status: int) -> None:
    path, profile = looping_kernel(tmp_path)
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with subprocess.Popen(
        [*KMEMU, "step", path, "--profile", profile, "--timeout", "0"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(),
    ) as process:
        received = b""
        while b"recording the run" not in received:
            received += os.read(master, 1 << 16)
        process.send_signal(number)
        while b"interrupted" not in received or not received.endswith(b"\n"):
            received += os.read(master, 1 << 16)
        assert process.wait() == status
    assert termios.tcgetattr(slave) == before
    assert received.rindex(b"\x1b[?25h") > received.rindex(b"\x1b[?25l")
    assert received.rindex(b"\x1b[?1049l") > received.rindex(b"\x1b[?1049h")
    assert f"kmemu: {name(number)}\r\n".encode() in received
    os.close(master)
    os.close(slave)
