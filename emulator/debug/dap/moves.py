"""Moves of a kernel that a client has asked for: they go on until something stops them, and the client is heard meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.debug.dap.arguments import BadRequest
from emulator.debug.lines import has_returned
from emulator.debug.stop import StopKind
from emulator.errors import Cancelled
from emulator.guest.disassembler import call_length
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.dap.client import Client
    from emulator.debug.dap.failed_allocations import FailedAllocations
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Stop
    from emulator.replay.moment import Moment
    from emulator.replay.newest_write import Write

INSTRUCTION: Final = "instruction"
GRANULARITIES: Final = ("statement", "line", INSTRUCTION)
"""Of steps; statements are lines."""


class Moves:
    """Moves one kernel.

    Args:
        debugger: Of the kernel.
        client: Is heard while it moves.
        serve: Serves the messages that have come in the middle of a run.
        failed: Looks for allocations that fail.
    """

    def __init__(
        self, debugger: Debugger, client: Client, serve: Callable[[], None], failed: FailedAllocations
    ) -> None:
        self._debugger = debugger
        self._client = client
        self._serve = serve
        self._failed = failed

    def run(self) -> Stop:
        """Go on until something stops the kernel."""
        return self._failed.forwards(lambda: self._heard(self._debugger.run, goes_on=True))

    def back(self) -> Stop:
        """Go back until something stops the kernel."""
        return self._failed.backwards(lambda: self._heard(self._debugger.back))

    def over(self, granularity: str) -> Stop:
        """Go to the next line, or instruction, over calls."""
        if not self._by_instruction(granularity):
            return self._heard(self._debugger.next_line)
        length = call_length(self._debugger.machine)
        return self._heard(lambda: self._debugger.step() if not length else self._over_call(length))

    def into(self, granularity: str) -> Stop:
        """Go to the next line, or instruction, into calls."""
        by_instruction = self._by_instruction(granularity)
        return self._heard(self._debugger.step if by_instruction else self._debugger.step_line)

    def out(self) -> Stop:
        """Go to where the function has returned to."""
        return self._heard(self._debugger.finish)

    def step_back(self, granularity: str) -> Stop:
        """Go back to the line, or instruction, before, over calls."""
        by_instruction = self._by_instruction(granularity)
        return self._heard(self._debugger.step_back if by_instruction else self._debugger.next_line_back)

    def _by_instruction(self, granularity: str) -> bool:
        """Return whether steps are by instructions; in a kernel without source lines they always are."""
        return granularity == INSTRUCTION or not self._debugger.image.has_source_lines

    def who(self, address: int, size: int) -> Write | None:
        """Return the last write to some bytes before here, see `Debugger.who`.

        Raises:
            BadRequest: The client wanted it to stop.
            ValueError: They are not mapped, or no RAM.
        """
        begin = self._debugger.moment
        try:
            with self._client.heard(self._debugger.cancel, all_messages=False):
                return self._debugger.who(address, size)
        except Cancelled:
            self._debugger.machine.forget_stop()
            self._debugger.go_to(begin)
            raise BadRequest("it was stopped before it was found") from None
        finally:
            self._debugger.machine.forget_stop()

    def _over_call(self, length: int) -> Stop:
        """Go to the instruction after a call, in the same frame."""
        registers = self._debugger.machine.registers()
        slot, after = registers.esp - WORD_SIZE, registers.pc + length & WORD_MAX
        return self._debugger.run_to(after, lambda d: has_returned(d.machine.registers().esp, slot))

    def _heard(self, move: Callable[[], Stop], *, goes_on: bool = False) -> Stop:
        """Move, and hear the client.

        Args:
            move: What to do.
            goes_on: It can be done again from where it was cancelled, and does the same then as if it had not been; so all messages are heard.
        """
        begin = self._debugger.moment
        while True:
            try:
                with self._client.heard(self._debugger.cancel, all_messages=goes_on):
                    stop = self._moved(move, begin)
            finally:
                self._debugger.machine.forget_stop()  # a request that came too late
            if stop.kind is not StopKind.CANCELLED or self._client.wants_stop:
                return stop
            if goes_on:
                self._serve()
            else:
                self._debugger.go_to(begin)

    def _moved(self, move: Callable[[], Stop], begin: Moment) -> Stop:
        try:
            return move()
        except Cancelled:
            self._debugger.machine.forget_stop()
            return self._debugger.go_to(begin)._replace(kind=StopKind.CANCELLED)
