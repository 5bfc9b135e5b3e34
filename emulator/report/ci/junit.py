"""Write a check as JUnit XML, for Jenkins, GitLab and the like: each kind of check is a test case.

Source: the schema of Jenkins' xUnit plugin, junit-10.xsd. Jenkins and GitLab show one failure of a test case, so all findings
of a kind are one.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from emulator.check.findings import Kind
from emulator.report.ci.findings import message_of, plain_text
from emulator.report.text.ending import ending_text
from emulator.verdict.difference import Importance
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.findings import Finding
    from emulator.verdict.difference import Difference
    from emulator.verdict.verdict import Verdict

_BASELINE: Final = "baseline"
_LIMITS: Final = "limits"


def junit_xml(verdict: Verdict) -> bytes:
    """Return a suite of test cases. What was not checked is skipped."""
    report = verdict.report
    seconds = f"{report.seconds:.3f}"
    suites = ET.Element("testsuites", name="kmemu check", time=seconds)
    suite = ET.SubElement(suites, "testsuite", name=printable(report.kernel), time=seconds)
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("ending", ending_text(report.ending)),
        ("events", report.events),
        ("calls", report.calls),
    ):
        ET.SubElement(properties, "property", name=name, value=printable(str(value)))
    suite_name = f"kmemu.{printable(posixpath.basename(report.kernel))}"
    for kind in Kind:
        _kind_case(ET.SubElement(suite, "testcase", classname=suite_name, name=kind.title), kind, verdict)
    if verdict.known is not None:
        _difference_case(suite, suite_name, _BASELINE, verdict.differences)
    if verdict.has_limits:
        _difference_case(suite, suite_name, _LIMITS, verdict.differences)
    _count(suites, suite)
    ET.indent(suites)
    content: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _kind_case(case: ET.Element, kind: Kind, verdict: Verdict) -> None:
    found = [finding for finding in verdict.report.findings if finding.kind is kind]
    accepted = [finding for finding in found if verdict.accepts(finding)]
    failing = [finding for finding in found if not verdict.accepts(finding)]
    if failing:
        failure = ET.SubElement(case, "failure", type=kind.value, message=_headline(failing))
        failure.text = plain_text(failing)
    elif not found and kind not in verdict.checked:
        ET.SubElement(case, "skipped", message="not looked for in this kernel")
    if accepted:
        ET.SubElement(case, "system-out").text = "accepted:\n" + plain_text(accepted)


def _headline(findings: Sequence[Finding]) -> str:
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return printable(message_of(findings[0])) + more


def _difference_case(
    suite: ET.Element, suite_name: str, name: str, differences: Sequence[Difference]
) -> None:
    case = ET.SubElement(suite, "testcase", classname=suite_name, name=name)
    mine = [each for each in differences if (each.importance is Importance.LIMIT) == (name == _LIMITS)]
    failing = [printable(each.text) for each in mine if each.fails]
    if failing:
        more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
        ET.SubElement(case, "failure", type=name, message=failing[0] + more).text = "\n".join(failing)
    others = [printable(each.text) for each in mine if not each.fails]
    if others:
        ET.SubElement(case, "system-out").text = "\n".join(others)


def _count(suites: ET.Element, suite: ET.Element) -> None:
    cases = suite.findall("testcase")
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": 0,
    }
    for name, count in counts.items():
        suites.set(name, str(count))
        suite.set(name, str(count))
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
