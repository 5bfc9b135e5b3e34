"""Writing: what goes in comes out, late returns, and files that cannot be written."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emulator.errors import TraceNotWritten
from emulator.profile.model import PAGES, Profile
from emulator.trace.file.writer import TraceWriter
from emulator.trace.trace import Trace
from tests.helpers.traces import PROFILE, WHO, TraceBuilder, header


def several() -> TraceBuilder:
    builder = TraceBuilder()
    builder.call("kmalloc", 64, result=0x10A008)
    builder.enter("kcalloc", 3, 32, stack=())
    builder.call("alloc_frame", result=0x200, stack=WHO[1:])
    builder.leave(0x200008)
    builder.call("get_blk", 0x5000, 7, 100, out=0x300000)
    builder.enter("tick", 5)
    return builder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    builder = several()
    trace = builder.trace(tmp_path / "a.kmt", chunk=2)
    assert [(call.function, call.arguments, call.result, call.out, call.stack) for call in trace] == [
        ("kmalloc", (64,), 0x10A008, None, 1),
        ("kcalloc", (3, 32), 0x200008, None, 0),
        ("alloc_frame", (), 0x200, None, 2),
        ("get_blk", (0x5000, 7, 100), 0, 0x300000, 1),
        ("tick", (5,), None, None, 1),
    ]
    assert [(call.parent, call.depth, call.entered, call.left) for call in trace] == [
        (0, 0, 1, 2),
        (0, 0, 3, 6),
        (2, 1, 4, 5),
        (0, 0, 7, 8),
        (0, 0, 9, None),
    ]
    assert trace.frames(1) == WHO
    assert trace.frames(2) == WHO[1:]
    assert trace.header == header()
    assert trace.ending == builder.ending()


def test_the_same_run_makes_the_same_bytes(tmp_path: Path) -> None:
    digests = {
        hashlib.sha256(several().write(tmp_path / name, chunk=3).read_bytes()).hexdigest() for name in "abc"
    }
    assert len(digests) == 1


def test_a_chunk_of_many_stacks(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for index in range(100):
        builder.call("kmalloc", index, stack=WHO[index % 2 :] * (index // 3), result=8)
    trace = builder.trace(tmp_path / "a.kmt", chunk=30)
    stacks = {
        frames: number for number in range(1, trace.stack_count + 1) for frames in [trace.frames(number)]
    }
    assert stacks == builder.stacks


@pytest.mark.parametrize("call", range(1, 21))
def test_a_late_return_completes_its_row(tmp_path: Path, call: int) -> None:
    builder = TraceBuilder()
    for size in range(20):
        builder.enter("kmalloc", size)
        builder.stay()
    writer = TraceWriter(tmp_path / "late.kmt", header())
    for chunk in builder.chunks(9):
        writer.write(*chunk)
    writer.amend(call, 0x10A008, 0xFFFF_FFFE, 21, (1 << 64) - 1)
    writer.close(replace(builder.ending(), events=21))
    trace = Trace.read(tmp_path / "late.kmt")
    for each in trace:
        after = (each.result, each.left, each.left_time_ns)
        expected = (0x10A008, 21, (1 << 64) - 1) if each.number == call else (None,) * 3
        assert after == expected
    assert trace.calls.out.tolist() == [0xFFFF_FFFE if each.number == call else 0 for each in trace]
    assert trace.calls.returned.nonzero()[0].tolist() == [call - 1]
    assert trace.blocks("heap").born_call.tolist() == [call]


@pytest.mark.parametrize("call", [0, 6, 7])
def test_a_call_that_has_not_been_written_is_not_completed(tmp_path: Path, call: int) -> None:
    writer = TraceWriter(tmp_path / "late.kmt", header())
    writer.write(*several().chunks()[0])
    with pytest.raises(IndexError, match=rf"^call {call} has not been written$"):
        writer.amend(call, 0, 0, 0, 0)
    writer.abandon()


def test_a_recording_that_was_abandoned_can_be_read(tmp_path: Path) -> None:
    trace = Trace.read(str(several().write(tmp_path / "cut.kmt", complete=False)))
    assert not trace.complete
    assert trace.ending is None
    assert trace.event_count == 9
    assert len(trace) == 5


def test_a_recording_without_calls(tmp_path: Path) -> None:
    trace = TraceBuilder().trace(tmp_path / "none.kmt")
    assert trace.complete
    assert list(trace) == []
    assert trace.usage("heap").events.tolist() == [0]
    assert trace.by_stack("frames") == []
    assert trace.to_arrow().num_rows == 0


KILLED = """
import os, signal, sys
from tests.helpers.traces import TraceBuilder, header
from emulator.trace.file.writer import TraceWriter
builder = TraceBuilder()
for size in range(100):
    builder.call("kmalloc", size, result=8 * size + 8)
