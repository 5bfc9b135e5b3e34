"""A check as JSON."""

from __future__ import annotations

import json

from emulator.check.findings import Kind
from emulator.report.documents.check import check_document
from emulator.verdict.limits import Limits
from emulator.verdict.verdict import Verdict, judge
from tests.helpers.check_examples import ALLOCATED, CORRUPTION, DOUBLE_FREE, LEAK, report


def test_the_document() -> None:
    made = report(DOUBLE_FREE, LEAK)._replace(
        unchecked={Kind.OVERLAP: "the size of no block is known"},
        suppressed={"leak:poll": 0},
    )
    verdict = judge(made, frozenset({Kind.LEAK}), Limits({"heap": 1}, {"": 40}))
    document = json.loads(json.dumps(check_document(verdict, 1)))
    findings, differences, areas = (document.pop(key) for key in ("findings", "differences", "areas"))
    assert document == {
        "version": 1,
        "kernel": "build/demo.elf",
        "profile": "LiteCore",
        "profile_reason": "",
        "status": 1,
        "ending": {"how": "exit", "exit_value": 0, "text": "the kernel exited with value 0"},
        "events": 20,
        "calls": 10,
        "never_called": [],
        "unknown": [],
        "suppressed": {"leak:poll": 0},
        "lockstep": None,
        "seconds": 0.25,
        "checked": ["leak"],
        "unchecked": {"overlapping-blocks": "the size of no block is known"},
        "reachable": [],
        "lacks": [],
    }
    assert [(each["id"], each["accepted"]) for each in findings] == [(DOUBLE_FREE.id, False), (LEAK.id, True)]
    assert [(each["what"], each["key"], each["fails"]) for each in differences] == [
        ("limit", "heap.peak_bytes", True)
    ]
    assert differences[0]["place"]["call"] == 1
    assert list(areas) == ["heap", "frames"]
    assert areas["frames"]["peak"] is None
    assert areas["heap"]["callers"]["kmain"] == {"calls": 7, "peak_bytes": 4000, "end_bytes": 40}


def test_a_finding() -> None:
    [finding] = check_document(Verdict(report(CORRUPTION)), 1)["findings"]
    assert finding["kind"] == "heap-corruption"
    assert finding["block"]["address"] == 0x200008
    assert finding["block"]["freed"]["event"] == 3
    assert finding["culprit"]["stack"][0]["file"] == "/usr/lib/string.c"
    assert finding["place"]["function"] == "kmalloc"


def test_what_is_not_known_is_null() -> None:
    [finding] = check_document(Verdict(report(LEAK)), 1)["findings"]
    assert (finding["place"], finding["culprit"], finding["block"]["freed"]) == (None, None, None)
    assert finding["block"]["allocated"]["stack"] == [frame._asdict() for frame in ALLOCATED.backtrace]
