"""Runs that are recorded into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import Trace, boot
from emulator.errors import TraceNotWritten
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile, Result, Role, TracedFunction
from emulator.run.ending import NO_LIMIT, Budget, How
from emulator.run.recorded import record_run
from emulator.trace.file.header import TraceEnding
from emulator.trace.file.recorder import trace_header
from tests.helpers.guest import FUNCTION, machine_of

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording
    from emulator.trace.file.header import TraceHeader

TAKE = Profile("one", (TracedFunction("take", "all", Role.ALLOC, ("size",), Result.POINTER),))


def header_of(machine: Machine, profile: Profile) -> TraceHeader:
    return trace_header(machine, profile, kernel="k", version="1", command_line=(), layers={})


def test_a_run_becomes_a_trace_with_its_end(tmp_path: Path) -> None:
    machine = boot("firmware:leak")
    header = header_of(machine, matching_profile(machine.image))
    started: list[Recording] = []
    events: list[int] = []
    path = tmp_path / "run.kmt"
    ending = record_run(
        machine,
        path,
        header,
        NO_LIMIT,
        on_start=started.append,
        on_progress=events.append,
        with_memory_map=True,
    )
    trace = Trace.read(str(path))
    assert (ending.how, ending.exit_value) == (How.EXIT, 0)
    assert trace.ending is not None
    assert trace.ending == TraceEnding("exit", 0, 138, 69, trace.ending.memory_map)
    assert {area.kind for area in trace.ending.memory_map} >= {"image", "heap"}
    assert started[0].event_count == events[-1] == 138


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("cli\n hlt", "halted"),
        ("ud2", "stopped: triple fault: "),
        ("movl $0xf0000, %eax\n jmp *%eax", "stopped: kmemu has no BIOS: "),
        ("1: jmp 1b", "budget used up"),
    ],
)
def test_a_trace_says_in_a_line_how_the_run_ended(source: str, how: str, tmp_path: Path) -> None:
    machine = machine_of(FUNCTION + source + "\nfunction take\nret\nends take\n")
    record_run(machine, tmp_path / "run.kmt", header_of(machine, TAKE), Budget(1000))
    ending = Trace.read(str(tmp_path / "run.kmt")).ending
    assert ending is not None
    assert ending.how.startswith(how)
    assert ending.how == how or how.endswith(" ")


def test_what_is_raised_at_the_start_leaves_a_readable_trace(tmp_path: Path) -> None:
    machine = boot("firmware:leak")

    def fail(_recording: Recording) -> None:
        raise TraceNotWritten("a", "b")

    path = tmp_path / "run.kmt"
    with pytest.raises(TraceNotWritten):
        record_run(
            machine, path, header_of(machine, matching_profile(machine.image)), NO_LIMIT, on_start=fail
        )
    assert Trace.read(str(path)).ending is None
