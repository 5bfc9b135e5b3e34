from __future__ import annotations

import io
from typing import TYPE_CHECKING

from emulator.guest.symbolizer import Frame
from emulator.report.exporters.folded import write_folded
from emulator.trace.queries.totals import Measure
from tests.helpers import trace_examples
from tests.helpers.traces import WHO, TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.trace.trace import Trace


def exported(trace: Trace, areas: tuple[str, ...] = ("heap",), measure: Measure = Measure.PEAK) -> list[str]:
    stream = io.BytesIO()
    write_folded(trace, stream, areas, measure)
    return stream.getvalue().decode().split("\n")


def test_one_area(tmp_path: Path) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    assert exported(trace) == ["start;kmain 100", "start;kmain;load 300", ""]
    assert exported(trace, measure=Measure.END) == ["start;kmain;load 300", ""]
    assert exported(trace, measure=Measure.CALLS) == ["start;kmain 1", "start;kmain;load 1", ""]


def test_several_areas_are_distinguished(tmp_path: Path) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    assert exported(trace, ("heap", "frames"), Measure.END) == [
        "[heap];start;kmain;load 300",
        "[frames];start;kmain;load 8192",
        "",
    ]


def test_stacks_that_differ_in_lines_only_are_one(tmp_path: Path) -> None:
    other = (WHO[0]._replace(line=32, address=0x101050, offset=0x50), WHO[1])
    builder = TraceBuilder().call("kmalloc", 8, result=0x1000).call("kmalloc", 4, result=0x2000, stack=other)
    assert exported(builder.trace(tmp_path / "t")) == ["start;kmain 12", ""]


def test_what_is_not_known(tmp_path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 8, result=0x1000, stack=())
    builder.call("kmalloc", 4, result=0x2000, stack=(Frame(0x100123),))
    assert exported(builder.trace(tmp_path / "t")) == ["(unknown caller) 8", "0x00100123 4", ""]


def test_hostile_names_make_no_further_levels_or_lines(tmp_path: Path) -> None:
    lines = exported(trace_examples.hostile().trace(tmp_path / "t"))
    assert lines == ["start;kmain;a:b\\n\\x1b]0:x\\x07\"',<script>\\u202e\\ 100", ""]
