"""Pass the guest's console on to standard output, standard error or a file."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from emulator.cli.status import OutputError
from emulator.cli.terminal.output import style_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO, Self, TextIO

    from emulator.cli.terminal.output import Output
    from emulator.cli.terminal.terminal_filter import TerminalFilter
    from emulator.machine.consoles import Console

RAW_HELP = (
    "let all escape sequences of the kernel reach the terminal, not only those that move, colour and clear"
)


class _Filters:
    """Filters what goes to a terminal; a pipe or a file gets the guest's bytes as they are.

    Args:
        stream: The stream to which the bytes go.
        raw: Whether a terminal gets them unfiltered, too.
    """

    def __init__(self, stream: TextIO, *, raw: bool) -> None:
        self._stream = stream if stream.isatty() and not raw else None
        self._filters: dict[Console, TerminalFilter] = {}  # a sequence comes from one of them

    def __call__(self, console: Console, data: bytes) -> bytes:
        """Return what may be shown."""
        if self._stream is None:
            return data
        if console not in self._filters:
            from emulator.cli.terminal.terminal_filter import TerminalFilter  # only for terminals

            utf8 = style_of(self._stream, os.environ).unicode
            self._filters[console] = TerminalFilter(utf8=utf8)
        return self._filters[console](data)

    def end(self) -> bytes:
        """Return what is to be shown at the end."""
        return b"".join(each.end() for each in self._filters.values())


class ErrorConsole:
    """Passes the guest's output on to standard error.

    Args:
        raw: Whether a terminal gets it unfiltered, too.
    """

    def __init__(self, *, raw: bool) -> None:
        self._filters = _Filters(sys.stderr, raw=raw)

    def __call__(self, console: Console, data: bytes) -> None:
        """Take what the guest has written."""
        self._write(self._filters(console, data))

    def end(self) -> None:
        """Reset the terminal's colours."""
        self._write(self._filters.end())

    @staticmethod
    def _write(data: bytes) -> None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()


class ConsoleWriter:
    """Passes the guest's output on as it appears; a context manager because of the files it may write.

    Args:
        output: Standard output.
        to_output: Whether the guest's output goes there.
        raw: Whether a terminal gets it unfiltered, too.
    """

    def __init__(self, output: Output, *, to_output: bool, raw: bool = False) -> None:
        self._output = output
        self._filters = _Filters(sys.stdout, raw=raw)
        self._to_output = to_output
        self._files: dict[str, BinaryIO] = {}  # by the names of consoles

    def send_to_file(self, console: str, name: str) -> None:
        """Write what the guest sends to a console to a file from now on.

        Args:
            console: The name of the `Console`.
            name: The file.

        Raises:
            OutputError: It cannot be opened.
        """
        try:
            self._files[console] = open(name, "wb")  # noqa: PTH123, SIM115 - closed at the end of the run
        except OSError as error:
            raise _failure(name, error) from error

    def __call__(self, console: Console, data: bytes) -> None:
        """Take what the guest has written.

        Raises:
            OutputError: The file cannot be written.
            OSError: Standard output cannot.
        """
        file = self._files.get(console.name)
        if file is not None:
            try:
                file.write(data)
                file.flush()
            except OSError as error:
                raise _failure(file.name, error) from error
        elif self._to_output:
            self._output.raw(self._filters(console, data))

    def show(self, said: Mapping[Console, bytearray]) -> None:
        """Write to standard output what has not gone there or to a file.

        Raises:
            OSError: It cannot be written.
        """
        for console, data in said.items():
            if console.name not in self._files:
                self._output.raw(self._filters(console, bytes(data)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the same that ended the body
            self._output.sequence(self._filters.end())
        for file in self._files.values():
            with suppress(OSError):  # of a write that has failed before
                file.close()


def _failure(name: str, error: OSError) -> OutputError:
    return OutputError(f"cannot write {name}: {error.strerror}")
