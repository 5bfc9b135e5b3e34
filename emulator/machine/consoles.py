"""The guest's output: what was written to each console so far, and who gets it as it appears."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from emulator.machine.core.handle import lib

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.core.handle import Core

OUTPUT_KEPT = 16 << 20
"""Bytes of each console that are kept; `on_output` gets all, however long a kernel talks."""


class Console(Enum):
    """Where the guest's output comes from."""

    SERIAL = 0  # COM1
    DEBUG = 1  # port 0xE9
    SERIAL2 = 2  # COM2


class Consoles:
    """All consoles of one machine.

    Args:
        core: Of the machine; it collects bytes, and hands them over at ends of lines and of runs.
        on_output: Called with the guest's output as it appears.

    Attributes:
        output: What the guest wrote so far, by console; of each the first `OUTPUT_KEPT` bytes.
        written: Bytes that were handed over so far, of all consoles.
    """

    def __init__(self, core: Core, on_output: Callable[[Console, bytes], None] | None) -> None:
        self._core = core
        self._on_output = on_output
        self._watch: Callable[[Console, bytes], None] | None = None
        self.written = 0
        self.output = {console: bytearray() for console in Console}
        core.console = lambda number, data: self.write(Console(number), data)

    def write(self, console: Console, data: bytes) -> None:
        """Take output of the guest."""
        kept = self.output[console]
        kept += data[: OUTPUT_KEPT - len(kept)]
        self.written += len(data)
        if self._watch is not None:
            self._watch(console, data)
        if self._on_output is not None:
            self._on_output(console, data)

    def watch(self, callback: Callable[[Console, bytes], None] | None, last_byte: bytes) -> None:
        """Call back with the guest's output from now on: at the latest when it writes this byte, in the `out` that does.

        Args:
            callback: None: call nobody.
            last_byte: One byte.
        """
        self._watch = callback
        lib.kc_console_flush_at(self._core.raw, last_byte[0] if callback else -1)

    def send(self, console: Console, data: bytes) -> None:
        """Take output that a device of Python's hands over, after what the core has collected before."""
        lib.kc_console_flush(self._core.raw)
        self.write(console, data)

    def flush(self) -> None:
        """Take the bytes that the core still holds.

        Raises:
            Exception: What `on_output` raised.
        """
        lib.kc_console_flush(self._core.raw)
        self._core.raise_pending()

    def print_for_guest(self, text: str) -> None:
        """Put text on COM1 as if the guest had sent it at this moment."""
        self.flush()
        self.write(Console.SERIAL, text.encode("latin-1"))

    def save(self) -> tuple[int, ...]:
        """Return how much there is."""
        self.flush()
        return tuple(len(text) for text in self.output.values())

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        assert isinstance(state, tuple)  # noqa: S101 - as `save` made it
        for text, size in zip(self.output.values(), state, strict=True):
            del text[size:]
