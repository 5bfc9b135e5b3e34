"""In which line of a JSON text a key stands. The standard library's parser does not tell."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


def line_of(text: str, keys: Sequence[str]) -> int | None:
    """Find a key by those it lies in.

    Args:
        text: A JSON document without a syntax error.
        keys: The way from the outermost object inwards; of a key that is there twice the last one counts.

    Returns:
        The line, from 1, of the last key; or of the last one on the way that is there. None: not even the first is.
    """
    line, at = None, _skip(text, 0)
    for key in keys:
        place = _member(text, at, key)
        if place is None:
            break
        line = text.count("\n", 0, place[0]) + 1
        at = place[1]
    return line


def _member(text: str, at: int, wanted: str) -> tuple[int, int] | None:
    """Return where a key and its value stand in the object at an offset."""
    found = None
    for key, start, value in _members(text, at):
        if key == wanted:
            found = start, value
    return found


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Yield the members of an object: key, and the offsets of key and value. What is no object has none."""
    if text[at : at + 1] != "{":
        return
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, end = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, end) + 1)  # behind the colon
        yield key, at, value
        at = _skip(text, _DECODER.raw_decode(text, value)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
