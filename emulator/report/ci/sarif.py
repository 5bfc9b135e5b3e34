"""A check in SARIF 2.1.0, the format in which code scanning takes results.

Source: Static Analysis Results Interchange Format (SARIF) Version 2.1.0, OASIS. Section numbers below are its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.check.findings import Kind
from emulator.report.ci.finding_lines import finding_lines, message_of
from emulator.report.ci.sarif_places import KernelPlaces
from emulator.report.ci.sources import Sources, main_stack
from emulator.verdict.difference import Importance
from emulator.wording import printable

if TYPE_CHECKING:
    from emulator.check.findings import Finding
    from emulator.verdict.difference import Difference
    from emulator.verdict.verdict import Verdict

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "kmemuFinding/v1"
_DIFFERENCE_RULES: Final = {
    "limit": ("limit exceeded", "The run took more than a limit of the command line allows."),
    "regression": ("regression", "The run is worse than the baseline and its tolerances allow."),
}
_RAN: Final = (0, 1)  # exit statuses of a check that came to its end

_Object = dict[str, Any]


def sarif_document(verdict: Verdict, status: int, root: str, version: str) -> _Object:
    """Return a log with one run. Differences that fail are results, too.

    Args:
        verdict: The check.
        status: Exit status of the command.
        root: Absolute path of the top of the repository; source files in it get relative URIs.
        version: Of kmemu.
    """
    results = [_finding(finding, verdict, root) for finding in verdict.report.findings]
    results += [
        _difference(each, verdict, root)
        for each in verdict.differences
        if each.fails and each.importance is not Importance.FINDING  # which is a result already
    ]
    run: _Object = {
        "tool": {
            "driver": {"name": "kmemu", "semanticVersion": version, "version": version, "rules": _rules()}
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The top of the repository."}}},
        "invocations": [_invocation(verdict, status)],
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rules() -> list[_Object]:
    kinds = {kind.value: (kind.title, kind.explanation) for kind in Kind}
    return [
        {
            "id": rule,
            "name": "".join(word.capitalize() for word in rule.split("-")),
            "shortDescription": {"text": title[0].upper() + title[1:]},
            "fullDescription": {"text": explanation},
            "help": {"text": explanation},
            "defaultConfiguration": {"level": "error"},
        }
        for rule, (title, explanation) in (kinds | _DIFFERENCE_RULES).items()
    ]


_RULE_INDEX: Final = {
    rule: index for index, rule in enumerate([*(kind.value for kind in Kind), *_DIFFERENCE_RULES])
}


def _invocation(verdict: Verdict, status: int) -> _Object:
    return {
        "executionSuccessful": status in _RAN,
        "exitCode": status,
        "exitCodeDescription": printable(verdict.report.ending.text),
    }


def _finding(finding: Finding, verdict: Verdict, root: str) -> _Object:
    places = KernelPlaces(verdict.report.kernel, Sources(root))
    accepted = verdict.accepts(finding)
    result: _Object = {
        "ruleId": finding.kind.value,
        "ruleIndex": _RULE_INDEX[finding.kind.value],
        "kind": "fail",
        "level": "note" if accepted else "error",
        "message": {"text": "\n".join(finding_lines(finding))},
        "locations": [places.location(main_stack(finding), printable(message_of(finding)))],
        "partialFingerprints": {FINGERPRINT: finding.id},
        **places.origin(finding),
    }
    if verdict.known is not None:  # 3.27.24
        result["baselineState"] = "unchanged" if finding.id in verdict.known else "new"
    if accepted:  # 3.27.23
        who = "The baseline" if finding.id in (verdict.known or ()) else "A limit"
        result["suppressions"] = [{"kind": "external", "justification": f"{who} accepts it."}]
    return result


def _difference(difference: Difference, verdict: Verdict, root: str) -> _Object:
    places = KernelPlaces(verdict.report.kernel, Sources(root))
    rule = "limit" if difference.importance is Importance.LIMIT else "regression"
    stack = difference.call_site.backtrace if difference.call_site is not None else ()
    text = printable(difference.text)
    return {
        "ruleId": rule,
        "ruleIndex": _RULE_INDEX[rule],
        "kind": "fail",
        "level": "error",
        "message": {"text": text},
        "locations": [places.location(stack, text)],
        "partialFingerprints": {FINGERPRINT: printable(difference.key)},
    }
