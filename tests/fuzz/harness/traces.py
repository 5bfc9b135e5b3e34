"""Damaged traces: bytes of the file, heads of its messages, and columns that Arrow reads and no recorder writes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from emulator.trace.file.messages import read_message
from emulator.trace.file.schema import KEY
from tests.fuzz.harness.commands import import_all, run_commands
from tests.fuzz.harness.target import Case, Target
from tests.helpers.traces import TraceBuilder, random_trace

if TYPE_CHECKING:
    from random import Random

    from tests.fuzz.harness.limits import Meter

_RECORDED = ("overflow", "btron_demo")
_FORMATS = ("perfetto", "speedscope", "folded", "csv", "parquet")
_OTHER = "other.kmt"
_COMMANDS = (
    ("trace", "{}"),
    ("trace", "{}", "--json"),
    ("trace", "{}", "--summary"),
    ("trace", "{}", "--summary", "--json"),
    ("trace", "{}", "--function", "k*", "--size", "16..1K", "--address", "0x100000..", "--caller", "*main*"),
    ("report", "{}", "-o", "page.html"),
    ("report", "{}", "--json"),
    *(("export", "{}", "--to", form, "-o", f"out.{form}") for form in _FORMATS),
    ("diff", "{}", _OTHER),
    ("diff", _OTHER, "{}", "--json", "--by", "allocated"),
)
_COMMANDS_A_CASE = 3
_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
_KINDS = (
    pa.int8(),
    pa.uint8(),
    pa.int32(),
    pa.uint64(),
    pa.int64(),
    pa.float64(),
    pa.string(),
    pa.bool_(),
    pa.null(),
)
_JSON: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1 << 31,
    1 << 70,
    1e300,
    "",
    "\x1b[2J\n",
    "\ud800",
    "x" * 9999,
    [],
    {},
    [0],
    [[]] * 9,
    {"a": {}},
)


class _Seed(NamedTuple):
    """An undamaged trace."""

    name: str
    data: bytes


class Traces(Target):
    """Each case damages one trace and gives it to some commands."""

    name = "traces"
    suffix = ".kmt"
    count = 20_000

    def __init__(self) -> None:
        self._seeds: tuple[_Seed, ...] = ()

    def prepare(self) -> None:
        import_all()
        with tempfile.TemporaryDirectory(prefix="kmemu-fuzz-") as name:
            folder = Path(name)
            for kernel in _RECORDED:
                command = [
                    sys.executable,
                    "-m",
                    "emulator.cli.main",
                    "trace",
                    f"firmware:{kernel}",
                    "-o",
                    f"{kernel}.kmt",
                ]
                subprocess.run(command, cwd=folder, capture_output=True, check=False)
            _nested().write(folder / "nested.kmt", chunk=8)
            _nested().write(folder / "cut.kmt", chunk=8, complete=False)
            random_trace(folder / "random.kmt", 300, seed=1, stacks=20)
            self._seeds = tuple(_Seed(path.stem, path.read_bytes()) for path in sorted(folder.glob("*.kmt")))

    def make(self, random: Random) -> Case:
        seed, other = random.choice(self._seeds), random.choice(self._seeds)
        how, damage = random.choice(_DAMAGE)
        data = damage(random, seed.data)
        commands = tuple(random.sample(_COMMANDS, _COMMANDS_A_CASE))
        beside = {_OTHER: other.data} if any(_OTHER in words for words in commands) else {}
        return Case(data, commands, 0.0, 0, f"{seed.name} {how}", beside)

    def run(self, case: Case, meter: Meter, _number: int) -> str:
        return run_commands(case, self.suffix, meter)


def _nested() -> TraceBuilder:
    builder = TraceBuilder()
    for index in range(13):
        builder.enter("kmalloc", 64 * index)
        builder.call("alloc_frames", 2, result=0x200 + 2 * index, stack=())
        builder.leave(0x200008 + 0x2000 * index)
        builder.call("kfree", 0x200008 + 0x1000 * index)
    builder.enter("get_blk", 0x9000, 3, 16)
    return builder.stay().call("krealloc", 0x200008, 99, result=0x300008)


# -- bytes ---------------------------------------------------------------------------------------------


def _bytes(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 6)):
        chosen = random.randrange(len(changed))
        new = random.randbytes(random.choice((1, 1, 2, 4, 8)))
        changed[chosen : chosen + len(new)] = new
    return bytes(changed)


def _cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data))]


def _heads(random: Random, data: bytes) -> bytes:
    """Change words in front of the messages and in the file's end: sizes, offsets, counts, types."""
    spans, position = [(len(data) - min(len(data), 2000), len(data))], 8
    with suppress(ValueError):  # the file is cut off
        while message := read_message(lambda offset, size: data[offset : offset + size], position):
            spans.append((position, message.body))
            position = message.end
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        start, end = random.choice(spans)
        width = random.choice((1, 2, 4, 8))
        chosen = random.randrange(start, max(end - width, start + 1))
        changed[chosen : chosen + width] = (random.choice(_NUMBERS) & (1 << 8 * width) - 1).to_bytes(
            width, "little"
        )
    return bytes(changed)


