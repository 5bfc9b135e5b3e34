"""Running a kernel while its trace is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli.running import run_to_end
from emulator.guest.memory_map.reader import read_memory_map
from emulator.report.run_record import How
from emulator.trace.file.header import MemoryArea, TraceEnding
from emulator.trace.file.recorder import TraceRecorder, trace_header
from emulator.trace.file.writer import TraceWriter

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.report.run_record import Ending


def chosen_profile(image: KernelImage, file: str | None) -> Profile:
    """Return the profile that a command uses: the user's, or else the known one that fits the kernel.

    Raises:
        BadProfile: The user's file is none.
        NoFunctionFound: No function of a profile is in the kernel.
    """
    from emulator.profile.known import match, matching_profile
    from emulator.profile.reader import read_profile

    return matching_profile(image) if file is None else match(read_profile(file), image)


def record_run(
    machine: Machine, profile: Profile, path: str, options: Namespace, on_progress: Callable[[int], None]
) -> Ending:
    """Run a machine to its end and write the trace of that.

    Args:
        machine: Not yet run.
        profile: What to record.
        path: The trace's file.
        options: Of the command: its words, the kernel's name, the machine's layers, the budgets.
        on_progress: Is told the number of the last event now and then.

    Raises:
        TraceNotWritten: The file cannot be written; what it holds by then can be read.
    """
    from emulator import __version__  # slow

    header = trace_header(
        machine,
        profile,
        kernel=options.kernel,
        version=__version__,
        command_line=options.words,
        layers={name: mode.value for name, mode in options.layer},
    )
    writer = TraceWriter(path, header)
    try:
        recorder = TraceRecorder(machine, profile, writer, on_progress)
        ending = run_to_end(machine, options.max_instructions, options.timeout)
        recorder.finish()
    except BaseException:
        writer.abandon()
        raise
    recorder.close(_trace_ending(machine, ending, recorder))
    return ending


def _trace_ending(machine: Machine, ending: Ending, recorder: TraceRecorder) -> TraceEnding:
    memory_map = read_memory_map(machine)
    how = ending.how.value
    if ending.how in (How.STOPPED, How.DIVERGED) and ending.error:
        how += f": {ending.error[1].splitlines()[0]}"
    return TraceEnding(
        how=how,
        exit_value=ending.exit_value,
        events=recorder.recording.event_count,
        calls=recorder.calls,
        memory_map=tuple(
            MemoryArea(region.start, region.end, region.kind.value, "") for region in memory_map.inside_ram()
        ),
    )
