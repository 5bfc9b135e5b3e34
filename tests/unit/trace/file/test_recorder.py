"""A machine's calls become a trace."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator import Mode, Trace, boot, record_trace
from emulator.errors import TraceNotWritten
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.trace.file.writer import TraceWriter
from tests.helpers.guest import core_of

if TYPE_CHECKING:
    from emulator.trace.file.writer import Definitions
    from emulator.trace.table import Call, Chunk

DOCS = Path(__file__).parents[4] / "docs"


def trace_of(kernel: str, path: Path, **description: object) -> Trace:
    machine = boot(kernel, **description)  # type: ignore[arg-type]
    with record_trace(machine, path):
        machine.run()
    return Trace.read(str(path))


def test_a_trace_has_calls_with_named_frames(tmp_path: Path) -> None:
    trace = trace_of("firmware:leak", tmp_path / "run.kmt")
    assert trace.complete
    assert len(trace) == 69
    assert [str(frame) for frame in trace.frames(trace[6].stack)] == [
        "open_session+0x1a session.c:29".replace("session.c", "leak.c"),
        "serve+0x10 leak.c:61",
        "kmain+0x48 leak.c:76",
        "_start+0x33 entry.S:47",
    ]


def test_what_leaks_is_live_at_the_end(tmp_path: Path) -> None:
    trace = trace_of("firmware:leak", tmp_path / "run.kmt")
    live = trace.live(None, "heap")
    assert len(live.size) == 11
    assert {trace.frames(int(stack))[0].function for stack in live.stack} == {
        "load_config",
        "open_session",
        "write_log",
    }


def test_the_trace_of_a_model_is_that_of_the_native_code(tmp_path: Path) -> None:
    def calls(mode: Mode) -> list[Call]:
        layers = {"heap": mode, "memmap": mode}
        trace = trace_of("firmware:fragment", tmp_path / f"{mode.value}.kmt", layers=layers)
        return [
            call._replace(
                time_ns=0, left_time_ns=0, result=None if call.function in VOID else call.result, stack=0
            )
            for call in trace
            if call.depth == 0
        ]

    native = calls(Mode.NATIVE)
    assert len(native) > 100
    assert [call[3:5] for call in calls(Mode.MODEL)] == [call[3:5] for call in native]
    assert [call.result for call in calls(Mode.MODEL)] == [call.result for call in native]


VOID = {"kfree", "mem_init", "memmap_init", "memmap_reserve"}


def test_an_error_in_the_block_leaves_a_readable_trace(tmp_path: Path) -> None:
    path = tmp_path / "run.kmt"

    def interrupted() -> None:
        machine = boot("firmware:leak")
        with record_trace(machine, path):
            machine.run(stop_at_event=20)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    trace = Trace.read(str(path))
    assert (trace.complete, len(trace)) == (False, 0)  # there was not yet anything to write


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(TraceNotWritten, match="No such file or directory"),
        record_trace(boot("firmware:leak"), tmp_path / "none" / "run.kmt"),
    ):
        pass


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    function = TracedFunction("memset", "none", Role.OTHER, ("to", "byte", "count"), Result.POINTER)
    machine = boot("firmware:leak")
    with record_trace(machine, tmp_path / "run.kmt", Profile("mine", (function,))):
        machine.run()
    trace = Trace.read(str(tmp_path / "run.kmt"))
    assert {call.function for call in trace} == {"memset"}
    assert trace.areas == ()


def test_the_documented_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "trace.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - it is our own
    assert str(names["trace"].peak("heap")) == re.findall(r"# (Peak\(.*\))", code)[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_chunk_whose_writing_is_interrupted_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    write = TraceWriter.write
    machine = boot("firmware:leak")
    path = tmp_path / "run.kmt"

    def interrupted(writer: TraceWriter, chunk: Chunk, definitions: Definitions) -> None:
        if where == "behind":
            write(writer, chunk, definitions)
        monkeypatch.undo()
        raise KeyboardInterrupt

    with record_trace(machine, path) as recorder:
        machine.run()
        monkeypatch.setattr(TraceWriter, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recorder.recording.flush()
    trace = Trace.read(str(path))
    assert trace.ending is None
    assert (len(trace) > 0) == (where == "behind")


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("while_running", [True, False])
def test_ctrl_c_while_a_chunk_is_written_waits_until_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, *, while_running: bool
) -> None:
    write = TraceWriter.write
    machine = boot("firmware:leak")
    path = tmp_path / "run.kmt"

    def ctrl_c(writer: TraceWriter, chunk: Chunk, definitions: Definitions) -> None:
        monkeypatch.undo()
        if where == "before":
            signal.raise_signal(signal.SIGINT)
        write(writer, chunk, definitions)
        if where == "behind":
            signal.raise_signal(signal.SIGINT)

    with record_trace(machine, path) as recorder:
        if while_running:
            machine.pause_after(20_000, recorder.recording.flush)
        else:
            machine.run()
        monkeypatch.setattr(TraceWriter, "write", ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            machine.run() if while_running else recorder.recording.flush()
        assert not recorder.recording.torn
        if while_running:
            machine.run()
    trace = Trace.read(str(path))
    assert trace.complete
    assert len(trace) == 69


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = boot("firmware:leak")

    def hangs(*_arguments: object) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second one waits")

    with record_trace(machine, tmp_path / "run.kmt") as recorder:
        machine.run()
        monkeypatch.setattr(TraceWriter, "write", hangs)
        with pytest.raises(KeyboardInterrupt):
            recorder.recording.flush()
        monkeypatch.undo()
        assert recorder.recording.torn
    assert not Trace.read(str(tmp_path / "run.kmt")).complete


def test_ctrl_c_just_before_full_rows_are_handed_over_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "run.kmt"
    machine = boot("firmware:stress", command_line="calls=50000")
    with record_trace(machine, path):
        machine.pause_after(1 << 62, pytest.fail)  # before that, rows are written although they are not full
        core = core_of(machine)
        hand_over = core.calls_full

        def interrupted() -> None:
            core.calls_full = hand_over
            raise KeyboardInterrupt

        core.calls_full = interrupted
        with pytest.raises(KeyboardInterrupt):
            machine.run()
        machine.run()
    assert Trace.read(str(path)).complete
