"""Write a trace while a kernel runs, a chunk of calls at a time.

A trace is an Arrow file without compression, so columns go from the recorder's memory to the file as they are, and a
call that returns after its chunk was written is completed in place. What has been written can be read after a crash.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from emulator.errors import TraceNotWritten
from emulator.trace.file.arrays import flag_array, number_array, text_array
from emulator.trace.file.messages import FIRST_MESSAGE, RECORD_BATCH, read_message
from emulator.trace.file.schema import FRAMES_TYPE, FUNCTION_TYPE, KEY, fixed_columns, trace_schema
from emulator.trace.table import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.guest.symbolizer import Frame
    from emulator.trace.file.header import TraceEnding, TraceHeader
    from emulator.trace.file.messages import Message

    Definitions = Sequence[tuple[int, tuple[Frame, ...]]]

_LATE: Final = {"result": 4, "out": 4, "left_time_ns": 8, "left": 4}
"""Columns that a late return completes before the bit in `returned`, with their widths in bytes.

A reader goes by `left`, which comes after what it vouches for: the process may be killed at any moment.
"""


class TraceWriter:
    """A trace that is being written.

    Args:
        path: The file. One that is there is replaced.
        header: What is known of the run.

    Raises:
        TraceNotWritten: The file cannot be written. So do all methods.
    """

    def __init__(self, path: str | os.PathLike[str], header: TraceHeader) -> None:
        self.path = os.fspath(path)
        self._columns = fixed_columns(header.profile)
        self._schema = trace_schema(header.profile, header.to_json())
        self._names = text_array([function.name for function in header.profile.functions])
        # Each column has two buffers: which values are null, and the values.
        self._buffers = {name: 2 * index + 1 for index, (name, _) in enumerate(self._columns)}
        self._first_calls: list[int] = []  # of the batches in the file
        self._batches: list[Message] = []
        self._next_call = 1
        self._end = FIRST_MESSAGE
        with self._reported():
            # First, because its errors are plainer than Arrow's.
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._see_seekable()
            self._sink = pa.OSFile(self.path, "wb")
            self._writer = pa.ipc.new_file(self._sink, self._schema)
        try:
            self.write(self._no_calls())  # the header is written with the first batch
        except TraceNotWritten:
            self.abandon()
            raise

    def _see_seekable(self) -> None:
        try:
            os.lseek(self._file, 0, os.SEEK_CUR)
        except OSError:
            os.close(self._file)
            raise OSError("it is a pipe or a terminal, and parts of a trace are completed later") from None

    def write(self, chunk: Chunk, definitions: Definitions = ()) -> None:
        """Append calls. Their memory may be used again afterwards.

        Args:
            chunk: The calls.
            definitions: Position in the chunk and frames of each call whose stack number has not been used before, ascending.

        Raises:
            ValueError: A column is shorter or longer than the chunk.
        """
        batch = self._batch(chunk, definitions)
        with self._reported():
            self._writer.write_batch(batch)
            self._remember(chunk, batch)

    def amend(self, call: int, result: int, out: int, left: int, left_time_ns: int) -> None:
        """Complete a call that has been written and had not returned.

        Args:
            call: Its number.
            result: EAX at its return.
            out: The word at the address in the parameter "out".
            left: Event of its return.
            left_time_ns: Virtual time of its return.

        Raises:
            IndexError: The call has not been written.
        """
        if not 0 < call < self._next_call:
            raise IndexError(f"call {call} has not been written")
        index = bisect_right(self._first_calls, call) - 1
        batch, row = self._batches[index], call - self._first_calls[index]
        values = {"result": result, "out": out, "left": left, "left_time_ns": left_time_ns}
        with self._reported():
            for name, width in _LATE.items():
                offset = self._offset(batch, name) + row * width
                os.pwrite(self._file, values[name].to_bytes(width, "little"), offset)
            offset = self._offset(batch, "returned") + row // 8
            bits = os.pread(self._file, 1, offset)[0] | 1 << row % 8
            os.pwrite(self._file, bytes([bits]), offset)

    def close(self, ending: TraceEnding) -> None:
        """Write the ending and make the file whole."""
        last = self._batch(self._no_calls())
        with self._reported():
            self._writer.write_batch(last, custom_metadata={KEY: ending.to_json()})
            self._writer.close()
        self.abandon()

    def _no_calls(self) -> Chunk:
        return Chunk(1, 0, {name: np.empty(0, np.uint8) for name, _ in self._columns})

    def abandon(self) -> None:
        """Close the file as it is: a trace without an ending, which can be read."""
        os.close(self._file)
        with self._reported():
            self._sink.close()

    def _batch(self, chunk: Chunk, definitions: Definitions = ()) -> pa.RecordBatch:
        columns = [self._column(chunk, name, kind) for name, kind in self._columns]
        frames = _frames_column(chunk.rows, definitions)
        return pa.RecordBatch.from_arrays([*columns, frames], schema=self._schema)

    def _column(self, chunk: Chunk, name: str, kind: pa.DataType) -> pa.Array:
        if name == "call":
            return number_array(np.arange(chunk.first_call, chunk.first_call + chunk.rows, dtype=np.uint32))
        values = pa.py_buffer(chunk.columns[name])
        size = chunk.rows * max(kind.bit_width // 8, 1)
        if values.size != size:
            raise ValueError(f"column {name} has {values.size} bytes, not {size}")
        if name == "returned":
            flags = np.frombuffer(values, np.uint8, chunk.rows)
            values = pa.py_buffer(np.packbits(flags, bitorder="little"))
        if kind == FUNCTION_TYPE:
            codes = pa.Array.from_buffers(pa.int8(), chunk.rows, [None, values], 0)
            return pa.DictionaryArray.from_arrays(codes, self._names, safe=False)
        return pa.Array.from_buffers(kind, chunk.rows, [None, values], 0)

    def _remember(self, chunk: Chunk, batch: pa.RecordBatch) -> None:
        """Note where the batch just written is in the file."""
        message = None
        while message is None or message.kind != RECORD_BATCH:  # the first one follows schema and dictionary
            try:
                message = read_message(self._read, self._end)
            except ValueError:  # a device that forgets
                message = None
            if message is None:
                raise OSError("what was written cannot be read back")
            self._end = message.end
        if not self._batches:
            self._check(batch, message)
        self._first_calls.append(chunk.first_call)
        self._batches.append(message)
        self._next_call = chunk.first_call + chunk.rows

    def _offset(self, message: Message, column: str) -> int:
        """Return where the values of a column of a batch begin in the file."""
        return message.buffers[self._buffers[column]][0]

    def _check(self, batch: pa.RecordBatch, message: Message) -> None:
        """Make sure that columns lie where they will be changed."""
        sizes = {name: batch.num_rows * width for name, width in _LATE.items()}
        for name, size in (sizes | {"returned": -(-batch.num_rows // 8)}).items():
            values = batch.column(name).buffers()[1]
            if self._read(self._offset(message, name), size) != values.slice(0, size).to_pybytes():
                raise OSError(f"column {name} is not where it should be")

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file, size, offset)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]
            raise TraceNotWritten(self.path, problem) from error


def _frames_column(count: int, definitions: Definitions) -> pa.Array:
    """Return the column of stack definitions: lists of frames, null in most rows."""
    rows = [row for row, _ in definitions]
    frames = [frame for _, stack in definitions for frame in stack]
    kind = FRAMES_TYPE.value_type
    values = pa.StructArray.from_arrays(
        [
            number_array(np.array([frame.address for frame in frames], np.uint32)),
            text_array([frame.function for frame in frames]),
            number_array(np.array([frame.offset for frame in frames], np.uint32)),
            text_array([frame.file for frame in frames]),
            number_array(np.array([frame.line for frame in frames], np.uint32)),
            flag_array([frame.inlined for frame in frames]),
        ],
        fields=list(kind),
    )
    defined = np.zeros(count, np.uint8)
    defined[rows] = 1
    lengths = np.array([0, *(len(stack) for _, stack in definitions)], np.int32)
    spans = np.diff([-1, *rows, count])  # a list begins where the one before it ended
    offsets = np.repeat(np.cumsum(lengths, dtype=np.int32), spans)
    return pa.ListArray.from_buffers(
        FRAMES_TYPE,
        count,
        [pa.py_buffer(np.packbits(defined, bitorder="little")), pa.py_buffer(offsets)],
        count - len(rows),
        0,
        [values],
    )
