"""Where the command writes: text for people, and the guest's bytes as they are."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from emulator.cli.status import OutputError
from emulator.report.style import WIDTH_MAX, WIDTH_MIN, Style, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO, TextIO


class Output:
    """Standard output, for text and for bytes in the order in which they come."""

    def __init__(self) -> None:
        self._stream = sys.stdout
        self._at_line_start = True

    @property
    def style(self) -> Style:
        """What this output can show."""
        return style_of(self._stream, os.environ)

    def raw(self, data: bytes) -> None:
        """Write bytes, at once."""
        if data:
            write_all(self._stream.buffer, data, "standard output")
            self._at_line_start = data.endswith(b"\n")

    def lines(self, lines: Iterable[str]) -> None:
        """Write lines of text, on lines of their own. What the encoding lacks becomes a question mark."""
        text = "".join(f"{line}\n" for line in lines)
        start = "" if self._at_line_start else "\n"
        self.raw((start + text).encode(self._stream.encoding, "replace"))

    def json(self, document: object) -> None:
        """Write one JSON document."""
        import json  # few runs need it

        self.lines([json.dumps(document, indent=2)])


def write_all(stream: BinaryIO, data: bytes, name: str) -> None:
    """Write and flush.

    Raises:
        BrokenPipeError: Nobody reads any more.
        OutputError: It cannot be written.
    """
    try:
        stream.write(data)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror}") from error


def complain(message: str) -> None:
    """Print an error: one line, or for a report its further lines indented as they are."""
    first, *more = message.splitlines() or [""]
    with suppress(OSError):  # nobody reads it, then
        print(f"kmemu: {printable(first)}", *map(printable, more), sep="\n", file=sys.stderr, flush=True)


def style_of(stream: TextIO, environment: Mapping[str, str]) -> Style:
    """Find out what a stream can show.

    Colour needs a terminal that is not dumb, and no NO_COLOR (https://no-color.org). Without a locale Python assumes
    UTF-8; we do not, because that is where old terminals are found.
    """
    is_terminal = stream.isatty()
    colour = is_terminal and not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"
    return Style(
        _width(stream, environment, is_terminal=is_terminal), colour, _is_unicode(stream, environment)
    )


def _width(stream: TextIO, environment: Mapping[str, str], *, is_terminal: bool) -> int:
    columns = environment.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 0
    if not width and is_terminal:
        width = os.get_terminal_size(stream.fileno()).columns
    return min(max(width or Style().width, WIDTH_MIN), WIDTH_MAX)


def _is_unicode(stream: TextIO, environment: Mapping[str, str]) -> bool:
    if stream.encoding.lower().replace("-", "") != "utf8":
        return False
    get = environment.get
    locale = get("LC_ALL") or get("LC_CTYPE") or get("LANG") or "C"
    if locale == "C.UTF-8" and not get("LC_ALL") and get("LANG", "C") in ("", "C", "POSIX"):
        return False  # set by Python itself where no locale was (PEP 538)
    return locale not in ("C", "POSIX")
