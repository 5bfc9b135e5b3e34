"""Find the messages of an Arrow file: enough of the format to locate batches without reading them.

A file is a magic, then messages (a head, metadata as a FlatBuffer, a body), then an end mark and a footer. pyarrow reads
the content; it does not say where a column's bytes are, nor how much of a broken file is whole.

Source: Arrow Columnar Format 1.5, "Serialization and Interprocess Communication (IPC)"; Message.fbs, Schema.fbs.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC: Final = b"ARROW1"
FIRST_MESSAGE: Final = 8  # the magic, padded

SCHEMA, DICTIONARY, RECORD_BATCH = 1, 2, 3
_KNOWN: Final = (SCHEMA, DICTIONARY, RECORD_BATCH)

_CONTINUATION: Final = 0xFFFF_FFFF
_LARGEST_METADATA: Final = 1 << 26  # bytes; far above any header with its profile


class Message(NamedTuple):
    """One message.

    Attributes:
        kind: `SCHEMA`, `DICTIONARY` or `RECORD_BATCH`.
        body: Offset of its body in the file.
        end: Offset of what follows.
        buffers: Offset in the file and size of each buffer of a batch.
        plain: The buffers are not compressed.
    """

    kind: int
    body: int
    end: int
    buffers: tuple[tuple[int, int], ...]
    plain: bool


def read_message(read: Callable[[int, int], bytes], start: int) -> Message | None:
    """Find one message.

    Args:
        read: Returns so many bytes from an offset; fewer where there are no more.
        start: Its offset.

    Returns:
        None at the end mark.

    Raises:
        ValueError: There is no whole head, or it is damaged. The body may be missing.
    """
    try:
        mark, size = struct.unpack("<II", read(start, 8))
        if mark != _CONTINUATION or size > _LARGEST_METADATA:
            raise ValueError("no message")
        if size == 0:
            return None
        metadata = read(start + 8, size)
        return _message(metadata, start + 8 + size)
    except (struct.error, IndexError) as error:
        raise ValueError("not a whole message") from error


def _message(metadata: bytes, body: int) -> Message:
    message = _Table(metadata, struct.unpack_from("<I", metadata)[0])
    kind = message.value(1, "<B")
    size = message.value(3, "<q")
    if kind not in _KNOWN or size < 0:
        raise ValueError("no message of a trace")
    batch = None if kind == SCHEMA else message.table(2)
    if batch is not None and kind == DICTIONARY:
        batch = batch.table(1)
    if batch is None:
        return Message(kind, body, body + size, (), plain=True)
    buffers = tuple((body + offset, length) for offset, length in batch.pairs(2))
    return Message(kind, body, body + size, buffers, plain=not batch.has(3))


class _Table:
    """A table of a FlatBuffer: fields are found through a list of 16-bit offsets."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._offsets = at - struct.unpack_from("<i", data, at)[0]
        if self._offsets < 0:
            raise ValueError("a table outside the message")

    def has(self, field: int) -> bool:
        return self._field(field) != 0

    def value(self, field: int, kind: str) -> int:
        """Return a number; 0 where it is left out."""
        at = self._field(field)
        return int(struct.unpack_from(kind, self._data, at)[0]) if at else 0

    def table(self, field: int) -> _Table:
        return _Table(self._data, self._target(field))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """Return a list of structures of two 64-bit numbers."""
        at = self._target(field)
        count = struct.unpack_from("<I", self._data, at)[0]
        if count * 16 > len(self._data):
            raise ValueError("a list longer than the message")
        return list(struct.iter_unpack("<qq", self._data[at + 4 : at + 4 + 16 * count]))

    def _field(self, field: int) -> int:
        """Return the offset of a field; 0 where it is left out."""
        size = struct.unpack_from("<H", self._data, self._offsets)[0]
        entry = 4 + 2 * field
        if entry + 2 > size:
            return 0
        offset = struct.unpack_from("<H", self._data, self._offsets + entry)[0]
        return self._at + int(offset) if offset else 0

    def _target(self, field: int) -> int:
        at = self._field(field)
        if not at:
            raise ValueError("a part of the message is missing")
        return at + int(struct.unpack_from("<I", self._data, at)[0])
