"""Says at which bad access a run ends: at the first that is a finding which counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.accesses.bad_accesses import bad_accesses

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.check.findings import Finding
    from emulator.machine.core.observed import BadAccesses
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace


def always(_finding: Finding) -> bool:
    """Let each finding count."""
    return True


def ends_at(
    machine: Machine, trace: Callable[[], Trace], counts: Callable[[Finding], bool] = always
) -> Callable[[BadAccesses], bool]:
    """Return what answers, for `emulator.trace.checking.check_accesses`, whether a run ends at the newest access.

    Args:
        machine: The machine that runs.
        trace: Returns the trace of the run so far.
        counts: Whether a finding ends the run.
    """

    def ends(seen: BadAccesses) -> bool:
        return any(map(counts, bad_accesses(machine, seen.accesses, trace())))

    return ends
