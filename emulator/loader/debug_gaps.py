"""What a kernel's files say that there is of debug information, and what of it cannot be read."""

from __future__ import annotations

import os.path
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from emulator.loader.debug_link import candidates
from emulator.loader.dwarf.debug_info import DAMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.image import KernelImage


class Reason(Enum):
    """Why debug information is not read."""

    UNKNOWN_COMPRESSION = "sections are damaged, or compressed in a way that is not known"
    NO_FILE = "the file that the kernel names for it is not there"
    OTHER_BUILD = "the file that the kernel names for it is of another build"
    SPLIT_MISSING = "files that units are split off to are not there, or of another build"
    SPLIT_DWARF_4 = "units are split off as GNU did it in DWARF 4"


class DebugGap(NamedTuple):
    """Debug information that is not read.

    Attributes:
        reason: Why.
        names: Of the sections, or files, that it is in.
    """

    reason: Reason
    names: tuple[str, ...]


def debug_gaps(image: KernelImage) -> Iterator[DebugGap]:
    """Yield what is there of debug information, and is not read."""
    link = image.debug_link
    if link is not None:
        is_there = any(map(os.path.exists, candidates(link, image.path)))
        yield DebugGap(Reason.OTHER_BUILD if is_there else Reason.NO_FILE, (link.name,))
    empty = (f".debug_{name}" for name, content in image.debug_sections.items() if not content)
    if unreadable := tuple(filter(image.has_section, empty)):
        yield DebugGap(Reason.UNKNOWN_COMPRESSION, unreadable)
    try:
        older, missing = image.units.not_found()
    except DAMAGE:
        return
    if older:
        yield DebugGap(Reason.SPLIT_DWARF_4, older)
    if missing:
        yield DebugGap(Reason.SPLIT_MISSING, missing)
