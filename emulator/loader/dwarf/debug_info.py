"""Open the debug information of a file with pyelftools, which is slow to import and raises many errors on damaged files."""

from __future__ import annotations

import io
from typing import Any

from emulator.loader.dwarf.byte_reader import Damaged

_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(TypeError, ValueError, RuntimeError, OSError),
)


def open_debug_info(data: bytes) -> tuple[Any, bytes]:
    """Return pyelftools' view of the debug information, and the bytes of .debug_info; none of it where there is none."""
    from elftools.elf.elffile import ELFFile

    try:
        dwarf = ELFFile(io.BytesIO(data)).get_dwarf_info(relocate_dwarf_sections=False)
        section = dwarf.debug_info_sec
        if section is None:
            return dwarf, b""
        section.stream.seek(0)
        return dwarf, section.stream.read()
    except damage():
        return None, b""


def damage() -> tuple[type[Exception], ...]:
    """Return what pyelftools raises on damaged files: errors of its own, and those of reading without checks; and ours."""
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.construct import ConstructError

    return (*_DAMAGE, Damaged, DWARFError, ELFError, ConstructError)
