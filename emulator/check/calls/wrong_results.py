"""Blocks that no allocator may hand out: over a live one, misaligned, outside RAM, or inside the kernel's code.

Shortcomings. What is outside the heap, but in RAM, is left to who knows the heap. A heap in a static array is fine, so only
segments that are not writable count as the kernel's own. With paging nothing is said about RAM: an address may be mapped
anywhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.calls.blocks_text import block_text, with_size
from emulator.check.calls.wrong_frees import MOST_ALIKE
from emulator.check.findings import Finding, Kind
from emulator.check.leaks.guest_words import GuestWords
from emulator.loader.image import SegmentFlags
from emulator.machine.lives import Lives, find_overlaps
from emulator.profile.model import Role
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.check.calls.area import Area
    from emulator.machine.machine import Machine
    from emulator.trace.columns import U32

ALIGNMENT: Final = 4
"""Of every block, in bytes: that of a pointer."""

LOW_RAM: Final = 0xA0000  # bytes; above them are video memory and ROM
_MOST_OVERLAPS: Final = 4096
_PAGE_BITS: Final = 12


class KnownMemory(NamedTuple):
    """Where a kernel's blocks can be; all ranges are [start, end).

    Attributes:
        usable: Ranges of addresses that RAM can have; None: any address.
        fixed: The kernel's code and constants.
    """

    usable: Sequence[tuple[int, int]] | None
    fixed: Sequence[tuple[int, int]]


def known_memory(machine: Machine) -> KnownMemory:
    """Return what a machine's memory is, at the end of its run."""
    paging = GuestWords(machine).paging
    return KnownMemory(
        None if paging else ((0, LOW_RAM), machine.ram),
        [
            (segment.virtual, segment.virtual + segment.size)
            for segment in machine.image.segments
            if not segment.flags & SegmentFlags.W
        ],
    )


def overlapping(area: Area) -> Iterator[Finding]:
    """Yield the blocks that were made over live ones."""
    blocks = area.blocks
    shift = np.uint32(_PAGE_BITS if area.pages else _common_zeros(blocks.address))
    last = np.minimum(
        blocks.address.astype(np.uint64) + np.maximum(blocks.size, 1) - np.uint64(1), WORD_MAX
    ).astype(np.uint32)
    lives = Lives((blocks.address >> shift).data, (last >> shift).data, blocks.born.data, blocks.died.data)
    count, found = find_overlaps(lives, area.trace.event_count, _MOST_OVERLAPS)
    by_call = {int(blocks.born_call[index]): index for index in reversed(found)}
    most = (f"the first {len(found)} of {count} blocks that overlap were looked at",) * (count > len(found))
    for call, details in area.first_of_each(np.array(sorted(by_call), np.uint32), MOST_ALIKE).items():
        yield replace(_overlap(area, call, by_call[call]), details=details + most)
        most = ()


def _common_zeros(addresses: U32) -> int:
    """Return how many low bits are 0 in all addresses: larger units are followed faster."""
    bits = int(np.bitwise_or.reduce(addresses)) | 1 << _PAGE_BITS
    return (bits & -bits).bit_length() - 1


def _overlap(area: Area, call: int, index: int) -> Finding:
    blocks = area.blocks
    starts = blocks.address.astype(np.int64)
    ends = starts + np.maximum(blocks.size, 1)
    born = blocks.born[index]
    under = (starts < ends[index]) & (ends > starts[index]) & (blocks.born < born) & (blocks.died >= born)
    history = area.call_sites.history(blocks, int(np.flatnonzero(under)[-1]))
    new = with_size(int(starts[index]), int(blocks.size[index]))
    at = f"0x{history.address:08x}"
    message = f"overlapping blocks: {new} was allocated over the live {block_text(history)} at {at}"
    return Finding(Kind.OVERLAP, area.name, message, area.call_sites.exit(call), replace(history, freed=None))


def bad_results(area: Area, memory: KnownMemory) -> Iterator[Finding]:
    """Yield the blocks that cannot be where they are said to be."""
    problems: dict[int, str] = {}
    for index, problem in (*_misaligned(area), *_misplaced(area, memory)):
        problems.setdefault(int(area.blocks.born_call[index]), problem)
    calls = np.array(sorted(problems), np.uint32)
    for call, details in area.first_of_each(calls, MOST_ALIKE).items():
        index = int(np.flatnonzero(area.blocks.born_call == call)[0])
        history = area.call_sites.history(area.blocks, index)
        message = f"bad result: {with_size(history.address, history.size)} {problems[call]}"
        yield Finding(Kind.BAD_RESULT, area.name, message, area.call_sites.exit(call), details=details)


def _misaligned(area: Area) -> Iterator[tuple[int, str]]:
    address = area.blocks.address
    for index in np.flatnonzero(address & np.uint32(ALIGNMENT - 1)).tolist():
        yield index, f"is not aligned to {ALIGNMENT} bytes"
    for code, function in area.functions(Role.ALLOC, Role.REALLOC):
        if "align" not in function.parameters:
            continue
        columns = area.trace.columns
        rows = area.blocks.born_call.astype(np.int64) - 1
        mine = np.flatnonzero(columns.function[rows] == code)
        align = columns.argument(function.parameters.index("align"))[rows[mine]]
        power = (align & (align - np.uint32(1))) == 0  # what else it may mean is not known
        wrong = power & ((address[mine] & (align - np.uint32(1))) != 0) & (align != 0)
        for index, asked in zip(mine[wrong].tolist(), align[wrong].tolist(), strict=True):
            yield index, f"is not aligned to the {asked} bytes that were asked for"


def _misplaced(area: Area, memory: KnownMemory) -> Iterator[tuple[int, str]]:
    start = area.blocks.address
    last = start + np.maximum(area.blocks.size, 1).astype(np.uint64) - np.uint64(1)
    for low, end in memory.fixed:
        for index in np.flatnonzero((start < end) & (last >= low)).tolist():
            yield index, f"lies in the kernel's own code at 0x{low:08x}-0x{end:08x}"
    if memory.usable is not None:
        inside = np.zeros(len(start), np.bool_)
        for low, end in memory.usable:
            inside |= (start >= low) & (last < end)
        for index in np.flatnonzero(~inside).tolist():
            yield index, "lies outside RAM"