writer = TraceWriter(sys.argv[1], header())
for chunk in builder.chunks(30)[:3]:
    writer.write(*chunk)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_all_whole_chunks(tmp_path: Path) -> None:
    path = str(tmp_path / "killed.kmt")
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False, cwd=Path(__file__).parents[4])
    assert done.returncode == -9
    trace = Trace.read(path)
    assert (len(trace), trace.complete) == (90, False)
    assert [call.arguments[0] for call in trace] == list(range(90))


def test_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.kmt"
    with pytest.raises(
        TraceNotWritten, match=rf"^{path}: the trace cannot be written: No such file or directory$"
    ) as caught:
        TraceWriter(path, header())
    assert caught.value.path == str(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TraceNotWritten, match=rf"^{tmp_path}: the trace cannot be written: .*$"):
        TraceWriter(tmp_path, header())


def test_a_full_disk() -> None:
    with pytest.raises(
        TraceNotWritten, match=r"^/dev/full: the trace cannot be written: No space left on device$"
    ):
        TraceWriter("/dev/full", header())


def test_the_columns_may_be_used_again(tmp_path: Path) -> None:
    """The core fills the same memory once a chunk is written."""
    writer = TraceWriter(tmp_path / "a.kmt", header())
    chunk, definitions = several().chunks()[0]
    columns = {name: column.copy() for name, column in chunk.columns.items()}
    writer.write(chunk._replace(columns=columns), definitions)
    for column in columns.values():
        column[:] = 0
    writer.close(several().ending())
    assert list(Trace.read(tmp_path / "a.kmt")) == list(several().trace(tmp_path / "b.kmt"))


@pytest.mark.parametrize("rows", [4, 6])
def test_a_column_of_another_length(tmp_path: Path, rows: int) -> None:
    chunk, definitions = several().chunks()[0]
    writer = TraceWriter(tmp_path / "a.kmt", header())
    columns = {**chunk.columns, "left_time_ns": np.zeros(rows, np.uint64)}
    with pytest.raises(ValueError, match=rf"^column left_time_ns has {8 * rows} bytes, not 40$"):
        writer.write(chunk._replace(columns=columns), definitions)
    writer.abandon()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    folder = Path("/proc/self/fd")
    before = len(list(folder.iterdir()))
    several().write(tmp_path / "a.kmt")
    several().write(tmp_path / "b.kmt", complete=False)
    assert len(list(folder.iterdir())) == before


def test_a_profile_without_parameters(tmp_path: Path) -> None:
    profile = Profile("one", (PROFILE.functions[6],), {"frames": PAGES})
    trace = TraceBuilder(profile).call("alloc_frame", result=7).trace(tmp_path / "a.kmt")
    assert trace.calls.arguments == []
    assert trace[1].arguments == ()
    assert trace.blocks("frames").address.tolist() == [0x7000]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("fifo", "it is a pipe or a terminal, and parts of a trace are completed later"),
        ("/dev/null", "what was written cannot be read back"),
        (".", "Is a directory"),
        ("none/run.kmt", "No such file or directory"),
    ],
)
def test_where_a_trace_cannot_go(tmp_path: Path, name: str, problem: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    path = tmp_path / name
    with pytest.raises(TraceNotWritten) as caught:
        several().write(path)
    assert str(caught.value) == f"{path}: the trace cannot be written: {problem}"
