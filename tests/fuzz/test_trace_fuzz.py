"""A damaged trace is a `BadFile`, or a right trace that is cut off; nothing else comes out, and it ends soon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.errors import BadFile
from emulator.trace.file.messages import read_message
from emulator.trace.file.schema import KEY, trace_schema
from emulator.trace.trace import Trace
from tests.helpers.traces import PROFILE, TraceBuilder, header

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.trace.table import Call

CHUNK = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def calls() -> TraceBuilder:
    builder = TraceBuilder()
    for index in range(13):
        builder.enter("kmalloc", 64 * index)
        builder.call("alloc_frames", 2, result=0x200 + 2 * index, stack=())
        builder.leave(0x200008 + 0x2000 * index)
        builder.call("kfree", 0x200008 + 0x1000 * index)
    return builder


@pytest.fixture(scope="module")
def good(folder: Path) -> bytes:
    return calls().write(folder / "good.kmt", chunk=CHUNK).read_bytes()


@pytest.fixture(scope="module")
def all_calls(folder: Path, good: bytes) -> list[Call]:
    assert good
    return list(Trace.read(folder / "good.kmt"))


def use(path: Path, data: bytes) -> Trace | None:
    """Do all that an analysis does."""
    path.write_bytes(data)
    problem, trace = None, None
    try:
        trace = Trace.read(path)
        use_all(trace)
    except BadFile as error:
        problem = str(error)
    if problem is None:
        return trace
    assert problem.startswith(str(path))
    assert problem.isprintable()
    return None


def use_all(trace: Trace) -> None:
    assert len(list(trace)) == len(trace)
    for area in trace.areas:
        trace.by_stack(area)
        trace.failed(area)
        trace.stray_frees(area)
    for stack in range(trace.stack_count + 1):
        assert all(str(frame) for frame in trace.frames(stack))


def test_every_truncation_is_a_cut_recording(folder: Path, good: bytes, all_calls: list[Call]) -> None:
    found, first_batch = [], 0
    for _ in range(2):  # the schema and the names of the functions
        message = read_message(lambda offset, size: good[offset : offset + size], max(first_batch, 8))
        assert message is not None
        first_batch = message.end
    for size in [*range(0, len(good), 61), len(good) - 1]:
        trace = use(folder / "short.kmt", good[:size])
        assert trace is not None or size < first_batch
        if trace is not None:
            assert not trace.complete
            assert list(trace) == all_calls[: len(trace)]
            found.append(len(trace))
    assert found == sorted(found)
    assert set(found) == {*range(0, len(all_calls), CHUNK), len(all_calls)}


def test_at_every_border_between_batches(folder: Path, good: bytes, all_calls: list[Call]) -> None:
    position, found = 8, []
    while message := read_message(lambda offset, size: good[offset : offset + size], position):
        position = message.end
        trace = use(folder / "border.kmt", good[:position])
        if trace is not None:
            found.append(len(trace))
            assert list(trace) == all_calls[: len(trace)]
    assert found == [0, 0, 0, 8, 16, 24, 32, 39, 39]


some_examples = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@some_examples
@given(st.data())
def test_changed_bytes(folder: Path, good: bytes, data: st.DataObject) -> None:
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    use(folder / "changed.kmt", bytes(changed))


@some_examples
@given(st.data())
def test_changed_words_of_the_messages(folder: Path, good: bytes, data: st.DataObject) -> None:
    """Sizes and offsets in the heads of messages are where pyarrow could be led astray."""
    heads, position = [], 8
    while message := read_message(lambda offset, size: good[offset : offset + size], position):
        heads.append((position, message.body))
        position = message.end
    start, end = data.draw(st.sampled_from(heads))
    target = data.draw(st.integers(start, end - 8))
    word = data.draw(
        st.sampled_from([0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 40, (1 << 63) - 1, 1 << 63])
    )
    width = data.draw(st.sampled_from([1, 2, 4, 8]))
    value = (word & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    use(folder / "heads.kmt", good[:target] + value + good[target + width :])


@some_examples
@given(st.binary(max_size=300))
def test_anything_after_the_magic(folder: Path, data: bytes) -> None:
    assert use(folder / "any.kmt", b"ARROW1\0\0" + data) is None


def documents() -> st.SearchStrategy[object]:
    """Return headers with a part changed to something else."""
    good = json.loads(header().to_json())
    paths = [(name,) for name in good] + [("kernel", "segments"), ("kernel", "path"), ("ram", "start")]
    paths += [("profile", "functions"), ("profile", "areas"), ("profile", "name"), ("layers", "heap")]
    values: st.SearchStrategy[object] = st.sampled_from(
        [None, True, 0, -1, 1 << 70, 1e300, "", "\x1b[2J\n", [], {}, [0], [[]] * 9, {"a": {}}, "x" * 9999]
    )

    def change(where: tuple[tuple[str, ...], object]) -> object:
        document = json.loads(header().to_json())
        part = document
        for name in where[0][:-1]:
            part = part[name]
        part[where[0][-1]] = where[1]
        return document

    return st.tuples(st.sampled_from(paths), values).map(change)


@some_examples
@given(documents())
def test_changed_headers(folder: Path, good: bytes, document: object) -> None:
    assert good
    rewrite(folder / "header.kmt", pa.ipc.open_file(good).read_all(), json.dumps(document).encode())
    use(folder / "header.kmt", (folder / "header.kmt").read_bytes())


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[" * 100_000, b"\xff", b"9" * 5000, b"null", b'{"format":NaN}']
)
def test_headers_that_are_no_documents(folder: Path, good: bytes, text: bytes) -> None:
    rewrite(folder / "text.kmt", pa.ipc.open_file(good).read_all(), text)
    assert use(folder / "text.kmt", (folder / "text.kmt").read_bytes()) is None


def rewrite(path: Path, table: pa.Table, text: bytes, *, compression: str | None = None) -> None:
    schema = table.schema.with_metadata({KEY: text})
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
        writer.write_table(table)


def test_a_compressed_file_is_refused_before_it_is_unpacked(folder: Path) -> None:
    """A column of zeros shrinks to nothing; unpacking it again could take any amount of memory."""
    fields = {name: np.zeros(10_000, np.uint8) for name in ("a", "b")}
    rewrite(folder / "packed.kmt", pa.table(fields), header().to_json(), compression="zstd")
    with pytest.raises(BadFile):
        Trace.read(folder / "packed.kmt")


@some_examples
@given(st.data())
def test_hostile_calls(folder: Path, good: bytes, data: st.DataObject) -> None:
    """Any values in any columns: checked, or harmless."""
    table = pa.ipc.open_file(good).read_all().combine_chunks()
    numbers = st.sampled_from([0, 1, 2, 3, 38, 39, 40, 78, 79, 0x7FFF_FFFF, 0xFFFF_FFFF])
    for _ in range(data.draw(st.integers(1, 5))):
        name = data.draw(st.sampled_from([n for n in table.schema.names if n not in {"frames", "function"}]))
        index = table.schema.get_field_index(name)
        values = table.column(name).to_numpy().copy()
        values[data.draw(st.integers(0, len(values) - 1))] = (
            data.draw(numbers) & np.iinfo(np.uint8).max if name == "depth" else data.draw(numbers)
        )
        table = table.set_column(
            index, table.schema.field(index), pa.array(values, table.schema.field(index).type)
        )
    assert table.schema.equals(trace_schema(PROFILE))
    rewrite(folder / "hostile.kmt", table, header().to_json())
    written = (folder / "hostile.kmt").read_bytes()
    use(folder / "hostile.kmt", written[: len(written) - 6])
