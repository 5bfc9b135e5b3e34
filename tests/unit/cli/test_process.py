"""What only a real process can show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.unit.cli import kernels

if TYPE_CHECKING:
    from pathlib import Path

KMEMU = (sys.executable, "-m", "emulator.cli.main")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*KMEMU, *arguments], capture_output=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_the_demo_kernel_boots() -> None:
    done = run("boot")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\ndone\n" in done.stdout
    assert b"\x1b" not in done.stdout


def test_only_the_chosen_command_is_imported() -> None:
    script = "import sys; from emulator.cli.main import main; main(['diff', '--help']); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    modules = done.stdout.split()
    assert b"emulator.cli.commands.diff" in modules
    assert not {
        b"emulator.cli.commands.boot",
        b"emulator.cli.commands.export",
        b"numpy",
        b"pyarrow",
        b"rich",
    }.intersection(modules)


def test_ctrl_c_stops_a_kernel_that_loops(tmp_path: Path) -> None:
    code = kernels.send(0x3F8, b"up\n") + kernels.LOOP
    path = kernels.write_kernel(tmp_path / "k.elf", code)
    command = [
        "env",
        "--default-signal=INT",
        *KMEMU,
        "boot",
        path,
    ]  # background jobs of a shell ignore SIGINT
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"  # streamed while it runs
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err) == (130, b"kmemu: interrupted\n")
    assert b"\nEnded     interrupted by Ctrl-C\n" in out


def test_a_closed_pipe_ends_the_run_quietly(tmp_path: Path) -> None:
    code = kernels.send(0x3F8, b"spam\n")
    path = kernels.write_kernel(
        tmp_path / "k.elf", code + b"\xeb" + (-len(code) - 2 & 0xFF).to_bytes(1, "little")
    )
    with subprocess.Popen([*KMEMU, "boot", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"spam\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        for arguments in (["--help"], ["boot"], ["inspect", "firmware:demo", "--json"]):
            done = subprocess.run([*KMEMU, *arguments], stdout=full, stderr=subprocess.PIPE, check=False)
            assert (done.returncode, done.stderr) == (
                3,
                b"kmemu: cannot write standard output: No space left on device\n",
            )


def test_closed_standard_streams_are_no_traceback() -> None:
    command = f"{' '.join(KMEMU)} boot none.elf >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == 3


def test_an_ascii_terminal_gets_ascii() -> None:
    done = run("boot", "--screen", env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"})
    assert done.returncode == 0
    assert done.stdout.isascii()


def test_a_looping_kernel_with_json_prints_one_document(tmp_path: Path) -> None:
    path = kernels.write_kernel(tmp_path / "k.elf", kernels.LOOP)
    done = run("boot", path, "--json", "--timeout", "0.1")
    assert done.returncode == 4
    assert json.loads(done.stdout)["outcome"] == "budget used up"
