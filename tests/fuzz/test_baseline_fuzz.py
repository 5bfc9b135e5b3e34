"""Any file is a baseline or a `BadFile` of one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.errors import BadFile
from emulator.verdict.baseline import Baseline, baseline_of
from emulator.verdict.baseline_file import baseline_text, read_baseline
from emulator.verdict.comparison import compare
from tests.helpers.check_examples import HOSTILE_FINDING, LEAK, report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REPORT = report(LEAK, HOSTILE_FINDING)
TEXT = baseline_text(baseline_of(REPORT, {"heap.*": "5%", "*": 0})).encode()
WORDS = [
    *(
        "version",
        "areas",
        "heap",
        "callers",
        "kmain",
        "calls",
        "findings",
        "tolerances",
        "*",
        "**.calls",
        "5%",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        '"',
        "\n",
        "\\u0000",
        "\\ud800",
        "1e999",
        "NaN",
        "-1",
        "null",
        "true",
        "é",
        "\x1b",
    ),
]
FUZZ = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
Splice = tuple[int, int, bytes]
SPLICES = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.integers(0, 40),
        st.sampled_from(WORDS).map(str.encode) | st.binary(max_size=4),
    ),
    min_size=1,
    max_size=4,
)


def spliced(text: bytes, splices: Sequence[Splice]) -> bytes:
    for position, length, new in splices:
        start = position % (len(text) + 1)
        text = text[:start] + new + text[start + length :]
    return text


def outcome(path: Path, text: bytes) -> Baseline | BadFile:
    path.write_bytes(text)
    try:
        return read_baseline(path)
    except BadFile as error:
        return error


def check_file(path: Path, text: bytes) -> Baseline | BadFile:
    found = outcome(path, text)
    if isinstance(found, Baseline):
        assert outcome(path, baseline_text(found).encode()) == found
        compare(REPORT, found)
        return found
    message = str(found)
    assert message.startswith(f"{path}: ")
    assert message.removeprefix(str(path)).isprintable()
    assert len(message) < len(str(path)) + 500
    assert found.line is None or 1 <= found.line <= text.count(b"\n") + 1
    return found


@FUZZ
@given(SPLICES)
def test_changed_files(tmp_path: Path, splices: list[Splice]) -> None:
    check_file(tmp_path / "base.json", spliced(TEXT, splices))


def test_every_truncation(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    assert isinstance(check_file(path, TEXT), Baseline)
    for size in range(len(TEXT) - 2):
        assert isinstance(check_file(path, TEXT[:size]), BadFile)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def paths(value: Any, keys: tuple[str, ...] = ()) -> list[tuple[str, ...]]:  # noqa: ANN401 - any JSON
    if not isinstance(value, dict):
        return []
    return [path for key, inner in value.items() for path in [(*keys, key), *paths(inner, (*keys, key))]]


PATHS = paths(json.loads(TEXT))


@FUZZ
@given(st.sampled_from(PATHS), JSON, st.booleans())
def test_changed_values(tmp_path: Path, keys: tuple[str, ...], value: object, rename: bool) -> None:
    document = json.loads(TEXT)
    table = document
    for key in keys[:-1]:
        table = table[key]
    if rename:
        table[str(value)] = table.pop(keys[-1])
    else:
        table[keys[-1]] = value
    found = check_file(tmp_path / "base.json", json.dumps(document, indent=1).encode())
    if isinstance(found, BadFile) and not rename and "too long" not in str(found) and found.key:
        first = ".".join(keys)[:20]
        assert found.key.startswith(first) or not first.isprintable() or "\\" in found.key


@FUZZ
@given(JSON)
def test_any_document(tmp_path: Path, document: object) -> None:
    check_file(tmp_path / "base.json", json.dumps(document).encode())
