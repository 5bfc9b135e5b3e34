from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.report.text.style import Style
from emulator.report.text.trace_summary import trace_lines
from emulator.trace.queries.overview import overview
from emulator.trace.trace import Trace
from tests.helpers import trace_examples
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path


def lines(trace: Trace, style: Style | None = None) -> list[str]:
    return list(trace_lines(trace, overview(trace, 5), "run.kmt", style or Style()))


def test_the_summary(tmp_path: Path) -> None:
    shown = lines(trace_examples.small().trace(tmp_path / "t"))
    start = 10
    assert shown[1:4] == [
        "Kernel      demo.elf",
        "Profile     test",
        "Trace       complete, 7 calls, 13 events; the run ended: exit with value 0",
    ]
    assert shown[4:10] == [
        "",
        "function        calls  failed unfinished  area",
        "kmalloc             4       1          1  heap",
        "kfree               2       -          -  heap",
        "alloc_frames        1       -          -  frames",
        "",
    ]
    assert shown[start : start + 7] == [
        "heap        2 blocks taken, 1 call got none; 1 free of what was not taken",
        "  peak      400 B in 2 blocks, event 6, fragmentation 0 %",
        "            #2  kmalloc(300) = 0x00200100              load+0x20 load.c:7",
        "  end       300 B in 1 block, fragmentation 0 %",
        "  biggest callers at the peak",
        "       300 B  75 %      1 block  load+0x20 load.c:7 < kmain+0x42 demo.c:31 < start+0x20",
        "       100 B  25 %      1 block  kmain+0x42 demo.c:31 < start+0x20",
    ]


def test_a_trace_that_was_cut_off(tmp_path: Path) -> None:
    path = trace_examples.small().write(tmp_path / "t", complete=False)
    text = "\n".join(lines(Trace.read(str(path))))
    assert "Trace       incomplete, the run was cut off: 7 calls, 13 events up to then" in text


def test_no_calls(tmp_path: Path) -> None:
    text = "\n".join(lines(TraceBuilder().trace(tmp_path / "t")))
    assert text.endswith(
        "\n\nheap        0 blocks taken\n\nframes      0 blocks taken\n\npools       0 blocks taken"
    )


def test_lines_hold_no_commands_and_a_pipe_gets_them_whole(tmp_path: Path) -> None:
    for builder in (trace_examples.small(), trace_examples.hostile()):
        trace = builder.trace(tmp_path / "t")
        whole = lines(trace)
        assert all(line.isprintable() for line in whole)
        assert not any(line.endswith("..") for line in whole)


def test_lines_fit_the_terminal(tmp_path: Path) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    for width in (60, 80, 120):
        assert all(len(line) <= width for line in lines(trace, Style(width, room=width)))
