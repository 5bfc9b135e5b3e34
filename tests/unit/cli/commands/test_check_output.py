"""Where the result of a check goes, and what it is compared with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, NoReturn

import pytest

from emulator.cli.commands.check_output import (
    add_output_arguments,
    baseline_of_options,
    check_output_options,
    limits_of,
    update_baseline,
    write_outputs,
)
from emulator.cli.status import CommandLineError, OutputError
from emulator.cli.terminal.output import Output
from emulator.errors import BadFile
from emulator.verdict.baseline import baseline_of
from emulator.verdict.limits import Limits
from emulator.verdict.verdict import Verdict
from tests.helpers.check_examples import CORRUPTION, LEAK, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.report.text.style import Style

VERDICT = Verdict(report(LEAK))


class Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CommandLineError(message)


def options_of(*words: str) -> Namespace:
    parser = Parser()
    parser.add_argument("kernel", nargs="?")
    parser.add_argument("--profile")
    add_output_arguments(parser)
    return parser.parse_args(words)


def checked(*words: str) -> Namespace:
    options = options_of(*words)
    check_output_options(options)
    return options


def text(style: Style) -> Iterator[str]:
    yield f"text for {style.width} columns"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def written(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    write_outputs(checked(*words), VERDICT, 1, text, Output())
    return capsys.readouterr().out


def test_text_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(capsys) == "text for 80 columns\n"
    assert written(capsys, "--format", "text") == "text for 80 columns\n"


@pytest.mark.parametrize(
    ("name", "start"),
    [("json", '{\n  "version": 1,'), ("junit", "<?xml "), ("sarif", "{\n"), ("github", "::error ")],
)
def test_another_format_goes_there_instead(capsys: pytest.CaptureFixture[str], name: str, start: str) -> None:
    out = written(capsys, "--format", name)
    assert out.startswith(start)
    assert out.endswith("\n")
    assert "columns" not in out


def test_files_are_written_beside_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert written(capsys, "--format=junit=j.xml", "--format=sarif=s.sarif") == "text for 80 columns\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j.xml", "s.sarif"]
    assert json.loads((tmp_path / "s.sarif").read_text())["runs"][0]["invocations"][0]["exitCode"] == 1


def test_text_in_a_file_leaves_standard_output_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(capsys, "--format=text=a=b.txt") == ""
    assert (tmp_path / "a=b.txt").read_text() == "text for 120 columns\n"


def test_annotations_may_stand_between_text(capsys: pytest.CaptureFixture[str]) -> None:
    out = written(capsys, "--format=text", "--format=github").splitlines()
    assert out[0] == "text for 80 columns"
    assert out[1].startswith("::error file=demo.c,line=31,")


def test_file_names_count_from_the_repository_of_the_ci(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", "/repo")
    write_outputs(checked("--format=github"), Verdict(report(CORRUPTION)), 1, text, Output())
    assert "file=src/serve it.c," in capsys.readouterr().out


def test_one_file_that_cannot_be_written_spares_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OutputError, match=r"^cannot write none/a: No such file or directory$"):
        written(capsys, "--format=junit=none/a", "--format=json=b", "--format=sarif=none/c")
    assert json.loads((tmp_path / "b").read_text())["status"] == 1
    assert capsys.readouterr().out == "text for 80 columns\n"


class ClosedOutput(Output):
    def raw(self, data: bytes) -> None:
        raise BrokenPipeError(len(data))


def test_files_are_written_even_if_nobody_reads_the_text(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError):
        write_outputs(checked("--format=text", "--format=json=out"), VERDICT, 1, text, ClosedOutput())
    assert json.loads((tmp_path / "out").read_text())["status"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format=xml"], "argument --format: no format 'xml'; there are: text, json, junit, sarif, github"),
        (["--format=json="], "argument --format: 'json=' names no file"),
        (
            ["--format=text", "--format=sarif=-"],
            "--format: text and sarif cannot share standard output; give one a file: sarif=FILE",
        ),
        (["--format=json=a", "--format=sarif=./a"], "--format sarif=./a: ./a is that of json already"),
        (["k.elf", "--format=json=k.elf"], "--format json=k.elf: k.elf is the kernel itself"),
        (["--profile=p", "--format=json=p"], "--format json=p: p is the profile"),
        (["--baseline=b", "--format=json=b"], "--format json=b: b is the baseline"),
        (["--update-baseline"], "--update-baseline needs --baseline FILE"),
        (["--baseline=-"], "--baseline needs a file"),
        (
            ["--max-heap=lots"],
            "argument --max-heap: 'lots' is no size such as 64M, 1G or 0x4000000",
        ),
        (
            ["--max-fragmentation=heap=2"],
            "argument --max-fragmentation: 'heap=2' is no share from 0 to 1, such as 0.3, or AREA=SHARE",
        ),
    ],
)
def test_what_cannot_be_followed(words: list[str], message: str) -> None:
    with pytest.raises(CommandLineError) as caught:
        checked(*words)
    assert str(caught.value) == message


def test_a_device_may_be_written_twice() -> None:
    checked("--format=json=/dev/null", "--format=sarif=/dev/null")


def test_limits() -> None:
    assert not limits_of(checked())
    words = ["--max-heap=64KiB", "--max-heap=slab=4096", "--max-leaked=0", "--max-fragmentation=0.3"]
    assert limits_of(checked(*words)) == Limits({"heap": 65536, "slab": 4096}, {"": 0}, {"heap": 0.3})


def test_a_baseline_is_made_and_kept_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    options = checked("--baseline=base.json", "--update-baseline")
    assert baseline_of_options(options) is None
    assert update_baseline(options, report(LEAK), None) == baseline_of(report(LEAK))
    path.write_text(path.read_text().replace('"*": "0"', '"heap.*": "5%"'))
    old = baseline_of_options(options)
    assert old is not None
    update_baseline(options, report(), old)
    assert baseline_of_options(options) == baseline_of(report(), {"heap.*": "5%"})
    assert [each.name for each in tmp_path.iterdir()] == ["base.json"]


def test_a_baseline_has_to_be_there_unless_it_is_to_be_made() -> None:
    assert baseline_of_options(checked()) is None
    with pytest.raises(BadFile, match=r"^base\.json: is not there \(make it with --update-baseline\)$"):
        baseline_of_options(checked("--baseline=base.json"))


def test_a_broken_baseline_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text("{")
    with pytest.raises(BadFile):
        baseline_of_options(checked("--baseline=base.json", "--update-baseline"))


SCRIPT = """\
import sys
from argparse import ArgumentParser
from emulator.verdict.verdict import Verdict
from emulator.cli.commands.check_output import *
from emulator.cli.terminal.output import Output
from tests.helpers.check_examples import LEAK, report
parser = ArgumentParser()
add_output_arguments(parser)
options = parser.parse_args(["--format=json=out.json", "--baseline=base.json", "--update-baseline"])
for _ in range(100):
    update_baseline(options, report(LEAK), baseline_of_options(options))
    write_outputs(options, Verdict(report(LEAK, kernel=sys.argv[1])), 1, lambda style: [], Output())
"""


def test_checks_at_the_same_time_in_one_folder(tmp_path: Path) -> None:
    source = os.path.dirname(os.path.dirname(sys.modules["emulator"].__file__ or ""))  # noqa: PTH120
    environment = {**os.environ, "PYTHONPATH": source}
    running = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, name], cwd=tmp_path, env=environment)
        for name in ("a.elf", "b.elf", "c.elf")
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.json", "out.json"]
    assert json.loads((tmp_path / "out.json").read_text())["kernel"] in ("a.elf", "b.elf", "c.elf")
    assert baseline_of_options(checked("--baseline=base.json")) == baseline_of(report(LEAK))
