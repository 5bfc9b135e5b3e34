"""Recording into a file: what it costs, and what others take for the same job."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from in_process import machine_of
from measure import Row, at_least, at_most, medians, need_tool, output_of, qemu_command, seconds_of

from emulator import __version__
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.code.exits import find_exits
from emulator.profile.known import matching_profile
from emulator.trace.file.header import TraceEnding
from emulator.trace.file.recorder import TraceRecorder, trace_header
from emulator.trace.file.writer import TraceWriter

DISK = "/var/tmp"  # noqa: S108 - /tmp may be in memory
SCRIPTS = Path(__file__).parent / "peers"
CALLS_MIN = 2_000_000
GDB_STEPS = 300
UNICORN_RUN = "calls=100000"


class Traced(NamedTuple):
    """A run into a file: calls in there, and seconds of the run with all writing."""

    calls: int
    seconds: float


def traced(command_line: str = "") -> Traced:
    """Run stress with its trace written, made ready before the clock starts."""
    machine = machine_of("stress", command_line)
    profile = matching_profile(machine.image)
    header = trace_header(
        machine, profile, kernel="firmware:stress", version=__version__, command_line=(), layers={}
    )
    with tempfile.TemporaryDirectory(prefix="kmemu-", dir=DISK) as folder:
        writer = TraceWriter(Path(folder) / "run.kmt", header)
        recorder = TraceRecorder(machine, profile, writer)

        def run() -> None:
            machine.run()
            recorder.finish()
            writer.close(TraceEnding("exit", 0, recorder.recording.event_count, recorder.calls))

        elapsed = seconds_of(run)
    return Traced(recorder.calls, elapsed)


def trace_file() -> Row:
    """The whole of stress into a file, against the same run without."""
    calls = []

    def recorded() -> float:
        run = traced()
        calls.append(run.calls)
        return run.seconds

    plain_s, recorded_s = medians(7, lambda: seconds_of(machine_of("stress").run), recorded)
    if calls[0] < CALLS_MIN:
        raise RuntimeError(f"stress makes {calls[0]} calls only: not the long run that is asked for")
    ratio = recorded_s / plain_s
    return Row(
        name="trace-file",
        what=f"stress with {calls[0] / 1e6:.1f} M calls and their stacks into a file",
        measured=f"{recorded_s:.2f} s",
        peer=f"not recorded {plain_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, 1.3, "ratio <= 1.3"),
    )


def job() -> dict[str, Any]:
    """What the peers' scripts are given: functions with their words of arguments, and where they end."""
    image = KernelImage.read(resolve("firmware:stress"))
    functions = matching_profile(image).functions
    symbols = [symbol for each in functions if (symbol := image.symbol(each.name)) is not None]
    return {
        "functions": [[each.name, len(each.parameters)] for each in functions],
        "exits": sorted({address for symbol in symbols for address in find_exits(image, symbol).returns}),
    }


def check_calls(peer: str, theirs: dict[str, Any], command_line: str) -> int:
    """Return how many calls a peer saw.

    Raises:
        RuntimeError: It did not see the calls and returns that we see.
    """
    ours = traced(command_line).calls
    if (theirs["calls"], theirs["results"]) != (ours, ours):
        raise RuntimeError(
            f"{peer} saw {theirs['calls']} calls, {theirs['results']} returns; we saw {ours} of both"
        )
    return ours


def gdb_run(steps: int) -> tuple[float, dict[str, Any]]:
    """Run stress in QEMU with gdb's script; return the seconds of the whole, and what the script says."""
    kernel = Path(resolve("firmware:stress"))
    qemu = [*qemu_command(kernel, f"calls={steps}", serial="null"), "-S", "-gdb", "stdio"]
    command = ["gdb", "-batch", "-nx", "-x", str(SCRIPTS / "gdb_script.py"), str(kernel)]
    started = time.perf_counter()
    output = output_of(command, {"JOB": json.dumps(job() | {"qemu": qemu})})
    return time.perf_counter() - started, json.loads(output.splitlines()[-1])


def trace_vs_gdb() -> Row:
    """Time of a call in a run with all of them, against gdb's with breakpoints that keep the same.

    gdb is far too slow for all of stress. Its start-up is taken off: what it takes with no random calls.
    """
    need_tool("gdb", "gdb")
    calls = [check_calls("gdb", gdb_run(steps)[1], f"calls={steps}") for steps in (GDB_STEPS, 0)]
    ours_s, gdb_s, nothing_s = medians(
        5, seconds_of_a_call, lambda: gdb_run(GDB_STEPS)[0], lambda: gdb_run(0)[0]
    )
    gdb_call_s = (gdb_s - nothing_s) / (calls[0] - calls[1])
    speed_up = gdb_call_s / ours_s
    return Row(
        name="trace-vs-gdb",
        what="run of stress with each call in a file: time of a call",
        measured=f"{ours_s * 1e6:.2f} us",
        peer=f"gdb's breakpoints in QEMU {gdb_call_s * 1e6:.0f} us",
        ratio=ours_s / gdb_call_s,
        target=at_least(speed_up, 500, ">= 500 x faster"),
        notes=(
            f"gdb keeps {calls[0] - calls[1]} calls, without its start-up; we all of stress, with what is between them",
        ),
    )


def seconds_of_a_call() -> float:
    """Time all of stress; return that for each call, with everything between them."""
    run = traced()
    return run.seconds / run.calls


def unicorn_run(command_line: str) -> dict[str, Any]:
    """Run the script with unicorn's hooks; in a process of its own, as our core takes the place of parts of libunicorn."""
    task = json.dumps(job() | {"command_line": command_line})
    script = str(SCRIPTS / "unicorn_script.py")
    facts: dict[str, Any] = json.loads(
        output_of([sys.executable, script, str(resolve("firmware:stress")), task])
    )
    return facts


def trace_vs_unicorn() -> Row:
    """The same calls into a file, against a Python script with hooks of the unicorn package. Both without start-up."""
    calls = check_calls("the script", unicorn_run(UNICORN_RUN), UNICORN_RUN)
    ours_s, script_s = medians(
        5, lambda: traced(UNICORN_RUN).seconds, lambda: unicorn_run(UNICORN_RUN)["seconds"]
    )
    speed_up = script_s / ours_s
    return Row(
        name="trace-vs-unicorn",
        what=f"stress with {calls} calls into a file",
        measured=f"{ours_s * 1e3:.0f} ms",
        peer=f"script with unicorn's hooks {script_s * 1e3:.0f} ms",
        ratio=ours_s / script_s,
        target=at_least(speed_up, 10, ">= 10 x faster"),
    )
