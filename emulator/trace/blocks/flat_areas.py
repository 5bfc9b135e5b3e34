"""The life of every block of the areas that are flat: no call about their blocks is in another one, and each block comes and goes as a whole.

One pass of the core over the calls, chunk by chunk, without memory for anything but its result. `history` is for all other areas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.machine.core.flat_areas import OF_BLOCKS, OF_CALLS, FlatAreas, NarrowColumn, column_names
from emulator.profile.functions import Role
from emulator.trace.blocks.block_functions import block_functions
from emulator.trace.blocks.blocks import Blocks
from emulator.trace.blocks.history import AreaHistory, FlatFacts
from emulator.trace.blocks.places import Places
from emulator.trace.kept_columns import KeptColumns
from emulator.trace.queries.totals import Peak
from emulator.trace.table import argument_count
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.machine.core.flat_areas import FlatArea
    from emulator.trace.table import I64, U32, CallTable, Column


def flat_histories(calls: CallTable) -> dict[str, AreaHistory]:
    """Work out the history of each area of the profile that is flat, by name.

    Raises:
        HostError: No memory is left.
    """
    profile = calls.profile
    rooms = [_room(calls, area) for area in profile.areas]
    areas = FlatAreas(
        block_functions(profile),
        [
            (profile.pages(area), {name: column.data for name, column in room.items()})
            for area, room in zip(profile.areas, rooms, strict=True)
        ],
    )
    count = argument_count(profile)
    for chunk in calls.chunks:
        columns = {name: _narrow(chunk.columns, name) for name in column_names(count)}
        if not areas.follow(chunk.first_call, chunk.rows, columns, count):
            return {}
    found = zip(profile.areas, rooms, areas.end(), strict=True)
    return {area: _history(room, flat) for area, room, flat in found if flat is not None}


def _narrow(columns: Mapping[str, Column], name: str) -> NarrowColumn:
    if not isinstance(columns, KeptColumns):
        column = columns[name]
        return NarrowColumn(column.data, column.itemsize)
    kept = columns.kept(name)
    lowest = int(kept.lowest) & WORD_MAX
    if kept.above.strides == (0,):
        return NarrowColumn(None, 0, lowest, kept.step)
    return NarrowColumn(kept.above.data, kept.above.itemsize, lowest, kept.step)


def _room(calls: CallTable, area: str) -> dict[str, U32]:
    """Return columns with room for all that calls can have done to an area."""
    makes = sum(_counts(calls, area, Role.ALLOC, Role.REALLOC))
    frees = sum(_counts(calls, area, Role.FREE, Role.REALLOC))
    rooms = dict.fromkeys(OF_CALLS, makes) | {"stray": frees}
    of_blocks = np.empty((len(OF_BLOCKS), makes), np.uint32)  # in one piece: the host hands out larger pages
    return {
        **dict(zip(OF_BLOCKS, of_blocks, strict=True)),
        **{name: np.empty(room, np.uint32) for name, room in rooms.items()},
    }


def _counts(calls: CallTable, area: str, *roles: Role) -> Iterator[int]:
    for function, count in zip(calls.functions, calls.counts.tolist(), strict=True):
        if function.area == area and function.role in roles:
            yield count


def _history(columns: dict[str, U32], flat: FlatArea) -> AreaHistory:
    places, live = _places_and_live(flat)
    return AreaHistory(
        Blocks(*(columns[name][: flat.blocks] for name in OF_BLOCKS)),
        np.sort(columns["failed"][: flat.failed]),
        columns["stray"][: flat.stray],
        FlatFacts(Peak(*flat.peak), flat.may_overlap, flat.pools_fit, flat.sizes_fit, places, live),
    )


def _places_and_live(flat: FlatArea) -> tuple[Places, I64]:
    address, longest, newest, live = (np.frombuffer(column, np.uint32) for column in flat.places)
    order = np.argsort(address)
    places = Places(address[order].astype(np.int64), longest[order], newest[order])
    return places, np.sort(live[live > 0].astype(np.int64) - 1)
