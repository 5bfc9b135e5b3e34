"""Write to standard output and standard error: text for people, and the guest's bytes as they are."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from emulator.report.text.style import WIDTH_MAX, WIDTH_MIN, Style
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

_DIGITS_MAX = 4  # of a number of columns


class Output:
    """Standard output, for text and for bytes in the order in which they come.

    What goes wrong is an `OSError`, for `main` to explain.
    """

    def __init__(self) -> None:
        self._stream = sys.stdout
        self._at_line_start = True

    @property
    def style(self) -> Style:
        """What this output can show."""
        return style_of(self._stream, os.environ)

    @property
    def is_terminal(self) -> bool:
        """Whether this is a terminal that obeys sequences."""
        return self._stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")

    def is_beside_errors(self) -> bool:
        """Whether this and standard error are on a terminal: what the one says the other need not repeat."""
        return self._stream.isatty() and sys.stderr.isatty()

    def raw(self, data: bytes) -> None:
        """Write bytes, at once."""
        if data:
            self._stream.buffer.write(data)
            self._stream.buffer.flush()
            self._at_line_start = data.endswith(b"\n")

    def sequence(self, data: bytes) -> None:
        """Write what moves no cursor, at once."""
        self._stream.buffer.write(data)
        self._stream.buffer.flush()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal that this is."""
        size = os.get_terminal_size(self._stream.fileno())
        return size.columns, size.lines

    def draw(self, text: str) -> None:
        """Write text, and what moves the cursor, at once. What the encoding lacks becomes a question mark."""
        self.sequence(text.encode(self._stream.encoding, "replace"))

    def end_line(self) -> None:
        """End an unfinished line on a terminal, so that an error does not continue it. A pipe gets bytes as they are."""
        if not self._at_line_start and self._stream.isatty():
            self.raw(b"\n")

    def lines(self, lines: Iterable[str]) -> None:
        """Write lines of text, on lines of their own. What the encoding lacks becomes a question mark."""
        text = "".join(f"{line}\n" for line in lines)
        start = "" if self._at_line_start else "\n"
        self.raw((start + text).encode(self._stream.encoding, "replace"))

    def json(self, document: object) -> None:
        """Write one JSON document."""
        import json  # few runs need it

        self.lines([json.dumps(document, indent=2)])


def complain(message: str, details: Iterable[str] = ()) -> None:
    """Print an error on standard error: one line, whatever it holds, and for a report its further lines."""
    with suppress(OSError):  # nobody reads it, then
        print(f"kmemu: {printable(message)}", *map(printable, details), sep="\n", file=sys.stderr, flush=True)


def style_of(stream: TextIO, environment: Mapping[str, str]) -> Style:
    """Return what a stream can show.

    Colour needs a terminal that is not dumb, and no NO_COLOR (https://no-color.org).
    """
    is_terminal = stream.isatty()
    colour = (
        is_terminal and not environment.get("NO_COLOR") and environment.get("TERM", "") not in ("", "dumb")
    )
    columns = max(_columns(stream, environment, is_terminal=is_terminal), WIDTH_MIN)
    return Style(
        min(columns, WIDTH_MAX),
        colour,
        _is_unicode(stream, environment),
        room=columns if is_terminal else None,
    )


def _columns(stream: TextIO, environment: Mapping[str, str], *, is_terminal: bool) -> int:
    text = environment.get("COLUMNS", "")
    columns = int(text) if text.isdecimal() and len(text) <= _DIGITS_MAX else 0
    if not columns and is_terminal:
        columns = os.get_terminal_size(stream.fileno()).columns
    return columns or Style().width


def _is_unicode(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Without a locale Python assumes UTF-8; we do not, because that is where old terminals are found."""
    get = environment.get
    locale = get("LC_ALL") or get("LC_CTYPE") or get("LANG") or ""
    if locale == "C.UTF-8" and not get("LC_ALL") and get("LANG", "") in ("", "C", "POSIX"):
        return False  # Python itself sets LC_CTYPE to this where there is no locale (PEP 538)
    return all("utf8" in name.lower().replace("-", "") for name in (locale, stream.encoding))


def own_pipes() -> tuple[int, int]:
    """Return standard input and output, duplicated, for a protocol alone: whatever prints, prints to standard error from now on."""
    pipes = os.dup(sys.stdin.fileno()), os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipes
