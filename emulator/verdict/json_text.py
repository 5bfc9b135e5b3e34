"""Parses JSON that people edit: keys that stand twice are refused, and the line of each key can be found."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

from emulator.errors import BadFile
from emulator.wording import shown_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()

Table = dict[str, object]


def parse_json(path: str, text: str) -> object:
    """Parse a JSON document.

    Args:
        path: Its file, for messages.
        text: What the file contains.

    Raises:
        BadFile: It is no JSON, or an object has a key twice.
    """
    try:
        document: object = json.loads(
            text, object_pairs_hook=partial(_object, path, text), parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        problem = f"is no JSON: {error.msg}, column {error.colno}"
        raise BadFile(path, problem, line=error.lineno) from error
    except RecursionError as error:
        raise BadFile(path, "is nested too deeply") from error
    except ValueError as error:  # a number that is none, or of thousands of digits
        raise BadFile(path, "contains a number that is infinite, none, or too long") from error
    return document


def _object(path: str, text: str, pairs: list[tuple[str, object]]) -> Table:
    """Return the members of an object of the document *text*."""
    table: Table = {}
    for key, value in pairs:
        if key in table:
            raise BadFile(path, "is there twice", line=_last_line(text, key), key=shown_keys([key]))
        table[key] = value
    return table


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _last_line(text: str, key: str) -> int | None:
    at = max(text.rfind(json.dumps(key)), text.rfind(json.dumps(key, ensure_ascii=False)))
    return None if at < 0 else text.count("\n", 0, at) + 1


def line_of(text: str, keys: Sequence[str]) -> int | None:
    """Find the line of a key. The standard library's parser does not report it.

    Args:
        text: A JSON document without a syntax error.
        keys: The path of the key, from the outermost object inwards; of a key that is there twice the last one counts.

    Returns:
        The line, from 1, of the last key of the path that is there; None: not even the first one is.
    """
    line, at = None, _skip(text, 0)
    for key in keys:
        found = _member(text, at, key)
        if found is None:
            break
        line = text.count("\n", 0, found[0]) + 1
        at = found[1]
    return line


def _member(text: str, at: int, wanted: str) -> tuple[int, int] | None:
    """Return the offsets of a key and of its value in the object at an offset."""
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
        value = _skip(text, _skip(text, end) + 1)  # after the colon
        yield key, at, value
        at = _skip(text, _DECODER.raw_decode(text, value)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
