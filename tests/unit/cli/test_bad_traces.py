"""Every command that reads a trace says of a damaged one what is wrong, in one line, with status 3."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from emulator.trace.file.schema import KEY
from tests.helpers import trace_examples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done

COMMANDS = [
    ["trace", "PATH"],
    ["trace", "PATH", "--json"],
    ["trace", "PATH", "--summary"],
    ["report", "PATH", "-o", "OUT"],
    ["report", "PATH", "--json"],
    ["export", "PATH", "--to", "perfetto", "-o", "OUT"],
    ["export", "PATH", "--to", "speedscope", "-o", "OUT"],
    ["export", "PATH", "--to", "folded", "-o", "OUT"],
    ["export", "PATH", "--to", "csv", "-o", "OUT"],
    ["export", "PATH", "--to", "parquet", "-o", "OUT"],
    ["diff", "PATH", "PATH"],
]


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table], text: bytes | None = None) -> None:
    table = pa.ipc.open_file(trace_examples.small().write(path).read_bytes()).read_all()
    metadata = {KEY: table.schema.metadata[KEY] if text is None else text}
    events = max(table.column("left").to_pylist())
    ending = {"how": "exit", "exit_value": 0, "events": events, "calls": len(table), "memory_map": []}
    table = change(table).replace_schema_metadata(metadata)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        batch = table.combine_chunks().to_batches()[0]
        writer.write_batch(batch)
        writer.write_batch(batch.slice(0, 0), custom_metadata={KEY: json.dumps(ending).encode()})


def with_nulls(table: pa.Table) -> pa.Table:
    values = [*table.column("arg1").to_pylist()[:-1], None]
    index = table.schema.get_field_index("arg1")
    return table.set_column(index, pa.field("arg1", pa.uint32()), pa.array(values, pa.uint32()))


def run_all(kmemu: Callable[..., Done], folder: Path) -> list[tuple[Done, list[str]]]:
    names = {"PATH": str(folder / "bad.kmt"), "OUT": str(folder / "out")}
    return [(kmemu(*(names.get(word, word) for word in words)), words) for words in COMMANDS]


def test_nulls(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    rewritten(tmp_path / "bad.kmt", with_nulls)
    for done, words in run_all(kmemu, tmp_path):
        assert (done.status, done.out) == (3, ""), words
        assert done.err == f"kmemu: {tmp_path}/bad.kmt: damaged trace: column arg1 has nulls\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"format": 1}', b'{"format": 1e999}']
)
def test_metadata_that_is_no_header(kmemu: Callable[..., Done], tmp_path: Path, text: bytes) -> None:
    rewritten(tmp_path / "bad.kmt", lambda table: table, text)
    for done, words in run_all(kmemu, tmp_path):
        assert (done.status, done.out) == (3, ""), words
        assert done.err.startswith(f"kmemu: {tmp_path}/bad.kmt: damaged trace: ")
        assert done.err.count("\n") == 1


@pytest.mark.parametrize("name", ["\ud800", "a\x00b", "\x1b]0;x\x07", "\u202e", "x" * 100_000])
def test_names_that_are_odd_are_no_traceback(kmemu: Callable[..., Done], tmp_path: Path, name: str) -> None:
    path = trace_examples.small().write(tmp_path / "bad.kmt")
    text = pa.ipc.open_file(path.read_bytes()).schema.metadata[KEY]
    document = json.loads(text)
    document["kernel"]["path"] = name
    document["profile"]["name"] = name
    rewritten(path, lambda table: table, json.dumps(document).encode())
    for done, words in run_all(kmemu, tmp_path):
        assert done.status in (0, 3), words
        assert "\x1b" not in done.out + done.err
