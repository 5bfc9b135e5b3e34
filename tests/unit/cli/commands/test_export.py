from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from emulator.report.exporters import folded
from tests.helpers import trace_examples
from tests.helpers.traces import TraceBuilder, random_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done

KMEMU = (sys.executable, "-m", "emulator.cli.main")


@pytest.fixture
def trace(tmp_path: Path) -> str:
    return str(trace_examples.small().write(tmp_path / "run.kmt"))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("form", "name", "hint"),
    [
        ("perfetto", "run.perfetto.json", "; open it at https://ui.perfetto.dev"),
        ("speedscope", "run.speedscope.json", "; open it at https://www.speedscope.app"),
        ("folded", "run.folded", ""),
        ("csv", "run.csv", ""),
        ("parquet", "run.parquet", ""),
    ],
)
def test_the_file_is_beside_the_trace(
    kmemu: Callable[..., Done], trace: str, tmp_path: Path, form: str, name: str, hint: str
) -> None:
    assert kmemu("export", trace, "--to", form) == (0, f"wrote {tmp_path / name}{hint}\n", "")
    assert names_in(tmp_path) == sorted(["run.kmt", name])
    assert (tmp_path / name).stat().st_size > 0


def test_a_name_of_ones_own(kmemu: Callable[..., Done], trace: str, tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    assert kmemu("export", trace, "--to", "folded", "--area", "heap", "-o", str(path)).status == 0
    assert path.read_text() == "start;kmain 100\nstart;kmain;load 300\n"


def test_standard_output(kmemu: Callable[..., Done], trace: str, tmp_path: Path) -> None:
    done = kmemu("export", trace, "--to", "folded", "--measure", "end", "-o", "-")
    assert done == (0, "[heap];start;kmain;load 300\n[frames];start;kmain;load 8192\n", "")
    assert names_in(tmp_path) == ["run.kmt"]


def test_one_measure(kmemu: Callable[..., Done], trace: str) -> None:
    done = kmemu("export", trace, "--to", "speedscope", "--measure", "calls", "--area", "heap", "-o", "-")
    assert [each["name"] for each in json.loads(done.out)["profiles"]] == ["heap: calls"]


def test_a_trace_that_was_cut_off(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = str(trace_examples.small().write(tmp_path / "run.kmt", complete=False))
    done = kmemu("export", path, "--to", "csv")
    assert done == (0, f"wrote {tmp_path / 'run.csv'}; the trace is incomplete\n", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "csv", "--area", "heap"], "--area is not for csv, which holds the whole trace"),
        (
            ["--to", "perfetto", "--measure", "end"],
            "--measure is not for perfetto, only for speedscope and folded",
        ),
        (["--to", "parquet", "-o", "-"], "parquet cannot go to standard output"),
        (["--to", "folded", "--area", "x"], "no area 'x' in the trace; there are: heap, frames, pools"),
        (
            ["--to", "svg"],
            "argument --to: invalid choice: 'svg' (choose from 'perfetto', 'speedscope', 'folded', 'csv', 'parquet') (kmemu export --help shows how)",
        ),
        (
            ["--to", "folded", "--measure", "size"],
            "argument --measure: no measure 'size'; there are: peak, end, calls, allocated (kmemu export --help shows how)",
        ),
    ],
)
def test_a_wrong_command_line(
    kmemu: Callable[..., Done], trace: str, options: list[str], message: str
) -> None:
    assert kmemu("export", trace, *options) == (2, "", f"kmemu: {message}\n")


def test_the_trace_is_not_overwritten(kmemu: Callable[..., Done], trace: str) -> None:
    done = kmemu("export", trace, "--to", "csv", "-o", trace)
    assert done == (2, "", f"kmemu: {trace} is the trace itself\n")


def test_what_is_no_trace(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "x.kmt"
    path.write_bytes(b"nothing")
    assert kmemu("export", str(path), "--to", "csv") == (3, "", f"kmemu: {path}: no kmemu trace\n")
    assert names_in(tmp_path) == ["x.kmt"]


def test_what_was_there_stays_when_the_export_fails(
    kmemu: Callable[..., Done], trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "run.folded").write_text("old")
    monkeypatch.setattr(folded, "write_folded", interrupted)
    assert kmemu("export", trace, "--to", "folded") == (130, "", "kmemu: interrupted\n")
    assert (tmp_path / "run.folded").read_text() == "old"
    assert names_in(tmp_path) == ["run.folded", "run.kmt"]


@pytest.mark.parametrize("form", ["perfetto", "speedscope", "folded", "csv"])
def test_a_full_disk_is_one_line(trace: str, form: str) -> None:
    command = [*KMEMU, "export", trace, "--to", form, "-o", "-"]
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (
        3,
        b"kmemu: cannot write standard output: No space left on device\n",
    )


def test_a_file_that_cannot_be_written_is_one_line(
    kmemu: Callable[..., Done], trace: str, tmp_path: Path
) -> None:
    path = tmp_path / "none" / "x"
    done = kmemu("export", trace, "--to", "parquet", "-o", str(path))
    assert done == (3, "", f"kmemu: cannot write {path}: No such file or directory\n")


@pytest.mark.parametrize("form", ["perfetto", "csv"])
def test_a_closed_pipe_ends_the_export_quietly(tmp_path: Path, form: str) -> None:
    path = str(random_trace(tmp_path / "run.kmt", 20_000, 1))
    command = [*KMEMU, "export", path, "--to", form, "-o", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    path = str(random_trace(tmp_path / "run.kmt", 300_000, 1))
    command = ["env", "--default-signal=INT", *KMEMU, "export", path, "--to", "perfetto"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not any(name.endswith(".part") for name in names_in(tmp_path)):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"kmemu: interrupted\n")
    assert names_in(tmp_path) == ["run.kmt"]


@pytest.mark.parametrize("form", ["perfetto", "speedscope", "folded", "csv"])
def test_hostile_names_send_nothing_to_a_terminal(
    kmemu: Callable[..., Done], tmp_path: Path, form: str
) -> None:
    path = str(trace_examples.hostile().write(tmp_path / "run.kmt"))
    done = kmemu("export", path, "--to", form, "-o", "-")
    assert done.status == 0
    assert "load" not in done.out
    assert all(line.isprintable() for line in done.out.splitlines())


def test_a_trace_without_calls(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = str(TraceBuilder().write(tmp_path / "run.kmt"))
    for form in ("perfetto", "speedscope", "folded", "csv", "parquet"):
        assert kmemu("export", path, "--to", form).status == 0
    assert os.path.getsize(tmp_path / "run.folded") == 0  # noqa: PTH202 - it says it best
