"""Any file is a profile or a `BadFile` of one line; any document is a profile or a `ValueError` of one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.errors import BadFile
from emulator.profile import known
from emulator.profile.documents import from_document, to_document
from emulator.profile.functions import Role
from emulator.profile.known import KNOWN_PROFILES, known_profile
from emulator.profile.model import Profile
from emulator.profile.reader import read_profile

if TYPE_CHECKING:
    from collections.abc import Sequence

DIRECTORY = Path(known.__file__).parent / "kernels"
TEXTS = [(DIRECTORY / f"{name}.toml").read_bytes() for name in KNOWN_PROFILES]
WORDS = [
    *("alloc", "free", "out", "ptr", "frame", "size", "pages", "failure", "name", "heap", "void"),
    *("(", ")", "->", ",", "[", "]", "[[", "{", "}", "=", ".", '"', "'", '"""', "\n", "#", "\\u0007", "\\n"),
    *("true", "1e9", "nan", "-1", "0xffffffff", "1979-05-27", "é", "\x1b", "\r", "\ufeff", "\u2028"),
]
FUZZ = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
Splice = tuple[int, int, bytes]


def spliced(text: bytes, splices: Sequence[Splice]) -> bytes:
    for position, length, new in splices:
        start = position % (len(text) + 1)
        text = text[:start] + new + text[start + length :]
    return text


def outcome(path: Path, text: bytes) -> Profile | BadFile:
    path.write_bytes(text)
    try:
        return read_profile(path)
    except BadFile as error:
        return error


def check_file(path: Path, text: bytes) -> None:
    found = outcome(path, text)
    if isinstance(found, Profile):
        of_calls = replace(found, allocator=(), suppressions=())
        assert from_document(json.loads(json.dumps(to_document(found)))) == of_calls
        return
    message = str(found)
    assert message.startswith(f"{path}: ")
    assert message.removeprefix(str(path)).isprintable()
    assert len(message) < len(str(path)) + 400
    assert found.line is None or 1 <= found.line <= text.count(b"\n") + 1


SPLICES = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.integers(0, 40),
        st.sampled_from(WORDS).map(str.encode) | st.binary(max_size=4),
    ),
    min_size=1,
    max_size=5,
)


@FUZZ
@given(st.sampled_from(TEXTS), SPLICES)
def test_changed_files(tmp_path: Path, text: bytes, splices: list[Splice]) -> None:
    check_file(tmp_path / "x.toml", spliced(text, splices))


@FUZZ
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=30))
def test_any_signature(tmp_path: Path, words: list[str]) -> None:
    text = "[heap]\nalloc = " + json.dumps(" ".join(words))
    check_file(tmp_path / "x.toml", text.encode("utf-8", "surrogatepass"))


def test_every_truncation(tmp_path: Path) -> None:
    for text in TEXTS:
        assert isinstance(outcome(tmp_path / "x.toml", text), Profile)
        for size in range(len(text)):
            check_file(tmp_path / "x.toml", text[:size])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = [
    "name",
    "area",
    "role",
    "parameters",
    "result",
    "failure",
    "functions",
    "areas",
    "facts",
    "block",
    "unknown",
]


def check_document(document: object) -> None:
    try:
        profile = from_document(document)
    except ValueError as error:
        message = str(error)
    else:
        assert from_document(to_document(profile)) == profile
        return
    assert message.isprintable()
    assert message.startswith("not a profile: ")
    assert len(message) < 400


@FUZZ
@given(JSON | st.fixed_dictionaries({"name": JSON, "areas": JSON, "functions": JSON}))
def test_any_document(document: object) -> None:
    check_document(document)


@FUZZ
@given(st.sampled_from(KNOWN_PROFILES), st.integers(0, 40), st.sampled_from(FIELDS), JSON)
def test_changed_documents(name: str, index: int, field: str, value: object) -> None:
    document = json.loads(json.dumps(to_document(known_profile(name))))
    functions = document["functions"]
    table = functions[index] if index < len(functions) else document
    table[field] = value
    check_document(document)


@FUZZ
@given(st.sampled_from(list(Role)), st.lists(st.sampled_from(WORDS), max_size=7))
def test_any_function_in_any_role(tmp_path: Path, role: Role, parameters: list[str]) -> None:
    signature = f"f({', '.join(parameters)})"
    check_file(tmp_path / "x.toml", f"[heap]\n{role.value} = {json.dumps(signature)}".encode())
