"""The kernel's mistakes in one test: what `kmemu check` finds in the calls that it records, and accesses through null pointers.

All calls since the kernel was started count, so that blocks of its boot and of fixtures are known; a mistake counts if it was made
in the test itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from emulator.check.later_mistakes import later_mistakes
from emulator.check.null_accesses import came_up, finding_of, is_used_on_purpose, null_uses
from emulator.guest.symbolizer import Frame
from emulator.machine.address_map import CALLS_END
from emulator.report.text.findings import finding_lines, grouped
from emulator.report.text.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emulator.check.findings import CallSite, Finding
    from emulator.machine.core.observed import NullAccess
    from emulator.pytest_plugin.kernel import Kernel
    from emulator.pytest_plugin.machines import BootedKernel
    from emulator.trace.trace import Trace

_FINDINGS_SHOWN: Final = 3
_STYLE: Final = Style()
_TEST: Final = "the test"  # what the kernel's functions return to, named like one of them


class Mistakes:
    """Finds the kernel's mistakes in one test.

    Args:
        kernel: The kernel that the test has.
        booted: The same kernel, as the session keeps it.
    """

    def __init__(self, kernel: Kernel, booted: BootedKernel) -> None:
        self._kernel = kernel
        self._booted = booted
        self._first_event = 1
        self._before: tuple[NullAccess, ...] = ()
        self._accesses_before = 0

    def begin(self) -> None:
        """Count from now on."""
        if self._booted.log is not None:
            self._first_event = self._booted.log.recording.event_count + 1
        if self._booted.guard is not None:
            self._before = self._booted.guard.seen().accesses
        if self._booted.accesses is not None:
            self._accesses_before = len(self._booted.accesses.seen().accesses)

    def findings(self) -> list[Finding]:
        """Return the mistakes so far, in order."""
        booted = self._booted
        found: list[Finding] = []
        trace = None if booted.log is None else booted.log.trace(booted.symbolizer)
        if trace is not None:
            found += later_mistakes(
                booted.machine, trace, self._first_event, has_mappings=booted.has_mappings
            )
            found += self._bad_accesses()
        return [self.for_people(each) for each in [*found, *self._null_accesses(trace)]]

    def _bad_accesses(self) -> list[Finding]:
        checked = self._booted.accesses
        if checked is None:
            return []
        later = checked.seen().accesses[self._accesses_before :]
        return self._booted.bad_accesses(later) if later else []

    def _null_accesses(self, trace: Trace | None) -> list[Finding]:
        guard = self._booted.guard
        if guard is None:
            return []
        seen = guard.seen()
        later = seen.accesses[len(self._before) :]
        if not later:
            return []
        event = None if trace is None else came_up(trace)
        learned = [access for access in self._before if event is None or access.event < event]
        if is_used_on_purpose(self._booted.machine, seen, event or 0):
            return []
        return [finding_of(use, trace) for use in null_uses(self._booted.machine, later, learned)]

    def for_people(self, finding: Finding) -> Finding:
        """Return a finding with the line of the test in place of the address to which its calls return."""
        site, block = finding.call_site, finding.block
        if block is not None:
            freed = None if block.freed is None else self._with_line(block.freed)
            block = block._replace(allocated=self._with_line(block.allocated), freed=freed)
        return replace(finding, call_site=None if site is None else self._with_line(site), block=block)

    def _with_line(self, call_site: CallSite) -> CallSite:
        line = self._kernel.called_from(call_site.event) if call_site.call else ""
        file, _, number = line.rpartition(":")
        test = Frame(0, _TEST, 0, file, int(number or 0))
        frames = (test if frame.address in CALLS_END else frame for frame in call_site.backtrace)
        return call_site._replace(backtrace=tuple(frames))


def lines_of(findings: Iterable[Finding]) -> list[str]:
    """Return what to say of a test's findings, the first few of them as `kmemu check` shows them."""
    groups: Sequence[list[Finding]] = grouped([*findings])
    lines: list[str] = []
    for same in groups[:_FINDINGS_SHOWN]:
        lines += [line.replace(f"{_TEST}+0x0", _TEST) for line in finding_lines(same, _STYLE)]
    hidden = len(groups) - _FINDINGS_SHOWN
    return [*lines, f"... and {hidden} more"] if hidden > 0 else lines
