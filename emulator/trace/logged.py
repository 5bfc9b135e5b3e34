"""The trace of calls that are kept in memory, while the machine goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.trace.trace import Trace

if TYPE_CHECKING:
    from emulator.guest.symbolizer import Frame, Symbolizer
    from emulator.profile.model import Profile
    from emulator.trace.recording import CallLog


class LoggedTrace(Trace):
    """The calls of a log so far, as a trace. It has no header, no ending and no file.

    Args:
        log: The log; calls that come later are not in the trace.
        symbolizer: Of the machine's kernel.
    """

    def __init__(self, log: CallLog, symbolizer: Symbolizer) -> None:
        self.calls = log.calls()
        self.event_count = log.recording.event_count
        self._log = log
        self._symbolizer = symbolizer
        self._histories = {}
        self._places = {}
        self._usages = {}

    @property
    def profile(self) -> Profile:
        """What the functions mean."""
        return self._log.profile

    @property
    def stack_count(self) -> int:
        """Highest number of a call stack."""
        return len(self._log.recording.machine.stacks)

    def frames(self, stack: int) -> tuple[Frame, ...]:
        """Return a call stack, as `Trace.frames` does."""
        return self._symbolizer.callers(self._log.recording.stack(stack))
