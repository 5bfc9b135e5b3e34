"""Looking at a kernel's structures while it runs and at its end: what is broken first, and who broke it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.call_sites import CallSites
from emulator.check.findings import Finding, Kind
from emulator.check.structures.blame import Seen, blame

if TYPE_CHECKING:
    from emulator.check.rerun import Rerun
    from emulator.check.structures.state import StateChecks
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace


class Walks:
    """All looks of one run. What breaks after the first damage is most likely its consequence, and is not told.

    Args:
        machine: Whose guest.
        state: What to look with; None: nothing is known of the kernel's structures.
    """

    def __init__(self, machine: Machine, state: StateChecks | None) -> None:
        self._cpu = machine.cpu
        self._state = state
        self._sound = 0
        self._seen: Seen | None = None
        self._looked = False

    @property
    def looked(self) -> bool:
        """Whether the structures were whole, or should have been, at some look."""
        return self._looked

    def look(self) -> None:
        """Look now."""
        if self._state is None or self._seen is not None:
            return
        defects, event = self._state.look(), self._cpu.event_count()
        if defects:
            self._seen = Seen(self._sound, event, defects)
        elif self._state.quiet:
            self._sound = event
        self._looked |= bool(defects) or self._state.quiet

    def findings(self, trace: Trace, rerun: Rerun | None) -> list[Finding]:
        """Return what was broken first, with who broke it if the kernel may be run once more."""
        if self._state is None or self._seen is None:
            return []
        if rerun is not None:
            return [blame(rerun, self._seen, trace)]
        defect = self._seen.defects[0]
        message = self._state.message(defect)
        call_site = CallSites(trace).at(self._seen.event)
        return [Finding(Kind.CORRUPTION, defect.area, message, call_site)]
