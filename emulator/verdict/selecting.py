"""Which findings of a report somebody wants to hear of."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from emulator.check.findings import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.check_report import CheckReport
    from emulator.check.findings import Finding


class WhichLeaks(Enum):
    """Which blocks that are live at the end count as findings."""

    LOST = "lost"
    ALL = "all"
    NONE = "none"


def select(report: CheckReport, leaks: WhichLeaks, ignored: Sequence[str]) -> tuple[CheckReport, int]:
    """Return a report with the findings that were asked for, and how many were ignored.

    Args:
        report: Of a check.
        leaks: Which live blocks are findings.
        ignored: Patterns as in a shell: a finding with a function of such a name in its call stack is left out; of a leak, in
            that of the allocation.
    """
    findings = report.findings
    if leaks is WhichLeaks.NONE:
        findings = tuple(finding for finding in findings if finding.kind is not Kind.LEAK)
    elif leaks is WhichLeaks.ALL:
        findings += report.reachable
    kept = tuple(finding for finding in findings if not _is_ignored(finding, ignored))
    return replace(report, findings=kept), len(findings) - len(kept)


def _is_ignored(finding: Finding, ignored: Sequence[str]) -> bool:
    call_site = finding.call_site or (finding.block.allocated if finding.block else None)
    functions = [frame.function for frame in call_site.backtrace] if call_site else []
    return any(fnmatchcase(function, pattern) for function in functions for pattern in ignored)
