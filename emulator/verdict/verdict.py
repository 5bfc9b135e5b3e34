"""What a check comes to when its report is judged by limits and by a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.check.findings import Kind
from emulator.verdict.comparison import compare

if TYPE_CHECKING:
    from emulator.check.check_report import CheckReport
    from emulator.check.findings import Finding
    from emulator.verdict.baseline import Baseline
    from emulator.verdict.difference import Difference
    from emulator.verdict.limits import Limits


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judged report.

    Attributes:
        report: What was found.
        checked: What was looked for; a finding of another kind is there only if the run came across it.
        known: Ids of the findings that the baseline accepts; None: there is no baseline.
        allowed: Kinds of findings that a limit allows in the number in which they are there.
        differences: From the baseline and the limits, the most important first.
        has_limits: Limits were given.
    """

    report: CheckReport
    checked: frozenset[Kind] = frozenset(Kind)
    known: frozenset[str] | None = None
    allowed: frozenset[Kind] = frozenset()
    differences: tuple[Difference, ...] = ()
    has_limits: bool = False

    def accepts(self, finding: Finding) -> bool:
        """Tell whether a finding is no reason to fail."""
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
        checked: What was looked for.
        limits: What it may take.
        baseline: What it is compared with; None: nothing.

    Raises:
        UnknownArea: A limit is for an area that was not measured.
    """
    differences = limits.violations(report.measures)
    if baseline is not None:
        differences += compare(report, baseline)
    return Verdict(
        report,
        checked,
        None if baseline is None else frozenset(baseline.findings),
        limits.allowed_kinds(report.measures),
        tuple(sorted(differences, key=lambda each: each.order)),
        bool(limits),
    )
