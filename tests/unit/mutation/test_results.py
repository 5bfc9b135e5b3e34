"""Results of mutants, kept in a file."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING

from tests.mutation.results import KILLED, SURVIVED, Results, Tried, add_options, to_run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FIRST, SECOND, THIRD = (Tried(("a.py", "f", number), "a.py", number, "0 -> 1") for number in range(3))


def test_the_last_result_counts(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    results = Results(path)
    results.add(FIRST, SURVIVED)
    results.add(SECOND, KILLED, by="test_b")
    results.add(FIRST, KILLED, by="test_a")
    for each in (results, Results(path)):
        assert [each.of(tried) for tried in (FIRST, SECOND, THIRD)] == [KILLED, KILLED, None]


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = Results(tmp_path / "results.jsonl")
    results.add(FIRST, SURVIVED)
    results.add(SECOND, KILLED)
    results.print_table([FIRST, SECOND, THIRD], (KILLED, SURVIVED), (SURVIVED,))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "survived  a.py:0: 0 -> 1"
    assert [line.split() for line in lines[2:]] == [
        ["killed", "survived"],
        ["a.py", "1", "1"],
        ["all", "1", "1"],
    ]


def test_what_is_run() -> None:
    parser = ArgumentParser()
    add_options(parser, "a.py")
    for arguments, expected in (([], [None]), (["--again"], [None, SURVIVED]), (["--report"], [])):
        options = parser.parse_args(arguments)
        known = [None, KILLED, SURVIVED]
        assert [each for each in known if to_run(options, each, (SURVIVED,))] == expected
