"""Runs that ended badly, as findings: the kernel died, failed, or does not agree with its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.check.findings import Finding, Kind, Place
from emulator.check.places import Places
from emulator.check.run import DIVERGED, STOPPED
from emulator.errors import BadImage
from emulator.trace.recorder import frames_of

if TYPE_CHECKING:
    from emulator.check.run import EndedRun
    from emulator.loader.image import KernelImage
    from emulator.trace.events import Frame
    from emulator.trace.trace import Trace


def bad_endings(image: KernelImage, run: EndedRun, trace: Trace) -> list[Finding]:
    """Return what the way in which a run ended says of the kernel: at most one finding.

    A used up budget is none: it may be too small.
    """
    ending = run.ending
    if ending.how == DIVERGED:
        details = tuple(line.strip() for line in str(run.error).splitlines()[1:])
        return [Finding(Kind.DIVERGENCE, "", ending.text, _last(trace), details=details)]
    if ending.how == STOPPED:
        return [Finding(Kind.DIED, "", f"the kernel died: {ending.text}", _death(image, run.eip, trace))]
    if ending.exit_value:
        return [Finding(Kind.FAILED, "", ending.text, None)]
    return []


def _death(image: KernelImage, eip: int, trace: Trace) -> Place:
    """Return the place of an instruction: in the recorded call that it ends, if it is in one."""
    frame = frame_at(image, eip)
    inside = _innermost(trace)
    event = trace.event_count
    if inside is None:
        return Place(0, event, frame.function or "?", (frame,))
    return Place(inside.call, event, inside.function, (frame, *inside.stack))


def _last(trace: Trace) -> Place | None:
    """Return the call that has just returned, or else the innermost one that has not."""
    rows = np.flatnonzero(trace.columns.left == trace.event_count)
    return Places(trace).exit(int(rows[-1]) + 1) if len(rows) else _innermost(trace)


def _innermost(trace: Trace) -> Place | None:
    """Return the innermost call that has not returned."""
    rows = np.flatnonzero(~trace.columns.returned)
    return Places(trace).entry(int(rows[-1]) + 1) if len(rows) else None


def frame_at(image: KernelImage, eip: int) -> Frame:
    """Return the frame of an instruction that is executed, not of a call."""
    try:
        frame = frames_of(image)(eip + 1)  # what names a return address looks at the byte before it
    except BadImage:  # a damaged symbol table
        from emulator.trace.events import Frame

        return Frame(eip)
    return frame._replace(address=eip, offset=max(frame.offset - 1, 0))
