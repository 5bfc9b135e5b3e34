"""Messages of the Debug Adapter Protocol: JSON with a header that says how long it is.

Source: Debug Adapter Protocol, Overview, "Base protocol".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    Json = Mapping[str, Any]

_LARGEST: Final = 16 << 20  # bytes of a message
_LONGEST_HEADER: Final = 1024
_HEADERS_MAX: Final = 16
_LENGTH: Final = b"content-length"
_DIGITS_MAX: Final = len(str(_LARGEST))


class Input(Protocol):
    """Where bytes come from."""

    def readline(self, size: int, /) -> bytes:
        """Return a line with its end, or *size* bytes; what is left, where nothing more comes."""

    def read(self, size: int, /) -> bytes:
        """Return *size* bytes; fewer where nothing more comes."""


class BadFrame(Exception):
    """What has come is no message, and where the next one begins is not known."""


class BadMessage(Exception):
    """A message is none that the protocol has; the next one can be read."""


def read_message(stream: Input) -> Json | None:
    """Return the next message; None: there is no more.

    Raises:
        BadFrame, BadMessage: See there.
    """
    size = _read_size(stream)
    if size is None:
        return None
    data = stream.read(size)
    if len(data) < size:
        raise BadFrame(f"a message of {size} bytes ends after {len(data)}")
    try:
        message = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadMessage(f"a message is no JSON: {reason}") from error
    if not isinstance(message, dict):
        raise BadMessage(f"a message is {type(message).__name__}, and not an object")
    return message


def _read_size(stream: Input) -> int | None:
    """Read the header."""
    size: int | None = None
    for number in range(_HEADERS_MAX):
        line = stream.readline(_LONGEST_HEADER)
        if not line and not number:
            return None
        if not line.endswith(b"\n"):
            raise BadFrame("a header does not end" if line else "the input ends in a header")
        name, colon, value = line.strip().partition(b":")
        if not name and not colon:
            if size is None:
                raise BadFrame("a header has no Content-Length")
            return size
        if not colon:
            raise BadFrame(f"{_shown(line)} is no header")
        if name.strip().lower() == _LENGTH:
            size = _read_number(value.strip())
    raise BadFrame("a header has too many lines")


def _read_number(value: bytes) -> int:
    if not value.isdigit() or len(value) > _DIGITS_MAX or int(value) > _LARGEST:
        raise BadFrame(f"Content-Length {_shown(value)} is no number up to {_LARGEST}")
    return int(value)


def _shown(data: bytes) -> str:
    return ascii(data[:40].decode("latin-1").strip())


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def encoded(message: Json) -> bytes:
    """Return a message as it is sent."""
    data = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return b"Content-Length: %d\r\n\r\n%s" % (len(data), data)
