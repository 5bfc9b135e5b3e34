"""What became of the blocks of areas that are flat: no call about their blocks is in another one, and each block comes and goes as a whole.

One pass of the core over the calls, chunk by chunk, without memory for anything but its result. `history` is for all other areas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.machine.core.flat_areas import OF_BLOCKS, OF_CALLS, FlatAreas, NarrowColumn, column_names
from emulator.profile.functions import Role
from emulator.trace.blocks.block_functions import block_functions
from emulator.trace.blocks.blocks import NEVER, Blocks
from emulator.trace.blocks.history import FlatFacts
from emulator.trace.blocks.places import Places
from emulator.trace.kept_columns import KeptColumns
from emulator.trace.queries.totals import Peak
from emulator.trace.table import argument_count
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator, Mapping

    from emulator.machine.core.flat_areas import FlatArea
    from emulator.trace.table import U32, CallTable, Column

_FEW: Final = 1 << 16
"""Blocks whose lives take less time to work out than another pass over the calls would."""


class FlatHistories(NamedTuple):
    """What is known of the areas that are flat, by name.

    Attributes:
        facts: Of all of them.
        blocks: All blocks that ever lived, of those of which they were worked out.
    """

    facts: dict[str, FlatFacts]
    blocks: dict[str, Blocks]


def flat_histories(calls: CallTable, *, each_block: bool = True) -> FlatHistories:
    """Work out the history of each area of the profile that is flat.

    Args:
        calls: All calls.
        each_block: Whether to work out the life of each block where blocks are many, too: that takes most of the time and of the memory.

    Raises:
        HostError: No memory is left.
    """
    profile = calls.profile
    rooms = [_room(calls, area, each_block=each_block) for area in profile.areas]
    areas = FlatAreas(
        block_functions(profile),
        [
            (profile.pages(area), {name: column.data for name, column in room.items()})
            for area, room in zip(profile.areas, rooms, strict=True)
        ],
    )
    count, histories = argument_count(profile), FlatHistories({}, {})
    for chunk in calls.chunks:
        columns = {name: _narrow(chunk.columns, name) for name in column_names(count)}
        if not areas.follow(chunk.first_call, chunk.rows, columns, count):
            return histories
    for area, room, flat in zip(profile.areas, rooms, areas.end(), strict=True):
        if flat is not None:
            histories.facts[area] = _facts(calls, room, flat)
            if room.keys() >= set(OF_BLOCKS):
                histories.blocks[area] = Blocks(*(room[name][: flat.blocks] for name in OF_BLOCKS))
    return histories


def _narrow(columns: Mapping[str, Column], name: str) -> NarrowColumn:
    kept = columns.kept(name) if isinstance(columns, KeptColumns) else None
    if kept is None or kept.odd is not None:
        column = columns[name]
        return NarrowColumn(column.data, column.itemsize)
    lowest = int(kept.lowest) & WORD_MAX
    if kept.above.strides == (0,):
        return NarrowColumn(None, 0, lowest, kept.step)
    return NarrowColumn(kept.above.data, kept.above.itemsize, lowest, kept.step)


def _room(calls: CallTable, area: str, *, each_block: bool) -> dict[str, U32]:
    """Return columns with room for all that calls can have done to an area; those of blocks only if each is wanted or they are few."""
    makes = sum(_counts(calls, area, Role.ALLOC, Role.REALLOC))
    frees = sum(_counts(calls, area, Role.FREE, Role.REALLOC))
    rooms = dict.fromkeys(OF_CALLS, makes) | {"stray": frees}
    room = {name: np.empty(count, np.uint32) for name, count in rooms.items()}
    if each_block or makes <= _FEW:
        in_one_piece = np.empty((len(OF_BLOCKS), makes), np.uint32)  # so the host hands out larger pages
        room |= dict(zip(OF_BLOCKS, in_one_piece, strict=True))
    return room


def _counts(calls: CallTable, area: str, *roles: Role) -> Iterator[int]:
    for function, count in zip(calls.functions, calls.counts.tolist(), strict=True):
        if function.area == area and function.role in roles:
            yield count


def _facts(calls: CallTable, room: dict[str, U32], flat: FlatArea) -> FlatFacts:
    address, longest, newest = _ordered(flat.places, by=0)
    return FlatFacts(
        np.sort(room["failed"][: flat.failed]),
        room["stray"][: flat.stray],
        Peak(*flat.peak),
        flat.may_overlap,
        flat.pools_fit,
        flat.sizes_fit,
        Places(address.astype(np.int64), longest, newest),
        _live(calls, flat),
    )


def _live(calls: CallTable, flat: FlatArea) -> Blocks:
    address, size, born, born_call = _ordered(flat.live, by=OF_BLOCKS.index("born"))
    never, none = np.full(len(born), NEVER, np.uint32), np.zeros(len(born), np.uint32)
    stack = calls.take("stack", born_call.astype(np.int64) - 1)
    return Blocks(address, size, born, born_call, never, none, stack)


def _ordered(columns: list[array[int]], by: int) -> list[U32]:
    """Return columns in the order of one of them."""
    found = [np.frombuffer(column, np.uint32) for column in columns]
    order = np.argsort(found[by])
    return [column[order] for column in found]
