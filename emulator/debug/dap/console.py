"""What the guest writes, and what the debugger says, as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.debug.gdb.output import NewOutput
from emulator.machine.consoles import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.machine import Machine

_CATEGORIES: Final = {Console.SERIAL: "stdout", Console.SERIAL2: "stdout", Console.DEBUG: "console"}


class ConsoleEvents:
    """Sends what one machine writes, line by line; each byte once, however often the run goes back and forth over it.

    Args:
        event: Sends an event.

    Attributes:
        output: Gets what the machine writes.
    """

    def __init__(self, event: Callable[..., None]) -> None:
        self._event = event
        self._machine: Machine | None = None
        self._waiting: dict[Console, bytearray] = {console: bytearray() for console in Console}
        self.output = NewOutput()
        self.output.pass_on = self._take

    def follow(self, machine: Machine) -> None:
        """Say whose output comes."""
        self._machine = machine
        self.output.follow(machine)

    def flush(self) -> None:
        """Send what is no whole line yet."""
        if self._machine is not None:
            self._machine.consoles.flush()
        for console, data in self._waiting.items():
            if data:
                self._send(console, data)
                self._waiting[console] = bytearray()

    def log(self, text: str) -> None:
        """Send a line of the debugger's."""
        self._event("output", category="console", output=f"{text}\n")

    def _take(self, console: Console, data: bytes) -> None:
        waiting = self._waiting[console]
        waiting += data
        lines, newline, rest = waiting.rpartition(b"\n")
        if newline:
            self._waiting[console] = rest
            self._send(console, lines + newline)

    def _send(self, console: Console, data: bytes | bytearray) -> None:
        self._event("output", category=_CATEGORIES[console], output=data.decode("utf-8", "replace"))
