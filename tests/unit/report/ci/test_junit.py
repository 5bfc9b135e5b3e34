"""A check as JUnit XML."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import xmlschema
from hypothesis import given, settings

from emulator.check.findings import CallSite, Kind
from emulator.report.ci.junit import junit_xml
from emulator.verdict.baseline import baseline_of
from emulator.verdict.limits import Limits
from emulator.verdict.verdict import Verdict, judge
from tests.helpers.check_examples import DOUBLE_FREE, HOSTILE_FINDING, LEAK, REPORTS, report, with_heap

if TYPE_CHECKING:
    from emulator.check.check_report import CheckReport

SCHEMA = Path(__file__).parents[3] / "data" / "junit-10.xsd"


@cache
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(SCHEMA)


def suite_of(verdict: Verdict) -> ET.Element:
    text = junit_xml(verdict).decode()
    schema().validate(text)
    suite = ET.fromstring(text).find("testsuite")  # noqa: S314 - it is our own
    assert suite is not None
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases)
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
    assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))
    return suite


def case(suite: ET.Element, name: str) -> ET.Element:
    found = suite.find(f"testcase[@name='{name}']")
    assert found is not None
    return found


def test_a_clean_run_has_a_case_for_each_kind() -> None:
    suite = suite_of(Verdict(report()))
    assert suite.attrib["name"] == "build/demo.elf"
    assert suite.attrib["time"] == "0.250"
    assert [each.attrib["name"] for each in suite.iter("testcase")] == [kind.title for kind in Kind]
    assert {each.attrib["classname"] for each in suite.iter("testcase")} == {"kmemu.demo.elf"}
    assert suite.attrib["failures"] == "0"
    properties = {each.attrib["name"]: each.attrib["value"] for each in suite.iter("property")}
    assert properties == {"ending": "the kernel exited with value 0", "events": "20", "calls": "10"}


def test_findings_of_a_kind_are_one_failure() -> None:
    suite = suite_of(Verdict(report(DOUBLE_FREE, LEAK, DOUBLE_FREE)))
    assert suite.attrib["failures"] == "2"
    failure = case(suite, "double free").find("failure")
    assert failure is not None
    assert failure.attrib == {
        "type": "double-free",
        "message": "heap: double free of 0x00200008 (24 bytes) (and 1 more)",
    }
    text = """\
heap: double free of 0x00200008 (24 bytes)
it was freed twice
at event 5, call #3 of kfree
  start+0x20
  kmain+0x42 demo.c:31
allocated at event 2, call #1 of kmalloc
  kmain+0x42 demo.c:31
  start+0x20
freed at event 3, call #2 of kfree
  serve+0x12 serve it.c:62
  start+0x20
>0x00200008: aa bb
id """
    assert failure.text == f"{text}{DOUBLE_FREE.id}\n\n{text}{DOUBLE_FREE.id}"


def test_what_was_found_between_calls_names_no_call() -> None:
    between_calls = replace(
        DOUBLE_FREE, call_site=CallSite(0, 5, "", ()), block=None, hex_dump=(), details=()
    )
    failure = case(suite_of(Verdict(report(between_calls))), "double free").find("failure")
    assert failure is not None
    assert failure.text == f"heap: double free of 0x00200008 (24 bytes)\nat event 5\nid {between_calls.id}"


def test_what_was_not_checked_is_skipped_unless_it_was_found() -> None:
    suite = suite_of(Verdict(report(LEAK), frozenset(Kind) - {Kind.LEAK, Kind.BITMAP}))
    skipped = case(suite, "bitmap mismatch").find("skipped")
    assert skipped is not None
    assert skipped.attrib == {"message": "not looked for in this kernel"}
    assert case(suite, "memory leak").find("failure") is not None
    assert suite.attrib["skipped"] == "1"


def test_accepted_findings_are_reported_but_no_failure() -> None:
    suite = suite_of(judge(report(LEAK), frozenset(Kind), Limits(), baseline_of(report(LEAK))))
    assert suite.attrib["failures"] == "0"
    accepted = case(suite, "memory leak").findtext("system-out")
    assert accepted is not None
    assert accepted.startswith("accepted:\nheap: leak of 0x00200108 (40 bytes)\n")
    assert case(suite, "baseline").find("failure") is None


def test_an_accepted_finding_is_not_skipped() -> None:
    suite = suite_of(judge(report(LEAK), frozenset(), Limits(leaked={"": 40})))
    assert case(suite, "memory leak").find("skipped") is None


def test_baseline_and_limits_are_cases_of_their_own() -> None:
    now = with_heap(report(), peak_bytes=5000, calls=11, failed=0)
    suite = suite_of(judge(now, frozenset(Kind), Limits({"heap": 4999}), baseline_of(report())))
    failure = case(suite, "baseline").find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "heap.peak_bytes: 4,096 -> 5,000 (+904, +22.1%) (and 1 more)"
    assert failure.text == (
        "heap.peak_bytes: 4,096 -> 5,000 (+904, +22.1%)\nheap.calls: 10 -> 11 (+1, +10.0%)"
    )
    assert case(suite, "baseline").findtext("system-out") == "heap.failed: 1 -> 0 (-1, -100.0%)"
    limit = case(suite, "limits").find("failure")
    assert limit is not None
    assert limit.attrib["message"].startswith("heap.peak_bytes: 5,000 bytes at the peak, limit 4,999")


def test_hostile_names() -> None:
    failure = case(suite_of(Verdict(report(HOSTILE_FINDING))), "invalid free").find("failure")
    assert failure is not None
    assert failure.attrib["message"] == r"heap: bad\x00\nfree ]]>"
    assert failure.text is not None
    assert r"  f\x1b[2J\n::error::,]]>&<\ufffe+0x0 a:b,c%\r\n<é>.c:3" in failure.text.splitlines()


@settings(deadline=None, max_examples=50)
@given(REPORTS)
def test_any_check(checked: CheckReport) -> None:
    suite_of(judge(checked, frozenset(), Limits(), baseline_of(report())))
