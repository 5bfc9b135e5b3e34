"""Write a check in SARIF 2.1.0, the format in which code scanning takes results.

Source: Static Analysis Results Interchange Format (SARIF) Version 2.1.0, OASIS. Section numbers below are its own.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from emulator.check.findings import Kind
from emulator.report.ci.findings import backtraces_of, main_backtrace, message_of, plain_lines
from emulator.report.ci.sources import first_in_repository, in_repository, is_inside, uri_of
from emulator.report.text.ending import ending_text
from emulator.report.text.frames import frame_text
from emulator.verdict.difference import Importance
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.findings import Finding
    from emulator.guest.symbolizer import Frame
    from emulator.report.ci.findings import TitledBacktrace
    from emulator.verdict.difference import Difference
    from emulator.verdict.verdict import Verdict

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_FINGERPRINT: Final = "kmemuFinding/v1"
_DIFFERENCE_RULES: Final = {
    "limit": ("limit exceeded", "The run took more than a limit of the command line allows."),
    "regression": ("regression", "The run is worse than the baseline and its tolerances allow."),
}

_Object = dict[str, Any]


def sarif_document(verdict: Verdict, status: int, root: str, version: str, *, ran: bool) -> _Object:
    """Return a log with one run. Differences that fail are results, too.

    Args:
        verdict: The check.
        status: Exit status of the command.
        root: Absolute path of the top of the repository; source files in it get relative URIs.
        version: Version of kmemu.
        ran: Whether the check came to its end.
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
        "invocations": [_invocation(verdict, status, ran=ran)],
        "results": results,
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


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


def _invocation(verdict: Verdict, status: int, *, ran: bool) -> _Object:
    return {
        "executionSuccessful": ran,
        "exitCode": status,
        "exitCodeDescription": printable(ending_text(verdict.report.ending)),
    }


def _finding(finding: Finding, verdict: Verdict, root: str) -> _Object:
    locations = _Locations(verdict.report.kernel, root)
    accepted = verdict.accepts(finding)
    result: _Object = {
        "ruleId": finding.kind.value,
        "ruleIndex": _RULE_INDEX[finding.kind.value],
        "kind": "fail",
        "level": "note" if accepted else "error",
        "message": {"text": "\n".join(plain_lines(finding))},
        "locations": [locations.location(main_backtrace(finding), printable(message_of(finding)))],
        "partialFingerprints": {_FINGERPRINT: finding.id},
        **locations.origin(finding),
    }
    if verdict.known is not None:  # 3.27.24
        result["baselineState"] = "unchanged" if finding.id in verdict.known else "new"
    if accepted:  # 3.27.23
        who = "The baseline" if finding.id in (verdict.known or ()) else "A limit"
        result["suppressions"] = [{"kind": "external", "justification": f"{who} accepts it."}]
    return result


def _difference(difference: Difference, verdict: Verdict, root: str) -> _Object:
    locations = _Locations(verdict.report.kernel, root)
    rule = "limit" if difference.importance is Importance.LIMIT else "regression"
    stack = difference.call_site.backtrace if difference.call_site is not None else ()
    text = printable(difference.text)
    return {
        "ruleId": rule,
        "ruleIndex": _RULE_INDEX[rule],
        "kind": "fail",
        "level": "error",
        "message": {"text": text},
        "locations": [locations.location(stack, text)],
        "partialFingerprints": {_FINGERPRINT: printable(difference.key)},
    }


class _Locations:
    """Names locations in a kernel.

    Args:
        kernel: The kernel's file.
        root: The top of the repository, which source files are named from.
    """

    def __init__(self, kernel: str, root: str) -> None:
        self._kernel = quote(printable(posixpath.basename(kernel))) or "kernel"
        self._root = root

    def location(self, stack: Sequence[Frame], message: str) -> _Object:
        """Return the location of the innermost frame with a file, as code scanning needs one; or else the kernel itself."""
        located = first_in_repository(stack, self._root)
        location: _Object = {
            "physicalLocation": self._in_kernel(stack[0] if stack else None)
            if located is None
            else _in_source(located),
            "message": {"text": message},
        }
        if stack:
            location["logicalLocations"] = [_function(stack[0])]
        return location

    def origin(self, finding: Finding) -> _Object:
        """Return the properties of a result that say how it came about: `stacks`, `relatedLocations`, `codeFlows`."""
        stacks = [stack for stack in backtraces_of(finding) if stack.frames]
        if not stacks:
            return {}
        document: _Object = {"stacks": [self._stack(stack) for stack in stacks]}
        others = stacks[1:]
        if others:
            document["relatedLocations"] = [
                {"id": number, **self.location(stack.frames, printable(stack.title))}
                for number, stack in enumerate(others, 1)
            ]
            document["codeFlows"] = [{"threadFlows": [{"locations": self._flow(stacks)}]}]
        return document

    def _stack(self, stack: TitledBacktrace) -> _Object:
        return {
            "message": {"text": printable(stack.title)},
            "frames": [{"location": self._frame(frame)} for frame in stack.frames],
        }

    def _frame(self, frame: Frame) -> _Object:
        located = in_repository(frame, self._root)
        return {
            "physicalLocation": self._in_kernel(frame) if located is None else _in_source(located),
            "logicalLocations": [_function(frame)],
            "message": {"text": frame_text(frame)},
        }

    def _flow(self, stacks: Sequence[TitledBacktrace]) -> list[_Object]:
        """Return the stacks as steps in the order in which they happened."""
        steps = sorted(stacks, key=lambda stack: stack.event)
        return [{"location": self.location(stack.frames, printable(stack.title))} for stack in steps]

    def _in_kernel(self, frame: Frame | None) -> _Object:
        location: _Object = {"artifactLocation": {"uri": self._kernel}}
        if frame is not None:
            location["address"] = {"absoluteAddress": frame.address, "kind": "instruction"}
        return location


def _in_source(frame: Frame) -> _Object:
    artifact = {"uri": uri_of(frame.file), **({"uriBaseId": "%SRCROOT%"} if is_inside(frame.file) else {})}
    return {"artifactLocation": artifact, **({"region": {"startLine": frame.line}} if frame.line else {})}


def _function(frame: Frame) -> _Object:
    return {"fullyQualifiedName": printable(frame.name), "kind": "function"}
