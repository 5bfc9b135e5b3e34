"""Write backtraces as tables in which every name and every frame stands once, safe and short enough to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.wording import printable

if TYPE_CHECKING:
    from emulator.guest.symbolizer import Frame
    from emulator.trace.trace import Trace

NAME_MAX = 240
"""Characters of a name that the page shows."""
DEPTH_MAX = 128
"""Frames of a stack that the page shows, the innermost ones."""


class FrameTables(NamedTuple):
    """The backtraces of a trace.

    Attributes:
        names: Functions and files.
        frames: Address, name number of the function, offset in it, name number of the file, line.
        stacks: For each stack number (0 is the unknown stack) its frame numbers, innermost first.
    """

    names: list[str]
    frames: list[tuple[int, int, int, int, int]]
    stacks: list[list[int]]


def frame_tables(trace: Trace) -> FrameTables:
    """Return the tables of all backtraces of a trace."""
    names: dict[str, int] = {}
    frames: dict[Frame, int] = {}
    stacks = [
        [frames.setdefault(frame, len(frames)) for frame in trace.frames(stack)[:DEPTH_MAX]]
        for stack in range(trace.stack_count + 1)
    ]

    def name_number(name: str) -> int:
        return names.setdefault(clipped(name), len(names))

    rows = [
        (frame.address, name_number(frame.function), frame.offset, name_number(frame.file), frame.line)
        for frame in frames
    ]
    return FrameTables(list(names), rows, stacks)


def clipped(text: str, length: int = NAME_MAX) -> str:
    """Return text to show: without control and direction characters, at most *length* characters."""
    text = printable(text[: length + 1])
    return text if len(text) <= length else f"{text[: length - 1]}…"
