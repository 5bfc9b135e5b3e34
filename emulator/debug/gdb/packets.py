"""Packets: what is sent and received between ``$`` and its checksum.

Source: "Debugging with GDB", E.1 (Overview).
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKET_MAX: Final = 1 << 16
"""Bytes of a packet's payload, as it is sent and after its escapes; the protocol's ``PacketSize``."""

_START, _END, _ESCAPE, _REPEAT = b"$#}*"
_INTERRUPT: Final = 0x03
_ESCAPED: Final = 0x20
_CHECKSUM_DIGITS: Final = 2
_REPEAT_BASE: Final = 29  # of a count of repetitions, so that it is printable
_REPEAT_MIN: Final = 3
_REPEAT_MAX: Final = 126 - _REPEAT_BASE
_NO_COUNTS: Final = b"$#+-"
_RUN = re.compile(rb"(.)\1{3,}", re.DOTALL)


class Mark(Enum):
    """What a client sends besides packets."""

    INTERRUPT = auto()  # Ctrl-C
    ACK = auto()
    NACK = auto()  # it wants the last packet again
    BAD = auto()  # a packet that is none: its checksum is wrong, it is too long or broken off


class Decoder:
    """Makes packets of the bytes of a client.

    Bytes outside of packets that mean nothing are skipped.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._is_dropping = False
        self._items: deque[bytes | Mark] = deque()

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        rest = self._rest + data
        at = 0
        while at < len(rest):
            used = self._item(rest, at)
            if not used:
                break
            at += used
        self._rest = rest[at:]
        if len(self._rest) > PACKET_MAX + _CHECKSUM_DIGITS:
            self._rest = b""
            self._is_dropping = True

    def next(self) -> bytes | Mark | None:
        """Return the payload of the next packet, or what else has come; None: nothing has."""
        return self._items.popleft() if self._items else None

    def drop_repeats(self, packet: bytes) -> None:
        """Forget a packet where it has come again at once: a client that waits for its acknowledgement sends nothing else."""
        while self._items and self._items[0] == packet:
            self._items.popleft()

    def take_interrupt(self) -> bool:
        """Return whether Ctrl-C has come, ahead of what else may wait, and forget it."""
        if Mark.INTERRUPT not in self._items:
            return False
        self._items.remove(Mark.INTERRUPT)
        return True

    def _item(self, data: bytes, at: int) -> int:
        """Take what begins at an index, and return its length; 0: it is not complete."""
        first = data[at]
        if self._is_dropping:
            return self._drop(data, at)
        if first == _START:
            return self._packet(data, at)
        if first == _INTERRUPT:
            self._items.append(Mark.INTERRUPT)
        elif first in b"+-":
            self._items.append(Mark.ACK if first == b"+"[0] else Mark.NACK)
        return 1

    def _drop(self, data: bytes, at: int) -> int:
        """Skip the rest of a packet that is too long."""
        end = data.find(_END, at)
        if end < 0:
            return len(data) - at
        if end + _CHECKSUM_DIGITS >= len(data):
            return end - at  # its checksum is to come
        self._is_dropping = False
        self._items.append(Mark.BAD)
        return end + 1 + _CHECKSUM_DIGITS - at

    def _packet(self, data: bytes, at: int) -> int:
        end = data.find(_END, at)
        again = data.find(_START, at + 1, end if end >= 0 else len(data))
        if again >= 0:  # the one before was broken off
            self._items.append(Mark.BAD)
            return again - at
        if end < 0 or end + _CHECKSUM_DIGITS >= len(data):
            return 0
        body = data[at + 1 : end]
        checksum = data[end + 1 : end + 1 + _CHECKSUM_DIGITS]
        payload = _decoded(body) if _is_checksum(checksum, body) else None
        self._items.append(Mark.BAD if payload is None else payload)
        return end + 1 + _CHECKSUM_DIGITS - at


def _is_checksum(digits: bytes, body: bytes) -> bool:
    try:
        return bytes.fromhex(digits.decode("ascii")) == bytes([sum(body) % 256])
    except ValueError:
        return False


def _decoded(body: bytes) -> bytes | None:
    """Return what a packet says without escapes and repetitions; None: these are wrong, or it is too long."""
    if len(body) > PACKET_MAX:
        return None
    if _ESCAPE not in body and _REPEAT not in body:
        return body
    result = bytearray()
    rest = iter(body)
    for byte in rest:
        following = next(rest, None) if byte in (_ESCAPE, _REPEAT) else 0
        if following is None:
            return None
        if byte == _ESCAPE:
            result.append(following ^ _ESCAPED)
        elif byte == _REPEAT:
            count = following - _REPEAT_BASE
            if not result or not _REPEAT_MIN <= count <= _REPEAT_MAX:
                return None
            result += bytes([result[-1]]) * count
        else:
            result.append(byte)
        if len(result) > PACKET_MAX:
            return None
    return bytes(result)


def encoded(payload: bytes) -> bytes:
    """Return a packet: escaped, with repetitions as counts, and with its checksum."""
    if any(byte in payload for byte in (_START, _END, _ESCAPE, _REPEAT)):
        body = b"".join(_escaped(payload))
    else:
        body = _RUN.sub(_counted, payload)
    return b"$%b#%02x" % (body, sum(body) % 256)


def _escaped(payload: bytes) -> Iterator[bytes]:
    for byte in payload:
        yield bytes([_ESCAPE, byte ^ _ESCAPED]) if byte in b"$#}*" else bytes([byte])


def _counted(run: re.Match[bytes]) -> bytes:
    """Return a run of four or more equal bytes in a shorter form."""
    byte, left, result = run[1], len(run[0]), b""
    while left:
        result += byte
        left -= 1
        count = min(left, _REPEAT_MAX)
        while count >= _REPEAT_MIN and count + _REPEAT_BASE in _NO_COUNTS:
            count -= 1
        if count >= _REPEAT_MIN:
            result += bytes([_REPEAT, count + _REPEAT_BASE])
            left -= count
    return result
