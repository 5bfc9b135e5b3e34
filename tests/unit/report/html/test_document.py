from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.report.html.document import PROBLEMS_MAX, page_document, shown_areas
from emulator.report.html.frames import frame_tables
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path


def document_of(builder: TraceBuilder, path: Path, *, complete: bool = True) -> dict[str, Any]:
    from emulator.trace.trace import Trace

    trace = Trace.read(str(builder.write(path / "t.kmt", complete=complete)))
    return page_document(trace, ["heap", "pools"], frame_tables(trace))


def test_only_areas_that_were_used_are_shown(tmp_path: Path) -> None:
    trace = TraceBuilder().call("alloc_frame", result=7).trace(tmp_path / "t.kmt")
    assert shown_areas(trace) == ["frames"]


def test_if_none_was_used_all_are(tmp_path: Path) -> None:
    assert shown_areas(TraceBuilder().trace(tmp_path / "t.kmt")) == ["heap", "frames", "pools"]


def test_where_the_trace_comes_from(tmp_path: Path) -> None:
    document = document_of(TraceBuilder().call("kmalloc", 8, result=0x1000), tmp_path)
    assert {
        name: document[name] for name in ("kmemu", "kernel", "command", "layers", "complete", "ending")
    } == {
        "kmemu": "0.1.0",
        "kernel": "demo.elf",
        "command": "kmemu trace demo.elf",
        "layers": {"heap": "native"},
        "complete": True,
        "ending": "exit",
    }
    assert (document["sha256"], document["events"], document["calls"]) == ("ab" * 32, 2, 1)


def test_an_incomplete_trace_has_no_ending(tmp_path: Path) -> None:
    document = document_of(TraceBuilder().call("kmalloc", 8, result=0x1000), tmp_path, complete=False)
    assert (document["complete"], document["ending"]) == (False, "")


def test_the_facts_of_an_area(tmp_path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 100, result=0x1000).call("kmalloc", 28, result=0x2000)
    heap = document_of(builder.call("kfree", 0x1000), tmp_path)["areas"][0]
    assert (heap["name"], heap["pages"], heap["calls"], heap["allocated"]) == ("heap", False, 3, 128)
    assert heap["peak"] == {"event": 4, "bytes": 128, "blocks": 2}
    assert heap["end_live"] == {"bytes": 28, "blocks": 1}


def test_failed_allocations_and_stray_frees_are_named(tmp_path: Path) -> None:
    builder = TraceBuilder().call("kcalloc", 4, 16, result=0).call("kfree", 0x1230, stack=())
    heap = document_of(builder, tmp_path)["areas"][0]
    assert heap["failed"] == {
        "count": 1,
        "calls": [{"call": 1, "event": 1, "text": "kcalloc(4, 16)", "stack": 1}],
    }
    assert heap["stray"] == {
        "count": 1,
        "calls": [{"call": 2, "event": 3, "text": "kfree(0x00001230)", "stack": 0}],
    }


def test_not_all_of_too_many_problems_are_listed(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for _ in range(PROBLEMS_MAX + 2):
        builder.call("kmalloc", 8, result=0)
    failed = document_of(builder, tmp_path)["areas"][0]["failed"]
    assert (failed["count"], len(failed["calls"])) == (PROBLEMS_MAX + 2, PROBLEMS_MAX)
