"""Interactive runs: input from a pipe, and from a real terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from emulator.cli.interactive import session as sessions
from emulator.cli.interactive.session import Session
from emulator.cli.terminal.output import Output
from emulator.machine.execution import Returned
from emulator.run.ending import Left
from tests.helpers.guest import machine_of
from tests.helpers.terminal import KMEMU
from tests.unit.cli.interactive.guests import write_echo, write_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.machine.machine import Machine
    from tests.helpers.terminal import Terminal
    from tests.unit.cli.conftest import Done

_MS = 1_000_000
_WITH_NUMBER = """sh -c 'echo process $$; exec "$0" "$@"'"""


@pytest.fixture
def echo(tmp_path: Path) -> str:
    return write_echo(tmp_path / "echo.elf")


@pytest.fixture
def keys(tmp_path: Path) -> str:
    return write_keys(tmp_path / "keys.elf")


class TestOptions:
    def test_json_and_input_do_not_go_together(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "-i", "--json")
        assert done == (2, "", "kmemu: --json and -i cannot both have standard output\n")

    def test_the_screen_is_drawn_on_terminals_only(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "-i", "--screen")
        assert done == (2, "", "kmemu: -i --screen draws on the terminal, and standard output is none\n")


class TestPipes:
    def test_input_comes_from_a_pipe(self, echo: str) -> None:
        command = [*KMEMU, "boot", "-i", echo, "--no-summary"]
        done = subprocess.run(command, input=b"hello\x01\x03q", capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b">hello\x01\x03q", b"")

    def test_more_input_than_the_line_takes_at_once(self, echo: str) -> None:
        text = b"0123456789abcde\n" * 300
        command = [*KMEMU, "boot", "-i", echo, "--no-summary"]
        done = subprocess.run(command, input=text + b"q", capture_output=True, check=True)
        assert done.stdout == b">" + text + b"q"

    def test_the_kernel_answers_at_once_and_waits_for_more(self, echo: str) -> None:
        command = [*KMEMU, "boot", "-i", echo, "--no-summary"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.read(1) == b">"
            for byte in (b"a", b"b", b"q"):
                process.stdin.write(byte)
                process.stdin.flush()
                assert process.stdout.read(1) == byte
            assert process.wait() == 0

    def test_a_kernel_that_waits_for_input_after_its_end_has_halted(self, echo: str) -> None:
        command = [*KMEMU, "boot", "-i", echo]
        done = subprocess.run(command, input=b"x", capture_output=True, check=True)
        assert done.stdout.startswith(b">x\n")
        assert b"with nothing to wake it" in done.stdout

    def test_the_time_that_was_asked_for_ends_the_wait(self, echo: str) -> None:
        command = [*KMEMU, "boot", "-i", echo, "--no-summary", "--timeout", "0.2"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.wait() == 4
            assert process.stderr is not None
            assert b"kmemu: time budget used up at _start+" in process.stderr.read()

    def test_without_standard_input_nothing_comes(self, echo: str) -> None:
        shell = ["sh", "-c", f"exec {' '.join(KMEMU)} boot -i {echo} --no-summary <&-"]
        done = subprocess.run(shell, capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b">", b"")

    def test_who_waits_can_be_terminated(self, echo: str) -> None:
        command = [*KMEMU, "boot", "-i", echo, "--no-summary"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(1) == b">"
            process.terminate()
            assert process.wait() == 143


class TestTerminals:
    def test_what_is_typed_goes_to_com1(self, terminal: Terminal, echo: str) -> None:
        terminal.start("boot", "-i", echo, "--no-summary")
        terminal.wait_for(">")
        first = "kmemu: what is typed goes to COM1; Ctrl-A x leaves, Ctrl-A z suspends\n"
        assert terminal.screen().startswith(first)
        terminal.keys("a", "C-c", "b", "C-z", "c", "C-a", "a", "d")
        terminal.wait_for(">abcd")
        terminal.keys("C-a", "x")
        terminal.wait_for("left with 0")
        terminal.keys("stty", "Space", "-a", "Enter")
        assert " -icanon" not in terminal.wait_for("icanon")

    def test_help_is_at_hand(self, terminal: Terminal, echo: str) -> None:
        terminal.start("boot", "-i", echo, "--no-summary")
        terminal.wait_for(">")
        terminal.keys("x")
        terminal.wait_for(">x")
        terminal.keys("C-a", "h")
        terminal.wait_for(">x\nkmemu: Ctrl-A x leaves")
        terminal.keys("q")
        terminal.wait_for("left with 0")

    def test_the_summary_says_that_somebody_left(self, terminal: Terminal, echo: str) -> None:
        terminal.start("boot", "-i", echo)
        terminal.wait_for(">")
        terminal.keys("C-a", "x")
        terminal.wait_for("left with 0")
        assert "Ended     left by Ctrl-A x" in terminal.screen()

    @pytest.mark.parametrize("screen", [False, True])
    def test_a_session_can_be_suspended(
        self, terminal: Terminal, echo: str, keys: str, *, screen: bool
    ) -> None:
        terminal.start("--version")
        terminal.wait_for("left with 0")
        kernel = ["--screen", keys] if screen else [echo]
        terminal.keys(" ".join([*KMEMU, "boot", "-i", "--no-summary", *kernel]), "Enter")
        terminal.wait_for("what is typed goes to")
        terminal.keys("C-a", "z")
        terminal.wait_for("Stopped")
        terminal.keys("echo $((6*7)); fg", "Enter")
        terminal.wait_for("K>" if screen else "42", gone="Stopped" if screen else "\0")
        terminal.keys("a")
        terminal.wait_for("K>1E" if screen else "a\n")
        terminal.keys("C-a", "x")
        terminal.wait_for("Stopped", gone="K>")

    def test_a_signal_gives_the_terminal_back(self, terminal: Terminal, echo: str) -> None:
        terminal.start("boot", "-i", echo, "--no-summary", setting=_WITH_NUMBER)
        number = int(terminal.wait_for(">").split()[1])
        os.kill(number, signal.SIGTERM)
        terminal.wait_for("left with 143")

    def test_keys_go_to_the_keyboard_and_the_screen_is_shown(self, terminal: Terminal, keys: str) -> None:
        terminal.start("boot", "-i", "--screen", keys, "--no-summary")
        screen = terminal.wait_for("K>")
        assert screen.splitlines()[23].startswith(
            "kmemu: what is typed goes to the keyboard; Ctrl-A x leaves"
        )
        terminal.keys("a", "Up", "F5")
        screen = terminal.wait_for("K>1E483F", gone="what is typed goes to the keyboard")
        assert "\x1b[97m\x1b[44mK>1E" in terminal.screen(escapes=True)
        terminal.resize(100, 30)
        lines = terminal.wait_for("what is typed goes to the keyboard").splitlines()
        assert lines[0] == "K>1E483F"
        assert lines[25].startswith("kmemu: what is typed goes to the keyboard")
        terminal.keys("C-a", "h")
        terminal.wait_for("kmemu: Ctrl-A x leaves, Ctrl-A z suspends, Ctrl-A a types Ctrl-A")
        terminal.keys("q")
        assert "K>1E483F" in terminal.wait_for("left with 0").split("screen")[1]

    def test_the_screen_does_without_colours(self, terminal: Terminal, keys: str) -> None:
        terminal.start("boot", "-i", "--screen", keys, "--no-summary", setting="NO_COLOR=1")
        terminal.wait_for("K>")
        assert "\x1b[" not in terminal.screen(escapes=True).splitlines()[0]


class _Wall:
    """The clock of the wall, for a session: it only goes on where that waits. Nothing is ever typed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, works_ns: int = 0) -> None:
        self.now_ns = 7
        self.works_ns = works_ns  # what the machine takes between two looks at the clock
        monkeypatch.setattr("time.monotonic_ns", self._look)
        monkeypatch.setattr("select.select", self._wait)

    def _look(self) -> int:
        self.now_ns += self.works_ns
        return self.now_ns

    def _wait(self, *arguments: object) -> tuple[list[int], list[int], list[int]]:
        seconds = arguments[-1]
        assert isinstance(seconds, float)
        self.now_ns += round(seconds * 1e9)
        return [], [], []


