"""Pair the births and deaths of blocks.

All events of one page (or piece of pages), in order, are cut at its births. Between two births each share adds an owner to the one
that the birth gave and each death takes one away; the block dies with its last owner, or when the page is handed out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.trace.blocks.blocks import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.trace.table import U8, U32, U64, Flags

BIRTH, DEATH, SHARE, DEFERRED = 1, 2, 3, 4

_LOW: Final = np.uint64(32)


def keys_of(page: U32, event: U32) -> U64:
    """Return keys that sort events by page, then by event."""
    keys = page.astype(np.uint64)
    keys <<= _LOW
    keys |= event
    return keys


def pair(keys: U64, kinds: U8, forgotten: Callable[[U32], U32]) -> tuple[tuple[U32, U32, U32], Flags]:
    """Find the death of each birth.

    Args:
        keys: From `keys_of`, ascending.
        kinds: `BIRTH`, `DEATH` or `SHARE` by event.
        forgotten: Returns for events of birth when all such blocks are next forgotten, or `NEVER`.

    Returns:
        Page, birth and death, or `NEVER`, of each block, by page and birth; and by event whether it took an owner from a block.
    """
    events = keys.astype(np.uint32)
    pages = (keys >> _LOW).astype(np.uint32)
    kind = kinds[events]
    births = np.flatnonzero(kind == BIRTH)
    taken = np.zeros(len(kinds), np.bool_)
    born, page = events[births], pages[births]
    died = np.full(len(births), NEVER, np.uint32)
    if not len(births):
        return (page, born, died), taken
    again = page[1:] == page[:-1]
    died[:-1][again] = born[1:][again]

    piece = np.cumsum(kind == BIRTH, dtype=np.int32) - 1
    change = np.array([0, 0, -1, 1], np.int8)[kind]
    owners = np.cumsum(change, dtype=np.int32)
    owners -= owners[births][piece]
    owned = (piece >= 0) & (pages == page[piece])
    last = np.flatnonzero(owned & (owners == -1))  # one less than the birth gave
    ended = piece[last]
    first = np.ones(len(last), np.bool_)
    first[1:] = ended[1:] != ended[:-1]
    died[ended[first]] = events[last[first]]

    end = forgotten(born)
    deaths = np.flatnonzero(owned & (kind == DEATH))
    at, of = events[deaths], piece[deaths]
    taken[at[(at <= died[of]) & (at < end[of])]] = True
    return (page, born, np.minimum(died, end)), taken
