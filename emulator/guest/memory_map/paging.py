"""Add address spaces to a memory map, and the frames of their directories and tables as regions of a kind of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import NotEmulated
from emulator.guest.memory_map.regions import (
    FRAME_SIZE,
    Region,
    RegionKind,
    add_regions,
    between,
    by_address,
    joined,
)
from emulator.guest.memory_map.space_reader import read_spaces
from emulator.hle.kernels import kernel_named, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.guest.memory_map.memory_map import MemoryMap
    from emulator.guest.memory_map.regions import Span
    from emulator.guest.memory_map.space_reader import NamedSpace
    from emulator.hle.kernels import Models
    from emulator.machine.machine import Machine


def with_spaces(machine: Machine, found: MemoryMap, models: Models | None) -> MemoryMap:
    """Return a memory map with the address spaces of a machine whose paging is on.

    Args:
        machine: Stopped.
        found: What is known without them.
        models: The kernel's, if it is one that is known.
    """
    notes = list(found.notes)
    try:
        spaces = read_spaces(machine, _named_spaces(found.kernel, models, notes))
    except NotEmulated as error:
        return found._replace(notes=(*found.notes, f"address spaces are unknown: {error.problem}"))
    frames = {frame for space in spaces.spaces for frame in space.tables}
    return _with_tables(found, list(joined((each, each + FRAME_SIZE) for each in frames)))._replace(
        spaces=spaces, notes=tuple(notes)
    )


def _named_spaces(name: str | None, models: Models | None, notes: list[str]) -> list[NamedSpace] | None:
    """Return all spaces of a kernel by its own tables; None: it is not known which it has. *notes* gets what cannot be read."""
    kernel = None if name is None else kernel_named(name)
    if kernel is None or models is None or not kernel.address_spaces:
        return None
    spaces: list[NamedSpace] | None = load(kernel.address_spaces)(models, notes)
    return spaces


def _with_tables(found: MemoryMap, spans: list[Span]) -> MemoryMap:
    """Let page tables be regions: what is in others already, like a directory in the image, is taken out of them."""
    others = [piece for region in found.regions for piece in _without(region, spans)]
    tables = [Region(*span, RegionKind.PAGING) for span in spans]
    new = list(_outside(spans, found.regions))
    counted = 0
    if found.frames is not None:
        counted = sum(found.frames.used_in(start // FRAME_SIZE, end // FRAME_SIZE) for start, end in new)
    regions = by_address(add_regions(tables, others))
    return found._replace(regions=tuple(regions), reserved=found.reserved + counted)


def _without(region: Region, spans: Iterable[Span]) -> Iterable[Region]:
    for start, end in between(spans, region.start, region.end):
        yield region._replace(start=start, end=end)


def _outside(spans: Iterable[Span], regions: Iterable[Region]) -> Iterable[Span]:
    """Yield the parts of spans, whole frames, of which no region has a byte."""
    taken = [
        (each.start // FRAME_SIZE * FRAME_SIZE, -(-each.end // FRAME_SIZE) * FRAME_SIZE) for each in regions
    ]
    for start, end in spans:
        yield from between(taken, start, end)
