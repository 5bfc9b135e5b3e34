"""What a check of a kernel comes to: how its run ended, what it did wrong, what it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.check.findings import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.check.findings import CallSite, Finding
    from emulator.hle.layers import LockstepCalls


@dataclass(frozen=True, slots=True)
class CallerMeasures:
    """What one function took of an area.

    Attributes:
        calls: Calls that made a block.
        peak_bytes: Bytes of its blocks that were live at the peak of the area.
        end_bytes: Bytes of its blocks that are live at the end.
    """

    calls: int
    peak_bytes: int
    end_bytes: int


@dataclass(frozen=True, slots=True)
class AreaMeasures:
    """What was taken of an area.

    Attributes:
        peak_bytes: The most bytes that were live at a time.
        peak_blocks: Blocks that were live then.
        end_bytes: Bytes that are live at the end.
        end_blocks: Blocks that are live then.
        calls: Calls of the area's functions, all of them.
        failed: Those of them that returned an error, or no block.
        lost_bytes: Bytes that are live at the end though nothing points to them any more.
        lost_blocks: Blocks of which that is true.
        fragmentation: Share of the gaps, at the peak, that is not the largest gap: 0.0 to 1.0.
        peak: The call that made the peak; None: there was never a block.
        callers: By the name of the function that called; "?" where it is not known.
    """

    peak_bytes: int
    peak_blocks: int
    end_bytes: int
    end_blocks: int
    calls: int
    failed: int
    lost_bytes: int
    lost_blocks: int
    fragmentation: float
    peak: CallSite | None
    callers: Mapping[str, CallerMeasures]


@dataclass(frozen=True, slots=True)
class Measures:
    """What was taken, by area; in the profile's order."""

    areas: Mapping[str, AreaMeasures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunEnding:
    """How a run ended.

    Attributes:
        how: "exit", "halted", "budget used up", "stopped", "not emulated", "diverged", or "interrupted".
        exit_value: What the kernel wrote to the exit device; 0 is success. None: nothing.
        text: One line for people, such as "the kernel exited with value 0".
    """

    how: str
    exit_value: int | None
    text: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """A check.

    Attributes:
        kernel: Its file as it was named.
        ending: Of the run.
        events: Number of the last event.
        calls: Number of the last call.
        findings: What the kernel did wrong, in the order in which it happened; what is seen at the end comes last.
        measures: What it took.
        seconds: Of the host, from the first instruction to the last finding.
        reachable: Live blocks at the end to which something still points; in the form of findings, but none.
        lockstep: How many calls were made in lockstep; None: no layer ran so.
        profile: Name of what was recorded.
        checked: What was looked for.
    """

    kernel: str
    ending: RunEnding
    events: int
    calls: int
    findings: tuple[Finding, ...]
    measures: Measures
    seconds: float
    reachable: tuple[Finding, ...] = ()
    profile: str = ""
    checked: frozenset[Kind] = frozenset(Kind)
    lockstep: LockstepCalls | None = None
