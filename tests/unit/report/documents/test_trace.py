from __future__ import annotations

import json
from typing import TYPE_CHECKING

from emulator.report.documents.trace import trace_document
from emulator.trace.queries.overview import overview
from tests.helpers import trace_examples

if TYPE_CHECKING:
    from pathlib import Path


def test_the_summary_of_a_trace(tmp_path: Path) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    document = json.loads(json.dumps(trace_document(trace, overview(trace, 1), "run.kmt")))
    heap = document["areas"][0]
    assert (document["version"], document["complete"], document["calls"], document["events"]) == (
        1,
        True,
        7,
        13,
    )
    assert document["ending"] == {"how": "exit", "exit_value": 0}
    assert document["functions"][0] == {
        "name": "kmalloc",
        "area": "heap",
        "calls": 4,
        "failed": 1,
        "unfinished": 1,
    }
    assert heap["peak"] == {
        "bytes": 400,
        "blocks": 2,
        "event": 6,
        "call": 2,
        "gaps": 0,
        "largest_gap": 0,
        "fragmentation": 0.0,
    }
    assert heap["end"]["bytes"] == 300
    assert heap["callers"][0]["stack"][0] == {
        "address": 0x100200,
        "function": "load",
        "offset": 0x20,
        "file": "src/load.c",
        "line": 7,
        "inlined": False,
    }
