from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.symbolizer import Frame
from emulator.report.html.frames import DEPTH_MAX, NAME_MAX, clipped, frame_tables
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

INNER = Frame(0x101000, "make", 0x10, "kernel/a.c", 7)
OUTER = Frame(0x102000, "kmain", 0x20, "kernel/a.c", 9)


def test_each_frame_and_name_stands_once(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.call("kmalloc", 8, result=0x1000, stack=[INNER, OUTER]).call("kfree", 0x1000, stack=[OUTER])
    tables = frame_tables(builder.trace(tmp_path / "t.kmt"))
    assert tables.names == ["make", "kernel/a.c", "kmain"]
    assert tables.frames == [(0x101000, 0, 0x10, 1, 7), (0x102000, 2, 0x20, 1, 9)]
    assert tables.stacks == [[], [0, 1], [1]]


def test_of_a_deep_stack_the_innermost_frames_stay(tmp_path: Path) -> None:
    deep = [Frame(0x100000 + level, "f") for level in range(DEPTH_MAX + 5)]
    trace = TraceBuilder().call("kmalloc", 8, result=0x1000, stack=deep).trace(tmp_path / "t.kmt")
    tables = frame_tables(trace)
    assert tables.stacks[1] == list(range(DEPTH_MAX))
    assert tables.frames[-1][0] == 0x100000 + DEPTH_MAX - 1


def test_a_long_name_is_cut() -> None:
    assert clipped("x" * NAME_MAX) == "x" * NAME_MAX
    assert clipped("x" * (NAME_MAX + 1)) == "x" * (NAME_MAX - 1) + "…"
    assert clipped("abcdef", 3) == "ab…"


def test_what_turns_text_around_is_written_out() -> None:
    assert clipped("a\u202eb\nc") == "a\\u202eb\\nc"