def _moved(random: Random, data: bytes) -> bytes:
    start, end = sorted((random.randrange(len(data)), random.randrange(len(data))))
    chosen = random.randrange(len(data))
    return random.choice((data[:start] + data[end:], data[:chosen] + data[start:end] + data[chosen:]))


# -- columns ---------------------------------------------------------------------------------------------


class _File(NamedTuple):
    """What is in a trace."""

    schema: pa.Schema
    batches: list[pa.RecordBatch]
    endings: list[dict[bytes, bytes] | None]


def _opened(data: bytes) -> _File:
    batches: list[pa.RecordBatch] = []
    endings: list[dict[bytes, bytes] | None] = []
    reader = pa.ipc.open_stream(pa.py_buffer(data[8:]))
    while True:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
        except (StopIteration, pa.ArrowException):
            return _File(reader.schema, batches, endings)
        batches.append(batch)
        endings.append(metadata)


def _written(random: Random, file: _File) -> bytes:
    sink = io.BytesIO()
    compression = random.choice((*[None] * 12, "zstd", "lz4"))
    options = pa.ipc.IpcWriteOptions(compression=compression, allow_64bit=True)
    # Dictionaries must not differ: then the file is cut off.
    with suppress(pa.ArrowException), pa.ipc.new_file(sink, file.schema, options=options) as writer:
        for batch, ending in zip(file.batches, file.endings, strict=True):
            writer.write_batch(batch, custom_metadata=ending)
    return sink.getvalue()


def _columns(random: Random, data: bytes) -> bytes:
    """Change values of a few columns."""
    file = _opened(data)
    for _ in range(random.randint(1, 4)):
        chosen = _with_rows(random, file)
        if chosen is None:
            break
        batch = file.batches[chosen]
        index = random.randrange(batch.num_columns)
        column = _changed(random, batch.column(index))
        if column is not None:
            file.batches[chosen] = pa.RecordBatch.from_arrays(
                [*batch.columns[:index], column, *batch.columns[index + 1 :]], schema=file.schema
            )
    return _written(random, file)


def _with_rows(random: Random, file: _File) -> int | None:
    candidates = [chosen for chosen, batch in enumerate(file.batches) if batch.num_rows]
    return random.choice(candidates) if candidates else None


def _changed(random: Random, column: pa.Array) -> pa.Array | None:
    """Return a column with other values in a few rows, of the same type."""
    if pa.types.is_list(column.type):
        return _changed_frames(random, column)
    values = column.to_pylist()
    for _ in range(random.choice((1, 1, 2, 8))):
        row = random.randrange(len(values))
        values[row] = _another(random, column, values)
    try:
        return pa.array(values, column.type)
    except (pa.ArrowException, OverflowError, TypeError):
        return None


def _another(random: Random, column: pa.Array, values: list[Any]) -> Any:  # noqa: ANN401 - any value of the column
    kind = column.type
    if random.randrange(6) == 0:
        return None
    if random.randrange(3) == 0:
        return random.choice(values)
    if pa.types.is_boolean(kind):
        return bool(random.randrange(2))
    if pa.types.is_integer(kind):
        near = random.choice(values) or 0
        number = random.choice((*_NUMBERS, near + 1, near - 1, len(values), 2 * len(values)))
        return number & (1 << kind.bit_width) - 1
    return random.choice(("kfree", "nobody", "", "\x1b[2J"))


def _changed_frames(random: Random, column: pa.Array) -> pa.Array:
    """Return call stacks that are missing, too many, long, or of strange names and numbers."""
    frames = column.to_pylist()
    one = {"address": 0x100000, "function": "f", "offset": 0, "file": "a.c", "line": 1}
    row = random.randrange(len(frames))
    strange = random.choice(
        (
            None,
            [],
            [one],
            [one] * 3000,
            [one | {"function": "x" * 100_000}],
            [one | {"function": "\x1b]0;t\x07\n</script>", "file": "\u202e\0"}],
            [one, None],
            [one | {random.choice(list(one)): None}],
            [one | {"line": 0xFFFFFFFF, "offset": 0xFFFFFFFF, "address": 0xFFFFFFFF}],
        )
    )
    frames[row] = strange
    return pa.array(frames, column.type)


def _rows(random: Random, data: bytes) -> bytes:
    """Leave rows out, repeat them, or put them into another order."""
    file = _opened(data)
    chosen = _with_rows(random, file)
    if chosen is None:
        return _cut(random, data)
    batch = file.batches[chosen]
    count = batch.num_rows
    order = list(range(count))
    kind = random.randrange(4)
    if kind == 0:
        random.shuffle(order)
    elif kind == 1:
        order = sorted(random.sample(order, random.randrange(count + 1)))
    elif kind == 2:
        order += random.choices(order, k=3)
    else:
        first, second = random.randrange(count), random.randrange(count)
        order[first], order[second] = order[second], order[first]
    file.batches[chosen] = batch.take(pa.array(order, pa.int64()))
    return _written(random, file)


