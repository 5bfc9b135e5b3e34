"""Baselines as files: what is written, and which errors a broken one makes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from emulator.errors import BadFile
from emulator.verdict.baseline import baseline_of
from emulator.verdict.baseline_file import baseline_text, read_baseline
from tests.helpers.check_examples import FRAMES, HEAP, LEAK, report

if TYPE_CHECKING:
    from pathlib import Path

BASELINE = baseline_of(report(LEAK), {"heap.peak_bytes": "5%", "heap.calls": 10, "*": "0"})
TEXT = baseline_text(BASELINE)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    path.write_text(TEXT)
    assert read_baseline(path) == BASELINE


def test_the_text_does_not_depend_on_any_order() -> None:
    callers = dict(reversed([*HEAP.callers.items()]))
    measures = {"frames": FRAMES, "heap": replace(HEAP, callers=callers)}
    other = baseline_of(report(LEAK, measures=measures), BASELINE.tolerances)
    assert baseline_text(other) == TEXT


@pytest.mark.parametrize(("fragmentation", "written"), [(1 / 3, 0.3333), (0.0, 0.0), (1.0, 1.0)])
def test_fragmentation_is_rounded(tmp_path: Path, fragmentation: float, written: float) -> None:
    measures = {"heap": replace(HEAP, fragmentation=fragmentation)}
    path = tmp_path / "base.json"
    path.write_text(baseline_text(baseline_of(report(LEAK, measures=measures), {})))
    assert read_baseline(path).areas["heap"].fragmentation == written


def error(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(BadFile) as caught:
        read_baseline(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def changed(*keys: str, to: object) -> str:
    document: dict[str, Any] = json.loads(TEXT)
    table = document
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = to
    return json.dumps(document, indent=2)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("version",), 2, "line 2: key 'version': 2 is not 1, the only one known"),
        (("version",), True, "line 2: key 'version': True is not 1, the only one known"),
        (
            ("tolerances", "heap.calls"),
            "lots",
            "line 5: key 'tolerances.heap.calls': 'lots' is no tolerance such as 10, 0.05 or \"5%\"",
        ),
        (
            ("tolerances", "heap.calls"),
            -1,
            "line 5: key 'tolerances.heap.calls': -1 is no tolerance such as 10, 0.05 or \"5%\"",
        ),
        (
            ("tolerances", "heap.peek"),
            1,
            "line 7: key 'tolerances.heap.peek': does not end in * or a number: peak_bytes, end_bytes, end_blocks, calls, failed, fragmentation, count",
        ),
        (("areas",), [], "line 8: key 'areas': a list is no object"),
        (
            ("areas", "heap", "calls"),
            1.5,
            "line 22: key 'areas.heap.calls': 1.5 is no whole number, 0 or more",
        ),
        (
            ("areas", "heap", "fragmentation"),
            2,
            "line 24: key 'areas.heap.fragmentation': 2 is no number from 0 to 1",
        ),
        (
            ("areas", "heap", "calls"),
            1 << 63,
            f"line 22: key 'areas.heap.calls': {1 << 63} is no whole number, 0 or more",
        ),
        (
            ("areas", "heap", "fragmentation"),
            True,
            "line 24: key 'areas.heap.fragmentation': True is no number from 0 to 1",
        ),
        (
            ("areas", "heap", "fragmentation"),
            "0.5",
            "line 24: key 'areas.heap.fragmentation': '0.5' is no number from 0 to 1",
        ),
        (
            ("areas", "heap", "callers", "kmain", "calls"),
            "7",
            "line 29: key 'areas.heap.callers.kmain.calls': '7' is no whole number, 0 or more",
        ),
        (
            ("areas", "heap", "callers", "kmain", "size"),
            7,
            "line 30: key 'areas.heap.callers.kmain.size': unknown key; there are: peak_bytes, end_bytes, calls",
        ),
        (
            ("findings", LEAK.id, "kind"),
            "leek",
            f"line 41: key 'findings.{LEAK.id}.kind': 'leek' is no kind of finding",
        ),
        (
            ("findings", LEAK.id, "message"),
            None,
            f"line 43: key 'findings.{LEAK.id}.message': None is no string",
        ),
        (
            ("findings", LEAK.id, "count"),
            -1,
            f"line 44: key 'findings.{LEAK.id}.count': -1 is no whole number, 0 or more",
        ),
        (
            ("findings", LEAK.id, "who"),
            "me",
            f"line 45: key 'findings.{LEAK.id}.who': unknown key; there are: kind, area, message, count",
        ),
        (("findings", "x\ny"), {}, "line 46: key 'findings.x\\ny': is no id of a finding"),
        (
            ("extra",),
            1,
            "line 47: key 'extra': unknown key; there are: version, tolerances, areas, findings",
        ),
    ],
)
def test_a_wrong_value_is_named_with_line_and_key(
    tmp_path: Path, keys: tuple[str, ...], value: object, message: str
) -> None:
    assert error(tmp_path / "base.json", changed(*keys, to=value)) == message


def test_a_missing_key_is_named_with_the_line_of_its_object(tmp_path: Path) -> None:
    document = json.loads(TEXT)
    del document["areas"]["heap"]["failed"]
    message = error(tmp_path / "base.json", json.dumps(document, indent=2))
    assert message == "line 18: key 'areas.heap.failed': is missing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: is no JSON: Expecting value, column 1"),
        (TEXT[:40], "line 4: is no JSON: Expecting property name enclosed in double quotes, column 5"),
        ("[]", "is no baseline: a list instead of an object"),
        ("{}", "is no baseline: it has no key 'version'"),
        ('{"version": 1,\n "a": 1,\n "a": 2}', "line 3: key 'a': is there twice"),
        ('\n{"version": 1,\n "ä": 1,\n "ä": 2}', "line 4: key '\\xe4': is there twice"),
        ('{"version": NaN}', "contains a number that is infinite, none, or too long"),
        (f'{{"version": {"1" * 5000}}}', "contains a number that is infinite, none, or too long"),
        ("[" * 100_000, "is nested too deeply"),
        (b"\xff", "is not UTF-8: invalid start byte at byte 0"),
    ],
)
def test_what_is_no_baseline(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert error(tmp_path / "base.json", text) == message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"none\.json: is not there \(make it with --update-baseline\)$"):
        read_baseline(tmp_path / "none.json")
    with pytest.raises(BadFile, match=r": cannot be read: it is a directory$"):
        read_baseline(tmp_path)
