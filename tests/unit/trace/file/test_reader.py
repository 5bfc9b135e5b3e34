"""Files that are no trace, or not a right one: each is one line that says what is wrong."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import feather

from emulator.errors import BadFile
from emulator.trace.file.schema import FRAMES_TYPE, KEY, fixed_columns
from emulator.trace.trace import Trace
from tests.helpers.traces import TraceBuilder, header

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.kmt"


@pytest.fixture
def table(path: Path) -> pa.Table:
    builder = TraceBuilder()
    builder.enter("kmalloc", 64)
    builder.call("alloc_frame", result=0x200, stack=())
    builder.leave(0x200008)
    builder.call("kfree", 0x200008)
    return pa.ipc.open_file(builder.write(path).read_bytes()).read_all()


def problem(path: Path) -> str:
    with pytest.raises(BadFile) as caught:
        Trace.read(path)
    assert caught.value.path == str(path)
    assert str(caught.value) == f"{path}: {caught.value.problem}"
    return caught.value.problem


def written(path: Path, table: pa.Table, text: bytes | None = None, **ending: Any) -> Path:  # noqa: ANN401 - JSON
    text = header().to_json() if text is None else text
    document = {"how": "exit", "exit_value": 0, "events": 6, "calls": 3, "memory_map": []} | ending
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, table.schema.with_metadata({KEY: text})) as writer,
    ):
        table = table.replace_schema_metadata({KEY: text})
        batch = table.combine_chunks().to_batches()[0]
        writer.write_batch(batch)
        writer.write_batch(batch.slice(0, 0), custom_metadata={KEY: json.dumps(document).encode()})
    return path


def changed(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    index = table.schema.get_field_index(name)
    field = table.schema.field(index)
    return table.set_column(index, field, pa.array(values, field.type))


def test_the_way_in_which_these_tests_write_is_right(path: Path, table: pa.Table) -> None:
    trace = Trace.read(written(path, table))
    assert [call.function for call in trace] == ["kmalloc", "alloc_frame", "kfree"]
    assert trace.complete


def test_no_file(path: Path) -> None:
    assert problem(path) == "No such file or directory"


def test_a_folder(tmp_path: Path) -> None:
    assert problem(tmp_path) == "it is not a regular file"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ARROW1",
        b"\x7fELF" + bytes(1000),
        b"ARROW1\0\0" + bytes(1000),
        b"ARROW1\0\0" * 2,
        b"ARROW1\0\0\xff\xff\xff\xff\0\1\0\0ab",
    ],
)
def test_foreign_files(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert problem(path) == "no kmemu trace"


def test_a_feather_file_of_another_program(path: Path) -> None:
    feather.write_feather(pa.table({"a": [1, 2]}), str(path), compression="uncompressed")
    assert problem(path) == "no kmemu trace"
    feather.write_feather(pa.table({"a": ["x"] * 9}), str(path))
    assert problem(path) == "no kmemu trace"


def test_a_newer_format(path: Path, table: pa.Table) -> None:
    document = json.loads(header().to_json()) | {"format": 3}
    written(path, table, json.dumps(document).encode())
    assert problem(path) == "written by a newer kmemu (format 3, this one reads up to 2)"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 0}, "format 0"),
        ({"format": "1"}, "format is no number"),
        ({"format": True}, "format is no number"),
        ({"kernel": []}, "kernel is no object"),
        ({"kernel": {"path": "k", "sha256": ""}}, "no segments"),
        ({"ram": {"start": 0, "end": 1 << 33}}, "end is 8.590e+09"),
        ({"ram": {"start": -(10**400), "end": 0}}, "start is too large"),
        ({"command_line": [1]}, "command_line is no text"),
        ({"layers": {"heap": 1}}, "heap is no text"),
        ({"layers": {"\x1b[2J\n": 1}}, "?[2J is no text"),
        ({"profile": {}}, "not a profile: it is no object with the fields name, areas, functions"),
    ],
)
def test_wrong_headers(path: Path, table: pa.Table, change: dict[str, Any], text: str) -> None:
    document = json.loads(header().to_json()) | change
    written(path, table, json.dumps(document).encode())
    assert problem(path) == f"damaged trace: {text}"


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        ({"how": 1}, "how is no text"),
        ({"memory_map": [{"start": 0, "end": 1, "kind": "x"}]}, "no name"),
        ({"calls": 4}, "3 calls up to event 6, but the ending says 4 and 6"),
        ({"events": 5}, "3 calls up to event 6, but the ending says 3 and 5"),
        ({"events": 0xFFFF_FFFF}, "event 4294967295 in 3 calls"),
    ],
)
def test_wrong_endings(path: Path, table: pa.Table, ending: dict[str, Any], text: str) -> None:
    written(path, table, **ending)
    assert problem(path) == f"damaged trace: {text}"


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("call", [1, 3, 3], "call 2 is not numbered so"),
        ("parent", [0, 2, 0], "call 2 is said to be made in a later one"),
        ("entered", [1, 1, 5], "call 2 was not entered after the one before it"),
        ("entered", [0, 2, 5], "call 1 was not entered after the one before it"),
        ("left", [4, 1, 6], "call 2 returned before it was entered"),
        ("left", [4, 0, 6], "call 2 returned before it was entered"),
        ("left", [4, 3, 0xFFFF_FFFF], "3 calls up to event 4294967295, but the ending says 3 and 6"),
        ("stack", [1, 2, 1], "call stack 2 is used, and 1 are defined"),
        ("stack", [1, 0xFFFF_FFFF, 1], "call stack 4294967295 is used, and 1 are defined"),
        ("stack", [0, 1, 1], "a call stack is not defined once"),
        ("stack", [0, 0, 0], "a call stack is not defined once"),
        ("frames", [None, None, None], "call stack 1 is used, and 0 are defined"),
    ],
)
def test_calls_that_cannot_be(path: Path, table: pa.Table, name: str, values: list[Any], text: str) -> None:
    written(path, changed(table, name, values))
    assert problem(path) == f"damaged trace: {text}"


def test_columns_that_are_not_there(path: Path, table: pa.Table) -> None:
    written(path, table.drop_columns(["entered"]))
    assert problem(path) == "damaged trace: no column entered"
    written(path, table.drop_columns(["arg2"]))
    assert problem(path) == "damaged trace: no column arg2"


def test_columns_of_another_type(path: Path, table: pa.Table) -> None:
    index = table.schema.get_field_index("entered")
    written(path, table.set_column(index, "entered", pa.array([1, 2, 5], pa.int64())))
    assert problem(path) == "damaged trace: column entered is not of type uint32"


def test_columns_too_many(path: Path, table: pa.Table) -> None:
    written(path, table.append_column("more", pa.array([1, 2, 5])))
    assert problem(path) == "damaged trace: more columns than those of a trace, or in another order"


COLUMNS = [name for name, _ in fixed_columns(header().profile)]


@pytest.mark.parametrize("name", COLUMNS)
def test_nulls(path: Path, table: pa.Table, name: str) -> None:
    index = table.schema.get_field_index(name)
    values = table.column(name).to_pylist()
    kind = table.schema.field(name).type
    column = pa.array([values[0], None, values[2]], getattr(kind, "value_type", kind))
    if name == "function":
        column = pa.DictionaryArray.from_arrays(
            pa.array([0, None, 3], pa.int8()), table.column(name).combine_chunks().dictionary
        )
    written(path, table.set_column(index, pa.field(name, kind), column))
    assert problem(path) == f"damaged trace: column {name} has nulls"


@pytest.mark.parametrize("name", [*COLUMNS, "frames"])
@pytest.mark.parametrize(
    "kind",
    [
        pa.int32(),
        pa.utf8(),
        pa.float64(),
        pa.list_(pa.uint32()),
        pa.uuid(),
        pa.dictionary(pa.int16(), pa.utf8()),
    ],
)
def test_every_column_has_its_type(path: Path, table: pa.Table, name: str, kind: pa.DataType) -> None:
    index = table.schema.get_field_index(name)
    written(path, table.set_column(index, pa.field(name, kind), pa.nulls(3, kind)))
    assert problem(path).startswith(
        (f"damaged trace: column {name} is not of type ", "damaged trace: not laid out as kmemu does")
    )


def test_a_number_of_rows_that_the_file_cannot_hold(path: Path, table: pa.Table) -> None:
    data = written(path, table).read_bytes()
    rows = (3).to_bytes(8, "little")
    for at in [match.start() for match in re.finditer(re.escape(rows), data)]:
        path.write_bytes(data[:at] + (1 << 62).to_bytes(8, "little") + data[at + 8 :])
        with suppress(BadFile):  # some of these are values, not numbers of rows
            list(Trace.read(path))


@pytest.mark.parametrize("code", [-1, 16, 127])
def test_functions_that_are_not_in_the_profile(path: Path, table: pa.Table, code: int) -> None:
    column = table.column("function").combine_chunks()
    codes = pa.array([0, code, 3], pa.int8())
    wrong = pa.DictionaryArray.from_arrays(codes, column.dictionary, safe=False)
    index = table.schema.get_field_index("function")
    batch = table.combine_chunks().to_batches()[0]
    columns = [wrong if each == index else batch.column(each) for each in range(batch.num_columns)]
    written(path, pa.Table.from_batches([pa.RecordBatch.from_arrays(columns, schema=batch.schema)]))
    assert problem(path) == "damaged trace: call 2 is of a function that the profile does not have"


def test_names_of_functions_that_are_not_in_the_profile(path: Path, table: pa.Table) -> None:
    index = table.schema.get_field_index("function")
    other = pa.array(["a", "b", "a"]).dictionary_encode().cast(table.schema.field(index).type)
    written(path, table.set_column(index, table.schema.field(index), other))
    assert problem(path) == "damaged trace: the names of functions are not those of the profile"


def test_a_compressed_file(path: Path, table: pa.Table) -> None:
    feather.write_feather(
        table.replace_schema_metadata({KEY: header().to_json()}), str(path), compression="zstd"
    )
    assert problem(path) == "damaged trace: not laid out as kmemu does"


def test_a_whole_file_without_an_ending(path: Path, table: pa.Table) -> None:
    feather.write_feather(
        table.replace_schema_metadata({KEY: header().to_json()}), str(path), compression="uncompressed"
    )
    assert problem(path) == "damaged trace: no ending"


def test_calls_after_the_ending(path: Path, table: pa.Table) -> None:
    text = {KEY: header().to_json()}
    batch = table.replace_schema_metadata(text).combine_chunks().to_batches()[0]
    ending = json.dumps({"how": "exit", "exit_value": 0, "events": 6, "calls": 3, "memory_map": []}).encode()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch, custom_metadata={KEY: ending})
        writer.write_batch(batch.slice(0, 0))
    assert problem(path) == "damaged trace: a batch after the ending"


def test_a_process_killed_while_it_completed_a_call(path: Path, table: pa.Table) -> None:
    """All is there but the bit that says so."""
    trace = Trace.read(written(path, changed(table, "returned", [True, False, True])))
    assert trace[2].result == 0x200
    assert trace.blocks("frames").address.tolist() == [0x200000]


FRAME = {"address": 1, "function": "f", "offset": 0, "file": "", "line": 0, "inlined": False}


def test_a_call_stack_that_is_defined_twice(path: Path, table: pa.Table) -> None:
    written(path, changed(table, "frames", [[FRAME], None, [FRAME]]))
    assert problem(path) == "damaged trace: a call stack is not defined once"


@pytest.mark.parametrize("frame", [None, FRAME | {"line": None}])
def test_frames_with_nulls(path: Path, table: pa.Table, frame: dict[str, Any] | None) -> None:
    written(path, changed(table, "frames", [[frame], None, None]))
    assert problem(path) == "damaged trace: a frame with nulls"


def test_names_that_are_no_text(path: Path, table: pa.Table) -> None:
    kind = FRAMES_TYPE.value_type
    parts = [pa.array([FRAME[field.name]], field.type) for field in kind]
    parts[1] = pa.array([b"\xff"], pa.binary()).view(pa.utf8())
    frames = pa.ListArray.from_arrays(
        pa.array([0, 1, 1, 1], pa.int32()),
        pa.StructArray.from_arrays(parts, fields=list(kind)),
        type=FRAMES_TYPE,
        mask=pa.array([False, True, True]),
    )
    index = table.schema.get_field_index("frames")
    written(path, table.set_column(index, table.schema.field(index), frames))
    assert problem(path).startswith("damaged trace: ")
