"""Read header, batches and ending of a trace file; the calls stay in the file, mapped into memory."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa

from emulator.errors import BadFile
from emulator.trace.file.arrays import BatchColumns, list_lengths
from emulator.trace.file.header import TraceEnding, TraceHeader
from emulator.trace.file.messages import DICTIONARY, FIRST_MESSAGE, MAGIC, RECORD_BATCH, SCHEMA, read_message
from emulator.trace.file.schema import KEY, trace_schema
from emulator.trace.table import Chunk, column_types

if TYPE_CHECKING:
    from collections.abc import Iterator


_DAMAGE: Final = (ValueError, KeyError, TypeError, MemoryError, NotImplementedError)
"""What pyarrow and numpy raise on data that they do not expect."""


_FOREIGN: Final = "no kmemu trace"


class TraceContents(NamedTuple):
    """What a file holds, mapped into memory. The calls are not checked.

    Attributes:
        header: From the beginning.
        ending: None: the recording was cut off.
        schema: Types of the columns.
        batches: All whole batches of calls. Their columns have the types of the schema.
    """

    header: TraceHeader
    ending: TraceEnding | None
    schema: pa.Schema
    batches: list[pa.RecordBatch]

    def chunks(self) -> list[Chunk]:
        """Return the calls as rows of a table, without a copy, once they are checked."""
        types = column_types(self.header.profile)
        firsts = accumulate((batch.num_rows for batch in self.batches), initial=1)
        return [
            Chunk(first, batch.num_rows, BatchColumns(batch, types))
            for first, batch in zip(firsts, self.batches, strict=False)
        ]

    def stacks_of_length(self, frames: int) -> int:
        """Return how many call stacks have at least so many frames."""
        lengths = (list_lengths(batch, "frames") for batch in self.batches)
        return sum(int((each >= frames).sum()) for each in lengths)


def read_contents(path: str) -> TraceContents:
    """Open a trace.

    A file without the footer that a whole one ends with is read up to its last whole batch.

    Raises:
        BadFile: It cannot be read, or it is no trace.
    """
    with reported(path):
        return _contents(path)


@contextmanager
def reported(path: str) -> Iterator[None]:
    """Report whatever goes wrong with the data of a trace as `BadFile`."""
    try:
        yield
    except (*_DAMAGE, pa.ArrowException) as error:
        raise BadFile(path, f"damaged trace: {_one_line(error)}") from error
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else f"damaged trace: {_one_line(error)}"
        raise BadFile(path, problem) from error


def _contents(path: str) -> TraceContents:
    data = _mapped(path)
    header = _header(path, data)
    whole = data.slice(data.size - len(MAGIC)).to_pybytes() == MAGIC
    end = _end_of_messages(data, whole=whole)
    reader = pa.ipc.open_stream(data.slice(FIRST_MESSAGE, end - FIRST_MESSAGE))
    _check_schema(reader.schema, trace_schema(header.profile))
    ending, batches = _batches(reader)
    if whole and ending is None:
        raise ValueError("no ending")
    return TraceContents(header, ending if whole else None, reader.schema, batches)


def _mapped(path: str) -> pa.Buffer:
    """Map a file that begins like one of Arrow's."""
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadFile(path, "it is not a regular file")
    if status.st_size >= FIRST_MESSAGE:
        data = pa.memory_map(path).read_buffer()
        if data.slice(0, len(MAGIC)).to_pybytes() == MAGIC:
            return data
    raise BadFile(path, _FOREIGN)


def _header(path: str, data: pa.Buffer) -> TraceHeader:
    try:
        schema = pa.ipc.read_schema(data.slice(FIRST_MESSAGE))
    except (pa.ArrowException, OSError):
        raise BadFile(path, _FOREIGN) from None
    text = (schema.metadata or {}).get(KEY)
    if text is None:
        raise BadFile(path, _FOREIGN)
    return TraceHeader.from_json(text, path)


def _batches(reader: pa.RecordBatchReader) -> tuple[TraceEnding | None, list[pa.RecordBatch]]:
    """Return the ending and all batches with calls."""
    ending = None
    batches: list[pa.RecordBatch] = []
    while True:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            return ending, batches
        if ending is not None:
            raise ValueError("a batch after the ending")
        batch.validate()
        if metadata is not None and KEY in metadata:
            ending = TraceEnding.from_json(metadata[KEY])
        if batch.num_rows:
            batches.append(batch)


def _end_of_messages(data: pa.Buffer, *, whole: bool) -> int:
    """Return the offset after the last whole message; the order of messages is that of a trace.

    Raises:
        ValueError: In a file with a footer they do not go on to the end mark.
    """
    position, kinds = FIRST_MESSAGE, 0
    while True:
        try:
            message = read_message(lambda offset, size: _slice(data, offset, size), position)
        except ValueError:
            if whole:
                raise
            return position
        if message is None:
            return position
        if message.end > data.size:
            if whole:
                raise ValueError("a batch longer than the file")
            return position
        expected = (SCHEMA, DICTIONARY)[kinds] if kinds < 2 else RECORD_BATCH  # noqa: PLR2004 - one of each, first
        if message.kind != expected or not message.plain:
            raise ValueError("not laid out as kmemu does")
        position, kinds = message.end, kinds + 1


def _slice(data: pa.Buffer, offset: int, size: int) -> bytes:
    return (
        bytes(data.slice(offset, min(size, data.size - offset)).to_pybytes()) if offset <= data.size else b""
    )


def _check_schema(found: pa.Schema, expected: pa.Schema) -> None:
    for name in expected.names:
        if found.names.count(name) != 1:
            raise ValueError(f"no column {name}")
        if found.field(name).type != expected.field(name).type:
            raise ValueError(f"column {name} is not of type {expected.field(name).type}")
    if found.names != expected.names:
        raise ValueError("more columns than those of a trace, or in another order")


def _one_line(error: BaseException) -> str:
    """Return what is wrong, fit for a terminal: the text may come from the file."""
    text = " ".join(str(error).split())[:200] or type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text)
