"""Units of debug information that are in files of their own, which the linker does not read: .dwo files, or a .dwp file of all of them.

The kernel has a skeleton of such a unit, which names the file. A file that is not there, or is of another build, is no error: less is known then.

Shortcomings. Only the format of DWARF 5 is read, not that of GNU's extension of DWARF 4 before it: see `older_name`.

Source: DWARF 5, sections 3.1.3, 7.3.2 and 7.3.5.
"""

from __future__ import annotations

import io
import os.path
import struct
from typing import TYPE_CHECKING, Final

from emulator.loader.dwarf.byte_reader import Damaged
from emulator.loader.dwarf.debug_info import DAMAGE, DebugInfo
from emulator.loader.files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.loader.dwarf.entries import Entry, Unit

_VERSION_5: Final = 5
_LARGEST_FILE: Final = 1 << 30  # bytes
_SECTIONS: Final = {"info": 1, "abbrev": 3, "loclists": 5, "str_offsets": 6, "rnglists": 8, "str": 0}
"""Those that are used, with their numbers in the index of a .dwp file; 0: it has one for all units."""

_INDEX_HEADER: Final = struct.Struct("<IIII")  # version, columns, units, slots


def split_name(skeleton: Unit) -> str:
    """Return the name of the file with the whole unit, as the compiler wrote it."""
    return _text(skeleton.top, "DW_AT_dwo_name")


def older_name(unit: Unit) -> str:
    """Return the name of the file with the whole unit where a unit is a skeleton of GNU's extension of DWARF 4; "": it is none."""
    return _text(unit.top, "DW_AT_GNU_dwo_name") if unit.version < _VERSION_5 else ""


def split_unit(skeleton: Unit, kernel: str) -> Unit | None:
    """Return the whole unit of a skeleton; None where no file has it.

    Args:
        skeleton: Of the kernel's debug information.
        kernel: Path of the kernel's file. Files are looked for beside it, and where the compiler put them.
    """
    for path in _paths(skeleton.top, kernel):
        try:
            found = _read_unit(read_file(path, _LARGEST_FILE), skeleton)
        except DAMAGE:
            continue
        if found is not None:
            return found
    return None


def _paths(top: Entry, kernel: str) -> Iterator[str]:
    name, folder = _text(top, "DW_AT_dwo_name"), _text(top, "DW_AT_comp_dir")
    yield f"{kernel}.dwp"
    yield os.path.join(os.path.dirname(kernel), os.path.basename(name))
    yield os.path.join(os.path.dirname(kernel), name)
    yield os.path.join(folder, name)


def _text(top: Entry, attribute: str) -> str:
    return os.fsdecode(top.attributes[attribute].value) if attribute in top.attributes else ""


def _read_unit(data: bytes, skeleton: Unit) -> Unit | None:
    contents, index = _sections(data)
    if index:
        contents = _contribution(index, skeleton.identity, contents)
    contents["addr"] = skeleton.info.section("addr")  # they are the kernel's
    units = DebugInfo(contents, skeleton).units
    return next((unit for unit in units if unit.identity == skeleton.identity), None)


def _sections(data: bytes) -> tuple[dict[str, bytes], bytes]:
    """Return the sections of a file that are used, and its index.

    Raises:
        Damaged: It is no file with sections.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        file = ELFFile(io.BytesIO(data))
        sections = {name: file.get_section_by_name(f".debug_{name}.dwo") for name in _SECTIONS}
        contents = {name: bytes(section.data()) for name, section in sections.items() if section is not None}
        index = file.get_section_by_name(".debug_cu_index")
        return contents, b"" if index is None else bytes(index.data())
    except (ELFError, ConstructError) as error:
        raise Damaged from error


def _contribution(index: bytes, wanted: int | None, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what the sections of a .dwp file have of one unit; nothing where it has not that unit."""
    _, columns, units, slots = _INDEX_HEADER.unpack_from(index)
    signatures = struct.unpack_from(f"<{slots}Q", index, _INDEX_HEADER.size)
    rows = struct.unpack_from(f"<{slots}I", index, _INDEX_HEADER.size + 8 * slots)
    row = next(
        (row for signature, row in zip(signatures, rows, strict=True) if row and signature == wanted), 0
    )
    if not row:
        return {}
    table = struct.unpack_from(f"<{columns * (1 + 2 * units)}I", index, _INDEX_HEADER.size + 12 * slots)
    offsets = dict(zip(table, table[columns * row :], strict=False))
    sizes = dict(zip(table[:columns], table[columns * (units + row) :], strict=False))
    return {
        name: content if not number else content[offsets[number] : offsets[number] + sizes[number]]
        for name, content in contents.items()
        if not (number := _SECTIONS[name]) or number in sizes
    }
