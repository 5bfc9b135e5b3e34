"""Units of debug information that are in files of their own, which the linker does not read: .dwo files, or a .dwp file of all of them.

The kernel has a skeleton of such a unit, which names the file. A file that is not there, or is of another build, is no error: less is known then.

Shortcomings. Only the format of DWARF 5 is read, not that of GNU's extension of DWARF 4 before it: see `older_name`.

Source: DWARF 5, sections 3.1.3, 7.3.2 and 7.3.5.
"""

from __future__ import annotations

import io
import os.path
import struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from emulator.loader.dwarf.debug_info import damage, open_debug_info
from emulator.loader.files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Entry: TypeAlias = Any  # pyelftools' DIEs and units, which have few types

_VERSION_5: Final = 5
_LARGEST_FILE: Final = 1 << 30  # bytes
_SECTIONS: Final = {"info": 1, "abbrev": 3, "loclists": 5, "str_offsets": 6, "rnglists": 8, "str": 0}
"""Those that are used, with their numbers in the index of a .dwp file; 0: it has one for all units."""

_BASES: Final = {"DW_AT_str_offsets_base": 8, "DW_AT_loclists_base": 12, "DW_AT_rnglists_base": 12}
"""Where the tables of a unit begin in its sections, after their headers."""

_INDEX_HEADER: Final = struct.Struct("<IIII")  # version, columns, units, slots


def is_skeleton(unit: Entry) -> bool:
    """Return whether a unit only names the file with the whole one."""
    return bool(unit["version"] >= _VERSION_5 and unit["unit_type"] == "DW_UT_skeleton")


def split_name(skeleton: Entry) -> str:
    """Return the name of the file with the whole unit, as the compiler wrote it."""
    return _text(skeleton.get_top_DIE(), "DW_AT_dwo_name")


def older_name(unit: Entry) -> str:
    """Return the name of the file with the whole unit where a unit is a skeleton of GNU's extension of DWARF 4; "": it is none."""
    return _text(unit.get_top_DIE(), "DW_AT_GNU_dwo_name") if unit["version"] < _VERSION_5 else ""


def split_unit(skeleton: Entry, kernel: str) -> Entry | None:
    """Return the whole unit of a skeleton; None where no file has it.

    Args:
        skeleton: Of the kernel's debug information.
        kernel: Path of the kernel's file. Files are looked for beside it, and where the compiler put them.
    """
    for path in _paths(skeleton.get_top_DIE(), kernel):
        try:
            found = _read_unit(read_file(path, _LARGEST_FILE), skeleton)
        except damage():
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


def _read_unit(data: bytes, skeleton: Entry) -> Entry | None:
    from elftools.elf.elffile import ELFFile

    file = ELFFile(io.BytesIO(data))
    sections = {name: file.get_section_by_name(f".debug_{name}.dwo") for name in _SECTIONS}
    contents = {name: bytes(section.data()) for name, section in sections.items() if section is not None}
    index = file.get_section_by_name(".debug_cu_index")
    wanted = skeleton.header["dwo_id"]
    if index is not None:
        contents = _contribution(bytes(index.data()), wanted, contents)
    addresses = skeleton.dwarfinfo.debug_addr_sec  # they are the kernel's
    contents["addr"] = b"" if addresses is None else addresses.stream.getvalue()
    dwarf = open_debug_info(contents)
    unit = None if dwarf is None else next(dwarf.iter_CUs(), None)
    if unit is None or unit.header["dwo_id"] != wanted:
        return None
    return _completed(unit, skeleton)


def _contribution(index: bytes, wanted: int, contents: Mapping[str, bytes]) -> dict[str, bytes]:
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


def _completed(unit: Entry, skeleton: Entry) -> Entry:
    """Give the first entry of a unit what its skeleton says, and what is the same in all files, before pyelftools needs it."""
    from elftools.dwarf.die import DIE, AttributeValue

    top = DIE(unit, unit.dwarfinfo.debug_info_sec.stream, unit.cu_die_offset)
    for name, base in _BASES.items():
        top.attributes[name] = AttributeValue(name, "DW_FORM_sec_offset", base, base, 0, 0)
    for name, attribute in skeleton.get_top_DIE().attributes.items():
        top.attributes.setdefault(name, attribute)
    unit._dielist.append(top)  # noqa: SLF001 - where `get_top_DIE` looks for it
    unit._diemap.append(unit.cu_die_offset)  # noqa: SLF001 - as above
    top._translate_indirect_attributes()  # noqa: SLF001 - as `get_top_DIE` does
    return unit
