"""What the guest writes to its consoles, each byte once, however often its run is gone through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.consoles import OUTPUT_KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.consoles import Console
    from emulator.machine.machine import Machine


class NewOutput:
    """Passes on what a machine's guest writes for the first time; is the machine's ``on_output``.

    Of a console that has written more than `OUTPUT_KEPT` bytes, what follows is passed on as often as it is written.

    Attributes:
        pass_on: Gets the bytes; None: nobody does.
    """

    def __init__(self) -> None:
        self._machine: Machine | None = None
        self._passed: dict[Console, int] = {}
        self.pass_on: Callable[[Console, bytes], None] | None = None

    def follow(self, machine: Machine) -> None:
        """Say whose output comes."""
        self._machine = machine

    def __call__(self, console: Console, data: bytes) -> None:
        """Take what the guest has written."""
        if self._machine is None:
            return
        end = len(self._machine.consoles.output[console])
        passed = self._passed.get(console, 0)
        if end <= passed < OUTPUT_KEPT:
            return
        self._passed[console] = end
        if self.pass_on is not None:
            self.pass_on(
                console, data[-(end - passed) :] if end - passed < len(data) and end > passed else data
            )

    def forget_future(self) -> None:
        """Let what was passed on and is not written yet be new again: the guest was changed here, and may write something else."""
        if self._machine is not None:
            for console, output in self._machine.consoles.output.items():
                self._passed[console] = min(self._passed.get(console, 0), len(output))
