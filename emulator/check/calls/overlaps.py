"""Blocks that were allocated over live ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.check.area import ENDING
from emulator.check.findings import Finding, Kind, sized_address
from emulator.profile.functions import Role
from emulator.trace.blocks.blocks import Blocks
from emulator.trace.blocks.overlaps import made_over_live

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.area import Area

_MOST_OVERLAPS: Final = 4096


def overlapping(area: Area) -> Iterator[Finding]:
    """Yield a finding for each block that was allocated over a live one."""
    if area.flat is not None and not area.flat.may_overlap:
        return
    blocks = _that_matter(area)
    count, found = made_over_live(blocks, area.trace.event_count, _MOST_OVERLAPS, pages=area.pages)
    unseen = area.unseen_from(*ENDING)  # from then on a block may have been given back
    by_call = {
        int(blocks.born_call[index]): index for index in reversed(found) if blocks.born[index] < unseen
    }
    most = (f"the first {len(found)} of {count} blocks that overlap were looked at",) * (count > len(found))
    for call, details in area.first_of_each(np.array(sorted(by_call), np.uint32)).items():
        yield replace(_overlap(area, blocks, call, by_call[call]), details=details + most)
        most = ()


def _that_matter(area: Area) -> Blocks:
    """Return the blocks but for those of no bytes where none is given back by its address: nobody minds who else has that."""
    blocks = area.blocks
    if any(area.functions(Role.FREE, Role.REALLOC, Role.DEFER)):
        return blocks
    matter = np.ones(len(blocks.address), bool)
    for positions, sizes in area.allocations("size"):
        matter[positions[sizes == 0]] = False
    return blocks if matter.all() else Blocks(*(column[matter] for column in blocks))


def _overlap(area: Area, blocks: Blocks, call: int, index: int) -> Finding:
    starts = blocks.address.astype(np.int64)
    ends = starts + np.maximum(blocks.size, 1)
    born = blocks.born[index]
    under = (starts < ends[index]) & (ends > starts[index]) & (blocks.born < born) & (blocks.died >= born)
    history = area.call_sites.history(blocks, int(np.flatnonzero(under)[-1]))
    new = sized_address(int(starts[index]), int(blocks.size[index]))
    at = f"0x{history.address:08x}"
    message = f"overlapping blocks: {new} was allocated over the live {history.name} at {at}"
    return Finding(Kind.OVERLAP, area.name, message, area.call_sites.exit(call), history._replace(freed=None))