def _batches(random: Random, data: bytes) -> bytes:
    """Leave batches out, repeat them, swap them, cut them into pieces; move the ending."""
    file = _opened(data)
    pairs = list(zip(file.batches, file.endings, strict=True))
    chosen, other = random.randrange(len(pairs)), random.randrange(len(pairs))
    kind = random.randrange(5)
    if kind == 0:
        del pairs[chosen]
    elif kind == 1:
        pairs.insert(chosen, pairs[other])
    elif kind == 2:
        pairs[chosen], pairs[other] = pairs[other], pairs[chosen]
    elif kind == 3:
        batch, ending = pairs[chosen]
        pairs[chosen : chosen + 1] = [(batch.slice(row, 1), ending) for row in range(batch.num_rows)]
    else:
        pairs[chosen] = (pairs[chosen][0], pairs[other][1])
    return _written(
        random, _File(file.schema, [batch for batch, _ in pairs], [ending for _, ending in pairs])
    )


def _types(random: Random, data: bytes) -> bytes:
    """Change type, name, nullability or number of the columns."""
    file = _opened(data)
    index = random.randrange(len(file.schema))
    field = file.schema.field(index)
    kind = random.randrange(5)
    columns = list(range(len(file.schema)))
    fields = list(file.schema)
    if kind == 0:
        fields[index] = field.with_name(random.choice(("", "call", "x", "frames", "\x1b")))
    elif kind == 1:
        fields[index] = field.with_nullable(not field.nullable)
    elif kind == 2:
        del columns[index], fields[index]
    elif kind == 3:
        columns.append(index)
        fields.append(field)
    else:
        fields[index] = pa.field(field.name, random.choice(_KINDS), nullable=True)
    schema = pa.schema(fields, metadata=file.schema.metadata)
    batches = [
        pa.RecordBatch.from_arrays(
            [_as(batch.column(c), f.type) for c, f in zip(columns, fields, strict=True)], schema=schema
        )
        for batch in file.batches
    ]
    return _written(random, _File(schema, batches, file.endings))


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type.equals(kind):
        return column
    try:
        return column.cast(kind, safe=False)
    except pa.ArrowException:
        return pa.nulls(len(column), kind)


def _documents(random: Random, data: bytes) -> bytes:
    """Change the header, or the ending."""
    file = _opened(data)
    if random.randrange(2):
        endings = [ending and {KEY: _document(random, ending[KEY])} for ending in file.endings]
        return _written(random, file._replace(endings=endings))
    schema = file.schema.with_metadata({KEY: _document(random, file.schema.metadata[KEY])})
    batches = [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in file.batches]
    return _written(random, _File(schema, batches, file.endings))


def _document(random: Random, text: bytes) -> bytes:
    kind = random.randrange(8)
    if kind == 0:
        return _bytes(random, text)
    if kind == 1:
        return random.choice(
            (b"", b"{", b"[" * 100_000, b"\xff", b"9" * 5000, b"null", b"{}", b'{"format":NaN}')
        )
    document = json.loads(text)
    for _ in range(random.randint(1, 2)):
        table, key = random.choice(list(_slots(document)))
        if random.randrange(4) == 0:
            del table[key]
            break
        table[key] = deepcopy(random.choice(_JSON))  # else cases would change what others get
    return json.dumps(document).encode()


def _slots(document: Any) -> Any:  # noqa: ANN401 - any part of JSON
    """Yield each slot of a JSON document: the list or table, and index or key."""
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in items:
        yield document, key
        yield from _slots(value)


def _random_columns(random: Random, data: bytes) -> bytes:
    """Fill all of a column with random numbers."""
    file = _opened(data)
    names = [field.name for field in file.schema if pa.types.is_integer(field.type)]
    index = file.schema.get_field_index(random.choice(names))
    rng = np.random.default_rng(random.getrandbits(32))
    for chosen, batch in enumerate(file.batches):
        kind = batch.column(index).type
        most = min(1 << kind.bit_width, random.choice((2, 100, 1 << 32, 1 << 63)))
        column = pa.array(rng.integers(0, most, batch.num_rows, np.uint64), pa.uint64()).cast(kind)
        columns = [*batch.columns[:index], column, *batch.columns[index + 1 :]]
        file.batches[chosen] = pa.RecordBatch.from_arrays(columns, schema=file.schema)
    return _written(random, file)


_DAMAGE = (
    ("bytes", _bytes),
    ("cut", _cut),
    ("heads", _heads),
    ("moved", _moved),
    ("columns", _columns),
    ("columns", _columns),
    ("columns", _columns),
    ("rows", _rows),
    ("batches", _batches),
    ("types", _types),
    ("documents", _documents),
    ("random columns", _random_columns),
)
