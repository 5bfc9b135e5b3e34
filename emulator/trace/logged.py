"""The trace of calls that are kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.trace.trace import Trace

if TYPE_CHECKING:
    from emulator.guest.symbolizer import Frame, Symbolizer
    from emulator.machine.recording import Recording
    from emulator.profile.model import Profile
    from emulator.trace.table import CallTable


class LoggedTrace(Trace):
    """Calls of a log as a trace. It has no header, no ending and no file.

    Args:
        calls: Those of the log so far, or all that it had.
        recording: What they come from.
        symbolizer: Of the machine's kernel.
    """

    def __init__(self, calls: CallTable, recording: Recording, symbolizer: Symbolizer) -> None:
        self.calls = calls
        self.event_count = recording.event_count
        self._recording = recording
        self._symbolizer = symbolizer
        self._flat = None
        self._histories = {}
        self._places = {}
        self._usages = {}

    @property
    def profile(self) -> Profile:
        """What the functions mean."""
        return self.calls.profile

    @property
    def stack_count(self) -> int:
        """Highest number of a call stack."""
        return len(self._recording.machine.stacks)

    def frames(self, stack: int) -> tuple[Frame, ...]:
        """Return a call stack, as `Trace.frames` does."""
        return self._symbolizer.callers(self._recording.stack(stack))
