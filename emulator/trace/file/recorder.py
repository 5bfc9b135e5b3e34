"""Record a run into a trace file: the calls that a recording hands over are written while the kernel runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from emulator.guest.symbolizer import Symbolizer
from emulator.trace.file.header import TracedSegment, TraceEnding, TraceHeader
from emulator.trace.recording import record_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from emulator.machine.core.call_recorder import LateReturn
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.trace.file.writer import TraceWriter
    from emulator.trace.table import Chunk

_FIRST_PAUSE: Final = 1 << 20
"""Instructions, about a millisecond, until calls are written although there are few of them; doubled up to the longest pause."""
_LONGEST_PAUSE: Final = 1 << 29


class TraceRecorder:
    """Records the calls of a profile's functions from now on; use one for each machine.

    Args:
        machine: Whose guest. Attach its layers first.
        profile: Functions that the kernel has.
        writer: Of the file that the calls go into.
        on_progress: Called with the number of the last event after each chunk.

    Raises:
        KernelMismatch: The kernel lacks a function.
        UnsupportedFunction: There is no code at a function's symbol.

    Attributes:
        recording: The recording beneath.
        calls: Calls written so far.
    """

    def __init__(
        self,
        machine: Machine,
        profile: Profile,
        writer: TraceWriter,
        on_progress: Callable[[int], None] = lambda _event: None,
    ) -> None:
        self._writer = writer
        self._on_progress = on_progress
        self._symbolizer = Symbolizer(machine.image)
        self.calls = 0
        self._machine = machine
        self._pause = _FIRST_PAUSE
        self.recording = record_calls(machine, profile, self._take)
        machine.pause_after(self._pause, self._write_now)

    def finish(self) -> None:
        """Write what is left.

        Raises:
            TraceNotWritten: The file cannot be written. A run that is going on ends with the same.
        """
        if not self.recording.torn:
            self.recording.flush()

    def close(self, ending: TraceEnding) -> None:
        """Make the file whole, after `finish`. If the run was interrupted while it was written, it stays a trace without an ending.

        Raises:
            TraceNotWritten: The file cannot be written.
        """
        if self.recording.torn:
            self._writer.abandon()
        else:
            self._writer.close(ending)

    def _write_now(self) -> None:
        """Write what there is, so that it is not lost when the run is killed."""
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._machine.pause_after(self._pause, self._write_now)
        self.recording.flush()

    def _take(
        self,
        chunk: Chunk,
        late_returns: Sequence[LateReturn],
        new_stacks: Iterator[tuple[int, tuple[int, ...]]],
    ) -> None:
        self.calls += chunk.rows
        if chunk.rows:
            definitions = [(row, self._symbolizer.callers(stack)) for row, stack in new_stacks]
            self._writer.write(chunk, definitions)
        for late in late_returns:
            self._writer.amend(late.call, late.result, late.out, late.left, late.left_time_ns)
        self._on_progress(self.recording.event_count)


def trace_header(
    machine: Machine,
    profile: Profile,
    *,
    kernel: str,
    version: str,
    command_line: Sequence[str],
    layers: Mapping[str, str],
) -> TraceHeader:
    """Return what a trace says of a machine's run.

    Args:
        machine: Whose run.
        profile: What is recorded.
        kernel: The kernel as the user named it.
        version: Of this program.
        command_line: The words after the program's name.
        layers: Layer -> mode.
    """
    image = machine.image
    return TraceHeader(
        kmemu=version,
        kernel=kernel,
        sha256=hashlib.sha256(image.data).hexdigest(),
        segments=tuple(TracedSegment(each.physical, each.virtual, each.size) for each in image.segments),
        ram=(machine.ram.start, machine.ram.end),
        command_line=tuple(command_line),
        layers=dict(layers),
        profile=profile,
    )
