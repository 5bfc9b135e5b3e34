"""Run a kernel and write its trace meanwhile."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from emulator.profile.known import matching_profile
from emulator.run.ending import How
from emulator.run.to_end import run_to_end
from emulator.trace.file.header import MemoryArea, TraceEnding
from emulator.trace.file.recorder import TraceRecorder, trace_header
from emulator.trace.file.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from emulator.hle.layers import LockstepCalls
    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording
    from emulator.profile.model import Profile
    from emulator.run.ending import Budget, Ending
    from emulator.trace.file.header import TraceHeader
    from emulator.trace.trace import Trace


def record_run(  # noqa: PLR0913 - the run, and who takes part in it
    machine: Machine,
    path: str | PathLike[str],
    header: TraceHeader,
    budget: Budget,
    *,
    on_start: Callable[[Recording], None] = lambda _recording: None,
    on_progress: Callable[[int], None] = lambda _event: None,
    with_memory_map: bool = False,
) -> Ending:
    """Run a machine to its end and write the trace of that.

    Args:
        machine: Not yet run, with its layers attached.
        path: The trace's file. It can be read after the run, whatever ended that.
        header: What the trace says of the run. The calls of its profile's functions are recorded.
        budget: What the run may take.
        on_start: Called with the recording before the first instruction.
        on_progress: Called with the number of the last event now and then.
        with_memory_map: The trace says what memory is used for at the end.

    Raises:
        TraceNotWritten: The file cannot be written; what it holds by then can be read.
    """
    with _recorder(machine, path, header, on_progress) as recorder:
        on_start(recorder.recording)
        ending = run_to_end(machine, budget)
    how = ending.how.value
    if ending.how in (How.STOPPED, How.NOT_EMULATED, How.DIVERGED):
        how += f": {ending.problem}"
    memory_map = _memory_map(machine) if with_memory_map else ()
    lockstep = _lockstep(machine) if header.layers else None
    _close(recorder, TraceEnding(how, ending.exit_value, 0, 0, memory_map, ending.lacks, lockstep))
    return ending


def trace_so_far(recording: Recording, path: str | PathLike[str]) -> Trace:
    """Return the trace of a run that goes on.

    Args:
        recording: As `record_run` has handed it over.
        path: The trace's file.
    """
    from emulator.trace.trace import Trace  # has numpy

    recording.flush()
    return Trace.read(str(path))


@contextmanager
def record_trace(
    machine: Machine, path: str | PathLike[str], profile: Profile | None = None
) -> Iterator[TraceRecorder]:
    """Record what a machine does inside the block into a trace.

    Args:
        machine: Whose guest. Attach its layers first.
        path: The trace's file. It can be read after the block, whatever ended that.
        profile: What to record; the known one that fits the kernel if it is None.

    Raises:
        KernelMismatch: None fits.
        TraceNotWritten: The file cannot be written.
    """
    from emulator import __version__  # slow

    chosen = matching_profile(machine.image) if profile is None else profile
    header = trace_header(
        machine, chosen, kernel=machine.image.path, version=__version__, command_line=(), layers={}
    )
    with _recorder(machine, path, header, lambda _event: None) as recorder:
        yield recorder
    _close(recorder, TraceEnding("the recording ended", None, 0, 0, lacks=machine.unanswered.lacks()))


@contextmanager
def _recorder(
    machine: Machine, path: str | PathLike[str], header: TraceHeader, on_progress: Callable[[int], None]
) -> Iterator[TraceRecorder]:
    """Record what happens in the block; what is recorded by then stays readable if the block fails."""
    writer = TraceWriter(path, header)
    try:
        recorder = TraceRecorder(machine, header.profile, writer, on_progress)
        yield recorder
        recorder.finish()
    except BaseException:
        writer.abandon()
        raise


def _close(recorder: TraceRecorder, ending: TraceEnding) -> None:
    """Write the ending, with the numbers of the last event and call."""
    recorder.close(replace(ending, events=recorder.recording.event_count, calls=recorder.calls))


def _lockstep(machine: Machine) -> LockstepCalls | None:
    from emulator.hle.layers import lockstep_calls  # has been imported where there are layers

    return lockstep_calls(machine)


def _memory_map(machine: Machine) -> tuple[MemoryArea, ...]:
    from emulator.guest.memory_map.reader import read_memory_map  # not for check

    regions = read_memory_map(machine).inside_ram()
    return tuple(MemoryArea(region.start, region.end, region.kind.value, "") for region in regions)
