"""The result of a check: how the run ended, what the kernel did wrong, and what it took."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from emulator.check.findings import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.check.findings import Finding
    from emulator.check.measures import AreaMeasures
    from emulator.hle.layers import LockstepCalls
    from emulator.profile.binding import UnknownParameter
    from emulator.run.ending import Ending


class CheckReport(NamedTuple):
    """The result of a check.

    Attributes:
        kernel: The kernel's file as it was named.
        ending: How the run ended.
        events: Number of the last event.
        calls: Number of the last call.
        findings: The kernel's mistakes in the order in which they happened; those that show at the end only come last.
        measures: What the kernel took of each area, by its name; in the profile's order.
        seconds: Host time from the first instruction to the last finding.
        reachable: Blocks that are live at the end and to which something still points; in the form of findings, but no mistakes.
        lockstep: How many calls were made in lockstep; None: no layer ran so.
        profile: Name of the profile that was recorded.
        profile_reason: Why it was chosen; "": the user chose it.
        checked: The kinds of findings that the check covers: those of which the run has shown something.
        unchecked: Why each other kind was not checked, for people.
        never_called: The profile's functions that the kernel has and did not call.
        sanitized: Each access was to be checked; *unchecked* says so if it could not be.
        uninitialised: Uses of values that were never written were to be looked for, too.
        suppressed: How many findings each suppression has left out, by the line that it is.
        unknown: Parameters of the profile's functions that cannot be known in this kernel.
        has_frames: The kernel has call frame information.
    """

    kernel: str
    ending: Ending
    events: int
    calls: int
    findings: tuple[Finding, ...]
    measures: Mapping[str, AreaMeasures]
    seconds: float = 0.0
    reachable: tuple[Finding, ...] = ()
    profile: str = ""
    profile_reason: str = ""
    checked: frozenset[Kind] = frozenset(Kind)
    unchecked: Mapping[Kind, str] = MappingProxyType({})
    lockstep: LockstepCalls | None = None
    sanitized: bool = False
    uninitialised: bool = False
    suppressed: Mapping[str, int] = MappingProxyType({})
    never_called: tuple[str, ...] = ()
    unknown: tuple[UnknownParameter, ...] = ()
    has_frames: bool = True
