"""Open debug information with pyelftools, which is slow to import and raises many errors on damaged files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from emulator.loader.dwarf.byte_reader import Damaged

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTIONS: Final = (
    *("info", "abbrev", "str", "line_str", "str_offsets", "addr", "aranges"),
    *("line", "ranges", "rnglists", "loc", "loclists", "types"),
)
"""Names of the sections that are read, without ``.debug_``."""

_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(TypeError, ValueError, RuntimeError, OSError),
)
_POINTER_SIZE: Final = 4


def open_debug_info(sections: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - pyelftools has few types
    """Return pyelftools' view of debug information; None: there is none.

    Args:
        sections: The bytes of `SECTIONS`, decompressed; those that a file does not have may be missing, or empty.
    """
    if not sections.get("info"):
        return None
    import inspect

    from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo

    given: dict[str, Any] = dict.fromkeys(inspect.signature(DWARFInfo).parameters.keys() - {"config"})
    for name, content in sections.items():
        if content:
            stream = io.BytesIO(content)
            given[f"debug_{name}_sec"] = DebugSectionDescriptor(stream, name, 0, len(content), 0)
    config = DwarfConfig(little_endian=True, default_address_size=_POINTER_SIZE, machine_arch="x86")
    return DWARFInfo(config, **given)


def damage() -> tuple[type[Exception], ...]:
    """Return what pyelftools raises on damaged files: errors of its own, and those of reading without checks; and ours."""
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.construct import ConstructError

    return (*_DAMAGE, Damaged, DWARFError, ELFError, ConstructError)
