"""Write the columns of a trace as tables: CSV and Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from emulator.profile.functions import Result
from emulator.report.text.frames import frame_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from emulator.trace.trace import Trace

_CSV_BATCH = 1 << 16  # rows
_ROW_GROUP = 1 << 19  # rows; what Parquet compresses as one
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet would run what begins so


def write_csv(trace: Trace, stream: BinaryIO, advance: Callable[[int], None]) -> None:
    """Write a row for each call, with its call site instead of its backtrace.

    What is not known, because the call did not return, is an empty field.

    Args:
        trace: The trace.
        stream: Where to.
        advance: Called with the number of calls that were written since the last time.

    Raises:
        OSError: It cannot be written.
    """
    table = trace.to_arrow()
    locations, functions = _locations(trace), _functions(trace)
    writer: csv.CSVWriter | None = None
    for batch in _parts(table, _CSV_BATCH):
        plain = _plain(batch, locations, functions)
        if writer is None:
            writer = csv.CSVWriter(stream, plain.schema)
        writer.write_table(plain)
        advance(len(batch))
    if writer is not None:
        writer.close()


def write_parquet(trace: Trace, stream: BinaryIO, advance: Callable[[int], None]) -> None:
    """Write the columns of the trace as they are, with its header as metadata, compressed.

    Args and errors are those of `write_csv`.
    """
    table = trace.to_arrow()
    with parquet.ParquetWriter(stream, table.schema, compression="zstd") as writer:
        for part in _parts(table, _ROW_GROUP):
            writer.write_table(part, row_group_size=_ROW_GROUP)
            advance(len(part))


def _parts(table: pa.Table, rows: int) -> list[pa.Table]:
    """Return the table in parts, one without rows if it has none."""
    return [table.slice(start, rows) for start in range(0, max(len(table), 1), rows)]


def _locations(trace: Trace) -> pa.Array:
    """Return the call site of each backtrace by its number."""
    texts: list[str | None] = [None]
    for stack in range(1, trace.stack_count + 1):
        frames = trace.frames(stack)
        text = frame_text(frames[0]) if frames else None
        texts.append(f"'{text}" if text and text.startswith(_FORMULA) else text)
    return pa.array(texts, pa.string())


def _functions(trace: Trace) -> dict[str, pa.Array]:
    """Return the facts about each function, by its position in the profile."""
    functions = trace.functions
    return {
        "area": pa.array([each.area for each in functions], pa.string()),
        "has result": pa.array([each.result is not Result.NONE for each in functions], pa.bool_()),
        "has out": pa.array([each.out is not None for each in functions], pa.bool_()),
    }


def _plain(part: pa.Table, locations: pa.Array, functions: Mapping[str, pa.Array]) -> pa.Table:
    """Return columns that CSV can hold."""
    columns = {}
    returned = part["returned"]
    for name in part.column_names:
        column = part[name]
        if name == "function":
            columns["function"] = column.cast(pa.string())
            columns["area"] = functions["area"].take(_codes(column))
        elif name == "frames":
            columns["location"] = locations.take(part["stack"].combine_chunks())
        elif name in ("left", "left_time_ns"):
            columns[name] = pc.if_else(returned, column, pa.scalar(None, column.type))
        elif name in ("result", "out"):
            known = pc.and_(returned, functions[f"has {name}"].take(_codes(part["function"])))
            columns[name] = pc.if_else(known, column, pa.scalar(None, column.type))
        else:
            columns[name] = column
    return pa.table(columns)


def _codes(column: pa.ChunkedArray) -> pa.Array:
    return pa.chunked_array([chunk.indices for chunk in column.chunks], pa.int8()).combine_chunks()
