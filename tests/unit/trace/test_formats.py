"""Programs for tables open a trace as it is, and the examples of the documentation run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import dataset

from emulator.trace.file.schema import fixed_columns
from emulator.trace.trace import Trace
from tests.helpers.traces import PROFILE, WHO, TraceBuilder

DOCUMENT = Path(__file__).parents[3] / "docs" / "trace_format.md"
NAMES = [name for name, _ in fixed_columns(PROFILE)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    builder = TraceBuilder()
    for index in range(20):
        builder.enter("kmalloc", 64 * index, stack=WHO[index % 2 :])
        builder.call("alloc_frame", result=0x200 + index, stack=())
        builder.leave(0x200008)
    builder.call("kfree", 0x200008)
    builder.enter("kfree", 1)
    return builder.write(tmp_path / "demo.kmt", chunk=8)


def ours(path: Path) -> dict[str, list[object]]:
    trace = Trace.read(path)
    columns: dict[str, list[object]] = {name: [] for name in NAMES}
    for name in columns:
        if name.startswith("arg"):
            columns[name] = trace.calls.arguments[int(name[3:])].tolist()
        elif name == "function":
            columns[name] = [trace.functions[code].name for code in trace.calls.function]
        else:
            columns[name] = getattr(trace.calls, "number" if name == "call" else name).tolist()
    columns["frames"] = [None] * len(trace)
    for stack in range(1, trace.stack_count + 1):
        row = int(np.argmax(trace.calls.stack == stack))
        columns["frames"][row] = [frame._asdict() for frame in trace.frames(stack)]
    return columns


def test_pandas(path: Path) -> None:
    frame = pd.read_feather(path)
    assert {name: frame[name].tolist() for name in NAMES} == {name: ours(path)[name] for name in NAMES}
    assert [None if each is None else list(each) for each in frame["frames"]] == ours(path)["frames"]
    pd.testing.assert_frame_equal(Trace.read(path).to_pandas(), frame)


def test_polars(path: Path) -> None:
    assert pl.read_ipc(path).to_dict(as_series=False) == ours(path)
    assert pl.scan_ipc(path).collect().to_dict(as_series=False) == ours(path)


def test_duckdb(path: Path) -> None:
    calls = dataset.dataset(path, format="feather")
    found = duckdb.sql("SELECT * FROM calls ORDER BY call")
    assert found is not None
    rows = found.fetchall()
    assert calls.count_rows() == len(rows)
    assert dict(zip([*NAMES, "frames"], map(list, zip(*rows, strict=True)), strict=True)) == ours(path)


def test_pyarrow_finds_header_and_ending(path: Path) -> None:
    with pa.ipc.open_file(str(path)) as reader:
        header = json.loads(reader.schema.metadata[b"kmemu"])
        last, metadata = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)
    assert header["format"] == 2
    assert last.num_rows == 0
    assert json.loads(metadata[b"kmemu"])["calls"] == 42


@pytest.mark.parametrize("program", re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
def test_the_examples_of_the_documentation_run(
    path: Path, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(path.parent)
    exec(compile(program, str(DOCUMENT), "exec"), {})  # noqa: S102 - our own documentation
    assert capsys.readouterr().out.strip()
