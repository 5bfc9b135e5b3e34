"""The words for locations and defects, made here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import LocationKind

if TYPE_CHECKING:
    from kernel_model.audit import Defect, Location

_PARTS: Final = {LocationKind.BLOCK: "block", LocationKind.AREA: "area"}


def location_text(location: Location) -> str:
    """Return the words for a location.

    Examples: ``heap_free_list``, ``memmap.bitmap``, ``ready_head[10]``, ``tcb_table[3].wercd``,
    ``pmem_table[0x00000123].refcount``, ``heap block 0x0010a000 .size`` (blocks are named by their headers), ``mpl 7 block
    0x80140010 body byte 24``, ``kmem area 0x80142000 .next``, ``bitmap byte 12 (frames 352..359)``, ``bitmap bytes 12..13
    (frames 352..367)``, ``heap byte 0x0010a010, behind a broken header``, ``stack of kmain``, ``symbol+0x1c``,
    ``boot (padding)``, ``page table entry of 0xc0001000``, ``page directory entry of 0x00400000 (task 3)``.
    """
    match location.kind:
        case LocationKind.BITMAP:
            return _bitmap_text(location)
        case LocationKind.BLOCK | LocationKind.AREA:
            owner, part = _owner(location), _PARTS[location.kind]
            return f"{owner} {part} 0x{location.item:08x} {_member(location) or _body(location)}"
        case LocationKind.UNREADABLE:
            return f"{_owner(location)} byte 0x{location.start:08x}, behind a broken {location.field}"
        case LocationKind.PAGE:
            return f"{location.object}[0x{location.item:08x}]{_member(location)}"
        case LocationKind.VARIABLE | LocationKind.PADDING:
            return _variable_text(location)
        case LocationKind.ENTRY | LocationKind.STACK:
            return (
                _entry_text(location)
                if location.kind is LocationKind.ENTRY
                else f"stack of {location.object}"
            )


def location_or_address(address: int, location: Location | None) -> str:
    """Return the words for a location of *address*; where nothing is known, the address itself."""
    return f"0x{address:08x}" if location is None else location_text(location)


def defect_text(defect: Defect) -> str:
    """Return one line for a defect, such as ``0x0010a000 size = 0x00000007: not a multiple of 8``."""
    problem = violation_text(defect)
    if defect.invariant.names_word:
        return problem
    return f"0x{defect.address:08x} {word_text(defect.location)} = 0x{defect.value:08x}: {problem}"


def violation_text(defect: Defect) -> str:
    """Return what is wrong, without the word that it is about unless the invariant names it."""
    return defect.invariant.violation.format(*defect.values)


def word_text(location: Location) -> str:
    """Return a short name for a word that is shown with its address: of a header, the member alone."""
    match location.kind:
        case LocationKind.BLOCK | LocationKind.AREA:
            return location.field
        case LocationKind.BITMAP:
            return location.object
        case _:
            return location_text(location)


def _owner(location: Location) -> str:
    return location.object if location.number is None else f"{location.object} {location.number}"


def _variable_text(location: Location) -> str:
    element = "" if location.item is None else f"[{location.item}]"
    offset = "" if location.byte is None else f"+0x{location.byte:x}"
    padding = " (padding)" if location.kind is LocationKind.PADDING else ""
    return f"{location.object}{element}{_member(location)}{offset}{padding}"


def _member(location: Location) -> str:
    separator = "" if location.field.startswith("[") else "."  # of an array of arrays there is a second index
    return f"{separator}{location.field}" if location.field else ""


def _body(location: Location) -> str:
    return "body" if location.byte is None else f"body byte {location.byte}"


def _entry_text(location: Location) -> str:
    task = "" if location.number is None else f" (task {location.number})"
    return f"{location.object} entry of 0x{location.item:08x}{task}"


def _bitmap_text(location: Location) -> str:
    first, count = location.byte, location.end - location.start
    assert first is not None  # noqa: S101 - a bitmap's location has it
    span = f"byte {first}" if count == 1 else f"bytes {first}..{first + count - 1}"
    return f"bitmap {span} (frames {location.frames.start}..{location.frames.stop - 1})"
