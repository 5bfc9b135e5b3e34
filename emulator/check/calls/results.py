"""Blocks where none can be: misaligned, outside RAM, or inside the kernel's code.

Shortcomings. A block outside the heap, but in RAM, is found by the audit of a known kernel only. A heap in a static array is
fine, so only segments that are not writable count as the kernel's own. With paging nothing is said about RAM: an address may
be mapped anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.findings import Finding, Kind, sized_address
from emulator.loader.segments import SegmentFlags
from emulator.x86 import Cr0

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.check.area import Area
    from emulator.machine.machine import Machine
    from emulator.trace.table import I64, U32

LOW_RAM: Final = 0xA0000  # bytes; above them are video memory and ROM


class KnownMemory(NamedTuple):
    """Where a kernel's blocks can be; all ranges are [start, end).

    Attributes:
        usable: Ranges of addresses that RAM can have; None: any address.
        fixed: The kernel's code and constants.
    """

    usable: Sequence[tuple[int, int]] | None
    fixed: Sequence[tuple[int, int]]


def known_memory(machine: Machine, *, has_mappings: bool = False) -> KnownMemory:
    """Return where the blocks of a machine's kernel can be, as it is at the end of its run.

    Args:
        machine: As the run left it.
        has_mappings: Whether the kernel has page tables that are known, and may hand out linear addresses before paging is on.
    """
    paging = machine.registers().cr0 & Cr0.PG
    return KnownMemory(
        None if paging or has_mappings else ((0, LOW_RAM), machine.ram),
        [
            (segment.virtual, segment.virtual + segment.size)
            for segment in machine.image.segments
            if not segment.flags & SegmentFlags.W
        ],
    )


def bad_results(area: Area, memory: KnownMemory) -> Iterator[Finding]:
    """Yield a finding for each block that cannot be where the allocator put it."""
    problems: dict[int, str] = {}
    for index, problem in (*_misaligned(area), *_misplaced(area, memory)):
        problems.setdefault(int(area.blocks.born_call[index]), problem)
    calls = np.array(sorted(problems), np.uint32)
    for call, details in area.first_of_each(calls).items():
        index = int(np.flatnonzero(area.blocks.born_call == call)[0])
        block = sized_address(int(area.blocks.address[index]), int(area.blocks.size[index]))
        message = f"bad result: {block} {problems[call]}"
        yield Finding(Kind.BAD_RESULT, area.name, message, area.call_sites.exit(call), details=details)


def _misaligned(area: Area) -> Iterator[tuple[int, str]]:
    if area.flat is None or (area.places.address & (area.rules.alignment - 1)).any():
        yield from _against_rules(area, area.blocks.address)
    for blocks, align in area.allocations("align"):
        power = (align & (align - np.uint32(1))) == 0  # what else it may mean is not known
        wrong = power & ((area.blocks.address[blocks] & (align - np.uint32(1))) != 0) & (align != 0)
        for index, asked in zip(blocks[wrong].tolist(), align[wrong].tolist(), strict=True):
            yield index, f"is not aligned to the {asked} bytes that were asked for"


def _against_rules(area: Area, address: U32) -> Iterator[tuple[int, str]]:
    """Yield the blocks that are not aligned as all of the area have to be."""
    alignment = area.rules.alignment
    if area.pages:
        births = area.operations.births
        odd = births.where((births.address & np.uint32(alignment - 1)) != 0)
        for call, answered in zip((odd.rows + 1).tolist(), odd.address.tolist(), strict=True):
            for index in np.flatnonzero(area.blocks.born_call == call).tolist():
                yield index, f"was answered as 0x{answered:08x}, which is not aligned to {alignment} bytes"
    for index in np.flatnonzero(address & np.uint32(alignment - 1)).tolist():
        yield index, f"is not aligned to {alignment} bytes"


def _misplaced(area: Area, memory: KnownMemory) -> Iterator[tuple[int, str]]:
    places = area.places
    if not any(len(found) for found, _ in _outside(places.address, places.end, memory)):
        return
    blocks = area.blocks
    start = blocks.address.astype(np.int64)
    for found, problem in _outside(start, start + np.maximum(blocks.size, 1), memory):
        for index in found.tolist():
            yield index, problem


def _outside(start: I64, end: I64, memory: KnownMemory) -> Iterator[tuple[I64, str]]:
    """Yield the positions of ranges [start, end) that are not where blocks can be, and why not."""
    for low, stop in memory.fixed:
        found = np.flatnonzero((start < stop) & (end > low))
        yield found, f"lies in the kernel's own code at 0x{low:08x}-0x{stop:08x}"
    if memory.usable is not None:
        inside = np.zeros(len(start), np.bool_)
        for low, stop in memory.usable:
            inside |= (start >= low) & (end <= stop)
        yield np.flatnonzero(~inside), "lies outside RAM"
