from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyarrow import parquet

from emulator.guest.symbolizer import Frame
from emulator.report.exporters import columns
from emulator.report.exporters.columns import write_csv, write_parquet
from tests.helpers import trace_examples
from tests.helpers.traces import WHO, TraceBuilder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from emulator.trace.trace import Trace


def ignore(_: int) -> None:
    """Take no notice of progress."""


def as_rows(trace: Trace) -> list[dict[str, str]]:
    stream = io.BytesIO()
    write_csv(trace, stream, ignore)
    return list(csv.DictReader(io.StringIO(stream.getvalue().decode(), newline="")))


def test_csv_has_a_row_for_each_call(tmp_path: Path) -> None:
    rows = as_rows(trace_examples.small().trace(tmp_path / "t"))
    assert [row["call"] for row in rows] == ["1", "2", "3", "4", "5", "6", "7"]
    assert rows[2] == {
        "call": "3",
        "parent": "2",
        "depth": "1",
        "function": "alloc_frames",
        "area": "frames",
        "entered": "4",
        "left": "5",
        "time_ns": "400",
        "left_time_ns": "500",
        "returned": "true",
        "arg0": "2",
        "arg1": "0",
        "arg2": "0",
        "result": "768",
        "out": "",
        "esp": str(0x0010_7FF0 - 16),
        "stack": "2",
        "location": "load+0x20 load.c:7",
    }


def test_csv_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    row = as_rows(trace_examples.small().trace(tmp_path / "t"))[6]
    assert row["returned"] == "false"
    assert [row[name] for name in ("left", "left_time_ns", "result", "out", "location")] == [""] * 5


def test_csv_has_no_result_of_a_function_without_one(tmp_path: Path) -> None:
    rows = as_rows(
        TraceBuilder().call("kfree", 0x200008, result=7).call("kmalloc", 8, result=7).trace(tmp_path / "t")
    )
    assert [(row["function"], row["result"]) for row in rows] == [("kfree", ""), ("kmalloc", "7")]


def test_csv_of_no_calls_has_its_header(tmp_path: Path) -> None:
    stream = io.BytesIO()
    write_csv(TraceBuilder().trace(tmp_path / "t"), stream, ignore)
    assert stream.getvalue().startswith(b'"call","parent","depth","function","area"')
    assert stream.getvalue().count(b"\n") == 1


def test_csv_keeps_hostile_names_in_their_field(tmp_path: Path) -> None:
    (row,) = as_rows(trace_examples.hostile().trace(tmp_path / "t"))
    assert row["location"].isprintable()
    assert row["location"].startswith("a;b\\n\\x1b]0;x\\x07\"',<script>\\u202e\\+0x1 ")


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x"])
def test_csv_has_no_formulas(tmp_path: Path, name: str) -> None:
    stack = (Frame(0x100000, name, 0), *WHO)
    (row,) = as_rows(TraceBuilder().call("kfree", 1, stack=stack).trace(tmp_path / "t"))
    assert row["location"] == f"'{name}+0x0"


def test_parquet_has_the_columns_of_the_trace(tmp_path: Path) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    stream = io.BytesIO()
    write_parquet(trace, stream, ignore)
    read = parquet.read_table(io.BytesIO(stream.getvalue()))
    assert read.column_names == trace.to_arrow().column_names
    assert read.to_pylist() == trace.to_arrow().to_pylist()
    assert json.loads(read.schema.metadata[b"kmemu"])["kernel"]["path"] == "demo.elf"
    assert parquet.ParquetFile(io.BytesIO(stream.getvalue())).metadata.row_group(0).column(0).compression == (
        "ZSTD"
    )


def test_parquet_of_no_calls(tmp_path: Path) -> None:
    stream = io.BytesIO()
    write_parquet(TraceBuilder().trace(tmp_path / "t"), stream, ignore)
    assert parquet.read_table(io.BytesIO(stream.getvalue())).num_rows == 0


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_batches_join(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Trace, BinaryIO, Callable[[int], None]], None],
) -> None:
    trace = trace_examples.small().trace(tmp_path / "t", chunk=3)
    whole, parts = io.BytesIO(), io.BytesIO()
    steps: list[int] = []
    write(trace, whole, ignore)
    monkeypatch.setattr(columns, "_CSV_BATCH", 2)
    monkeypatch.setattr(columns, "_ROW_GROUP", 2)
    write(trace, parts, steps.append)
    assert steps == [2, 2, 2, 1]
    if write is write_csv:
        assert parts.getvalue() == whole.getvalue()
    else:
        tables = [parquet.read_table(io.BytesIO(each.getvalue())) for each in (whole, parts)]
        assert tables[0].to_pylist() == tables[1].to_pylist()


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_stream_that_fails(
    tmp_path: Path, write: Callable[[Trace, BinaryIO, Callable[[int], None]], None]
) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises((OSError, pa.ArrowException)):  # noqa: PTH123 - a device
        write(trace, full, ignore)
