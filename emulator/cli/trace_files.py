"""Read the trace that a command line names, and name the file that a command makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emulator.cli.status import CommandLineError
from emulator.errors import BadFile
from emulator.wording import printable

if TYPE_CHECKING:
    from emulator.trace.trace import Trace


def read_trace(name: str, area: str | None) -> Trace:
    """Read a trace.

    Args:
        name: Its file.
        area: The area that a command is to show; None for all.

    Raises:
        BadFile: The file is none.
        CommandLineError: The trace has no such area.
    """
    from emulator.loader.builtin import PREFIX  # not for --help
    from emulator.trace.trace import Trace

    if name.startswith(PREFIX):
        raise BadFile(name, f"is a kernel; kmemu trace {name} -o run.kmt makes a trace of its run")
    trace = Trace.read(name)
    if area is not None and area not in trace.areas:
        raise CommandLineError(f"no area {area!r} in the trace; there are: {', '.join(trace.areas)}")
    return trace


def output_path(trace_name: str, output: str | None, suffix: str) -> str:
    """Return the file that is made of a trace: *output*, or else one beside the trace with another suffix.

    Raises:
        CommandLineError: It is the trace itself.
    """
    trace = Path(trace_name)
    path = output or str(trace.with_name(trace.name.removesuffix(".kmt") + suffix))
    if Path(path).exists() and trace.exists() and Path(path).samefile(trace):
        raise CommandLineError(f"{path} is the trace itself")
    return path


def written_line(path: str, trace: Trace, hint: str = "") -> str:
    """Return the line that says which file a trace was written to."""
    return f"wrote {printable(path)}{hint}{'' if trace.complete else '; the trace is incomplete'}"