def _endless() -> Machine:
    """Return a machine with a guest that never ends, and takes no interrupts."""
    return machine_of("1: incl %ecx\n jmp 1b")


def test_the_machine_keeps_to_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _endless()
    wall = _Wall(monkeypatch)
    start = wall.now_ns
    session = Session(machine, Output(), 0, machine.send, lambda: 0)
    machine.interrupts.attend(session, 4, session.listens)
    _run_for(machine, 50)
    assert abs(wall.now_ns - start - machine.interrupts.now_ns()) <= sessions.TICK_NS


def test_a_slow_host_is_not_run_after(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _endless()
    wall = _Wall(monkeypatch, works_ns=30 * _MS)  # three times as long as the guest
    session = Session(machine, Output(), 0, machine.send, lambda: 0)
    machine.interrupts.attend(session, 4, session.listens)
    _run_for(machine, 50)
    wall.works_ns = 0
    before, start = wall.now_ns, machine.interrupts.now_ns()
    _run_for(machine, 50)
    passed = machine.interrupts.now_ns() - start
    assert passed - 110 * _MS <= wall.now_ns - before <= passed + sessions.TICK_NS


def _run_for(machine: Machine, ticks: int) -> None:
    machine.pause_after(ticks * sessions.TICK_NS // 10, machine.stop)
    assert machine.run().ending is Returned.ASKED


def test_leaving_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _endless()
    session = Session(machine, Output(), 0, machine.send, lambda: 0)
    monkeypatch.setattr(session, "_wait", lambda _ns: session._command(ord("x")))  # noqa: SLF001
    machine.interrupts.attend(session, 4, session.listens)
    with pytest.raises(Left):
        machine.run()


def test_the_whole_session_imports_nothing_for_runs_without_one() -> None:
    code = "import sys; from emulator.cli.main import main; main(['boot', '--no-summary']);"
    code += "print([name for name in sys.modules if 'interactive' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.endswith(b"[]\n")
