"""Call stacks, and the levels of them, in words."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.guest.symbolizer import Frame
    from emulator.trace.queries.difference import SourceFrame

UNKNOWN_CALLER = "(unknown caller)"


def function_name(frame: Frame) -> str:
    """Return the function, or where it is not known the return address."""
    return frame.function or f"0x{frame.address:08x}"


def stack_text(frames: Sequence[Frame]) -> str:
    """Return a call stack on one line, innermost first: ``kmain+0x42 demo.c:31 < start+0x9``."""
    return " < ".join(printable(str(frame)) for frame in frames) or UNKNOWN_CALLER


def places_text(places: Sequence[SourceFrame]) -> str:
    """Return the same without addresses: ``kmain demo.c:31 < start entry.S:29``."""
    return " < ".join(map(_place_text, places)) or UNKNOWN_CALLER


def _place_text(place: SourceFrame) -> str:
    function = printable(place.function) or "(unknown function)"
    return f"{function} {printable(PurePosixPath(place.file).name)}:{place.line}" if place.file else function
