"""The guest's console on its way out of the process."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from emulator.cli.status import OutputError

if TYPE_CHECKING:
    from typing import BinaryIO, Self

    from emulator.cli.output import Output
    from emulator.machine.machine import Console


class ConsoleWriter:
    """Passes the guest's output on as it appears; a context manager because of the file it may write.

    Args:
        output: Standard output.
        to_output: Whether the guest's output goes there.
    """

    def __init__(self, output: Output, *, to_output: bool) -> None:
        self._output = output
        self._to_output = to_output
        self._file: BinaryIO | None = None
        self._name = ""

    def send_serial_to(self, name: str) -> None:
        """Write what the guest sends to COM1 to a file from now on.

        Raises:
            OutputError: It cannot be opened.
        """
        self._name = name
        try:
            self._file = open(name, "wb")  # noqa: PTH123, SIM115 - closed at the end of the run
        except OSError as error:
            raise self._failure(error) from error

    def __call__(self, console: Console, data: bytes) -> None:
        """Take what the guest has written.

        Raises:
            OutputError: The file cannot be written.
            OSError: Standard output cannot.
        """
        if self._file is not None and console.name == "SERIAL":
            try:
                self._file.write(data)
                self._file.flush()
            except OSError as error:
                raise self._failure(error) from error
        elif self._to_output:
            self._output.raw(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # of a write that has failed before
                self._file.close()

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self._name}: {error.strerror}")
