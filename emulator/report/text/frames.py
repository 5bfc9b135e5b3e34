"""Backtraces and their levels in words, printable. Each form is made here and nowhere else.

A frame by itself prints as ``kmain+0x42 demo.c:31``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.wording import code_location, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.guest.symbolizer import Frame
    from emulator.report.text.style import Style

UNKNOWN_CALLER = "(unknown caller)"


def frame_text(frame: Frame) -> str:
    """Return ``kmain+0x42 demo.c:31``."""
    return printable(str(frame))


def frame_text_after(frame: Frame, taken: int, style: Style) -> str:
    """Return the same for the end of a line; where there is no room, file and line say more than the offset.

    Args:
        frame: The frame.
        taken: Columns before it.
        style: What the output can show.
    """
    text = frame_text(frame)
    shorter = text.replace(f"+0x{frame.offset:x}", f"+{style.mark}", 1)
    if style.room is not None and taken + len(shorter) <= style.room < taken + len(text):
        return shorter
    return style.cut(text, taken)


def call_trace_text(frame: Frame) -> str:
    """Return ``kmain+0x42 (firmware/scenarios/demo.c:31)``, as kernels write call traces."""
    return printable(code_location(*frame))


def backtrace_text(frames: Sequence[Frame]) -> str:
    """Return a backtrace on one line, innermost first: ``kmain+0x42 demo.c:31 < start+0x9``."""
    return " < ".join(map(frame_text, frames)) or UNKNOWN_CALLER


def callers_text(frames: Sequence[Frame]) -> str:
    """Return the same without addresses: ``kmain demo.c:31 < start entry.S:29``."""
    return " < ".join(map(_source_text, frames)) or UNKNOWN_CALLER


def _source_text(frame: Frame) -> str:
    function = printable(frame.function) or "(unknown function)"
    return f"{function} {printable(frame.file.rpartition('/')[2])}:{frame.line}" if frame.file else function
