"""Audits a kernel's structures while it runs and at its end, and finds what broke first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.check.call_sites import CallSites
from emulator.check.findings import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.findings import Finding
    from emulator.check.structures.kernel_checks import KernelChecks
    from emulator.machine.machine import Machine
    from emulator.replay.engine import Rerun
    from emulator.trace.trace import Trace
    from kernel_model.audit import Defect


class FailedAudit(NamedTuple):
    """An audit in the course of a run that found defects.

    Attributes:
        last_valid: The event at which the last audit before found none; 0: there was no such audit.
        event: The last event before this audit.
        defects: What was found, at least one.
    """

    last_valid: int
    event: int
    defects: Sequence[Defect]


class RunAudits:
    """All audits of one run. What breaks after the first damage is most likely its consequence, and is left out.

    Args:
        machine: Whose guest.
        checks: Of its kernel; None: nothing is known of the kernel's structures.
    """

    def __init__(self, machine: Machine, checks: KernelChecks | None) -> None:
        self._calls = machine.calls
        self._checks = checks
        self._last_valid = {False: 0, True: 0}  # by whether it is about mappings
        self._failed: FailedAudit | None = None
        self._any_done = False
        self._mappings_done = False

    @property
    def any_done(self) -> bool:
        """Whether the kernel was at rest, so that all invariants had to hold, at one audit or more."""
        return self._any_done

    @property
    def missed(self) -> frozenset[Kind]:
        """The kinds that were not searched for, because page tables were never at rest."""
        return frozenset(() if self._mappings_done else (Kind.MAPPING,))

    def audit(self) -> None:
        """Audit the structures now, unless damage was found before."""
        if self._checks is None or self._failed is not None:
            return
        defects, event = self._checks.audit(), self._calls.event_count
        at_rest, mappings_at_rest = self._checks.at_rest, self._checks.mappings_at_rest
        self._any_done |= at_rest
        self._mappings_done |= mappings_at_rest
        if defects:
            of_mapping = defects[0].invariant.of_mapping
            self._failed = FailedAudit(self._last_valid[of_mapping], event, defects)
            return
        if at_rest:
            self._last_valid[False] = event
        if mappings_at_rest:
            self._last_valid[True] = event

    def findings(self, trace: Trace, rerun: Rerun | None) -> list[Finding]:
        """Return what was broken first, with the faulting write if the kernel may be run once more."""
        if self._checks is None or self._failed is None:
            return []
        if rerun is not None:
            from emulator.check.structures.corruption import corruption_finding  # few kernels break any

            return [corruption_finding(rerun, self._failed, trace)]
        defect = self._failed.defects[0]
        call_site = CallSites(trace).at(self._failed.event)
        return [self._checks.finding(defect, call_site=call_site)]
