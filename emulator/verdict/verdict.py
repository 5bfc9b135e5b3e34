"""Judges the report of a check: by which findings somebody wants, by limits and by a baseline."""

from __future__ import annotations

from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from emulator.check.findings import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.check_report import CheckReport
    from emulator.check.findings import Finding
    from emulator.verdict.baseline import Baseline
    from emulator.verdict.difference import Difference
    from emulator.verdict.limits import Limits


class WhichLeaks(Enum):
    """Which blocks that are live at the end count as findings."""

    LOST = "lost"
    ALL = "all"
    NONE = "none"


def select(report: CheckReport, leaks: WhichLeaks, ignored: Sequence[str]) -> tuple[CheckReport, int]:
    """Return a report with the findings that were asked for, and how many were ignored.

    Args:
        report: The report of a check.
        leaks: Which live blocks are findings.
        ignored: Patterns as in a shell: a finding with a function of such a name in its backtrace is left out; of a leak, in
            that of the allocation.
    """
    findings = report.findings
    if leaks is WhichLeaks.NONE:
        findings = tuple(finding for finding in findings if finding.kind is not Kind.LEAK)
    elif leaks is WhichLeaks.ALL:
        findings += report.reachable
    kept = tuple(finding for finding in findings if not is_ignored(finding, ignored))
    return report._replace(findings=kept), len(findings) - len(kept)


def is_ignored(finding: Finding, ignored: Sequence[str]) -> bool:
    """Return whether a finding is left out by patterns, as in `select`."""
    call_site = finding.call_site or (finding.block.allocated if finding.block else None)
    functions = [frame.function for frame in call_site.backtrace] if call_site else []
    return any(fnmatchcase(function, pattern) for function in functions for pattern in ignored)


class Verdict(NamedTuple):
    """A judged report.

    Attributes:
        report: The report.
        checked: The kinds that the check covers; a finding of another kind is there only if the run came across it.
        known: Ids of the findings that the baseline accepts; None: there is no baseline.
        allowed: Kinds of findings that a limit allows in the number in which they are there.
        differences: From the baseline and the limits, the most important first.
        has_limits: Whether limits were given.
    """

    report: CheckReport
    checked: frozenset[Kind] = frozenset(Kind)
    known: frozenset[str] | None = None
    allowed: frozenset[Kind] = frozenset()
    differences: tuple[Difference, ...] = ()
    has_limits: bool = False

    def accepts(self, finding: Finding) -> bool:
        """Return whether a finding is no reason to fail."""
        return finding.kind in self.allowed or (self.known is not None and finding.id in self.known)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that are a reason to fail."""
        return tuple(finding for finding in self.report.findings if not self.accepts(finding))

    @property
    def is_clean(self) -> bool:
        """Whether nothing is a reason to fail."""
        return not self.failures and not any(each.fails for each in self.differences)


def judge(
    report: CheckReport, checked: frozenset[Kind], limits: Limits, baseline: Baseline | None = None
) -> Verdict:
    """Judge a report.

    Args:
        report: The report.
        checked: The kinds of findings that the check covers.
        limits: What the run may take.
        baseline: What the report is compared with; None: nothing.

    Raises:
        UnknownName: A limit is for an area that was not measured.
    """
    differences = limits.violations(report.measures)
    if baseline is not None:
        from emulator.verdict.comparison import compare  # few runs have one

        differences += compare(report, baseline)
    return Verdict(
        report,
        checked,
        None if baseline is None else frozenset(baseline.findings),
        limits.allowed_kinds(report.measures),
        tuple(sorted(differences, key=lambda each: each.order)),
        bool(limits),
    )
