"""A check in SARIF."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from hypothesis import given, settings
from jsonschema import Draft4Validator

from emulator.check.findings import CallSite, Kind
from emulator.guest.symbolizer import Frame
from emulator.report.ci.sarif import sarif_document
from emulator.verdict.baseline import baseline_of
from emulator.verdict.limits import Limits
from emulator.verdict.verdict import Verdict, judge
from tests.helpers.check_examples import (
    CORRUPTION,
    DIED,
    DOUBLE_FREE,
    HOSTILE_FINDING,
    LEAK,
    REPORTS,
    report,
    with_heap,
)

if TYPE_CHECKING:
    from emulator.check.check_report import CheckReport

SCHEMA = Path(__file__).parents[3] / "data" / "sarif-2.1.0-rtm.5.json"
ALL = frozenset(Kind)


@cache
def validator() -> Draft4Validator:
    document = json.loads(SCHEMA.read_text())
    Draft4Validator.check_schema(document)
    return Draft4Validator(document)


def run_of(verdict: Verdict, status: int = 1) -> dict[str, Any]:
    document = json.loads(json.dumps(sarif_document(verdict, status, "/repo", "0.1.0", ran=status < 2)))
    validator().validate(document)
    run: dict[str, Any]
    [run] = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    return run


def result_of(verdict: Verdict) -> dict[str, Any]:
    result: dict[str, Any]
    [result] = run_of(verdict)["results"]
    return result


def source_line(location: dict[str, Any]) -> tuple[str, int | None]:
    physical = location["physicalLocation"]
    line = physical.get("region", {}).get("startLine")
    return physical["artifactLocation"]["uri"], line


def test_the_schema_refuses_what_is_wrong() -> None:
    document = sarif_document(Verdict(report(LEAK)), 1, "/repo", "0.1.0", ran=True)
    document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"] = {"startLine": 0}
    assert not validator().is_valid(document)


def test_a_clean_run() -> None:
    run = run_of(Verdict(report()), 0)
    assert run["results"] == []
    assert run["invocations"] == [
        {
            "executionSuccessful": True,
            "exitCode": 0,
            "exitCodeDescription": "the kernel exited with value 0",
        }
    ]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("kmemu", "0.1.0")
    assert [rule["id"] for rule in driver["rules"]] == [*(kind.value for kind in Kind), "limit", "regression"]
    assert driver["rules"][0] == {
        "id": "double-free",
        "name": "DoubleFree",
        "shortDescription": {"text": "Double free"},
        "fullDescription": {"text": Kind.DOUBLE_FREE.explanation},
        "help": {"text": Kind.DOUBLE_FREE.explanation},
        "defaultConfiguration": {"level": "error"},
    }


def test_a_check_that_could_not_run_was_not_successful() -> None:
    assert not run_of(Verdict(report()), 4)["invocations"][0]["executionSuccessful"]


def test_a_finding() -> None:
    result = result_of(Verdict(report(DOUBLE_FREE)))
    assert (result["ruleId"], result["level"]) == ("double-free", "error")
    assert result["message"]["text"].startswith("heap: double free of 0x00200008 (24 bytes)\n")
    assert result["partialFingerprints"] == {"kmemuFinding/v1": DOUBLE_FREE.id}
    [location] = result["locations"]
    assert source_line(location) == ("demo.c", 31)
    assert location["physicalLocation"]["artifactLocation"]["uriBaseId"] == "%SRCROOT%"
    assert location["logicalLocations"] == [{"fullyQualifiedName": "start", "kind": "function"}]
    assert "baselineState" not in result
    assert "suppressions" not in result


def test_its_stacks_and_the_way_to_it() -> None:
    result = result_of(Verdict(report(DOUBLE_FREE)))
    assert [stack["message"]["text"] for stack in result["stacks"]] == [
        "at event 5, call #3 of kfree",
        "allocated at event 2, call #1 of kmalloc",
        "freed at event 3, call #2 of kfree",
    ]
    freed = result["stacks"][2]["frames"]
    assert [frame["location"]["message"]["text"] for frame in freed] == [
        "serve+0x12 serve it.c:62",
        "start+0x20",
    ]
    assert freed[1]["location"]["physicalLocation"]["address"] == {
        "absoluteAddress": 0x100020,
        "kind": "instruction",
    }
    assert [source_line(each) for each in result["relatedLocations"]] == [
        ("demo.c", 31),
        ("src/serve%20it.c", 62),
    ]
    [flow] = result["codeFlows"][0]["threadFlows"]
    assert [source_line(step["location"]) for step in flow["locations"]] == [
        ("demo.c", 31),
        ("src/serve%20it.c", 62),
        ("demo.c", 31),
    ]


def test_the_faulting_write_is_the_location() -> None:
    result = result_of(Verdict(report(CORRUPTION)))
    assert source_line(result["locations"][0]) == ("src/serve%20it.c", 62)
    inner = result["stacks"][0]["frames"][0]["location"]
    assert source_line(inner) == ("file:///usr/lib/string.c", 7)
    assert "uriBaseId" not in inner["physicalLocation"]["artifactLocation"]
    [flow] = result["codeFlows"][0]["threadFlows"]
    assert [step["location"]["message"]["text"].split()[0] for step in flow["locations"]] == [
        "allocated",
        "freed",
        "broken",
        "seen",
    ]


def test_a_leak_is_where_its_block_was_allocated() -> None:
    result = result_of(Verdict(report(LEAK)))
    assert source_line(result["locations"][0]) == ("demo.c", 31)
    assert "codeFlows" not in result


def test_without_any_file_the_location_is_the_kernel() -> None:
    result = result_of(Verdict(report(DIED)))
    assert source_line(result["locations"][0]) == ("demo.elf", None)
    assert "stacks" not in result


def test_a_file_without_a_line_has_no_region() -> None:
    finding = replace(DIED, call_site=CallSite(1, 2, "f", (Frame(1, "f", 0, "a.c"),)))
    assert source_line(result_of(Verdict(report(finding)))["locations"][0]) == ("a.c", None)


def test_a_baseline_says_what_is_new() -> None:
    run = run_of(judge(report(LEAK, DIED), ALL, Limits(), baseline_of(report(LEAK))))
    old, new = run["results"]
    assert (old["baselineState"], old["level"]) == ("unchanged", "note")
    assert old["suppressions"] == [{"kind": "external", "justification": "The baseline accepts it."}]
    assert (new["baselineState"], new["level"]) == ("new", "error")
    assert "suppressions" not in new


def test_a_limit_accepts_leaks() -> None:
    result = result_of(judge(report(LEAK), ALL, Limits(leaked={"": 40})))
    assert result["suppressions"] == [{"kind": "external", "justification": "A limit accepts it."}]


def test_regressions_and_limits_are_results() -> None:
    now = with_heap(report(), peak_bytes=5000, calls=9)
    limit, regression = run_of(judge(now, ALL, Limits({"heap": 4999}), baseline_of(report())))["results"]
    assert (limit["ruleId"], regression["ruleId"]) == ("limit", "regression")
    assert source_line(limit["locations"][0]) == source_line(regression["locations"][0]) == ("demo.c", 31)
    assert regression["message"]["text"] == "heap.peak_bytes: 4,096 -> 5,000 (+904, +22.1%)"


def test_hostile_names() -> None:
    [location] = result_of(Verdict(report(HOSTILE_FINDING)))["locations"]
    uri, line = source_line(location)
    assert uri == "a%3Ab%2Cc%25%0D%0A%3C%C3%A9%3E.c"
    assert (unquote(uri), line) == ("a:b,c%\r\n<é>.c", 3)
    assert location["message"]["text"].isprintable()


@settings(deadline=None, max_examples=50)
@given(REPORTS)
def test_any_check(checked: CheckReport) -> None:
    run_of(judge(checked, ALL, Limits(), baseline_of(report())))
