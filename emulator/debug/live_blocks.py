"""Blocks that live at one moment, by area, and who made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.guest.symbolizer import Frame
    from emulator.trace.trace import Trace

BLOCKS_MAX: Final = 500
"""Blocks of an area that are told one by one."""


class LiveBlock(NamedTuple):
    """A block.

    Attributes:
        address: As the kernel writes it.
        size: Bytes; 0 where the profile does not say.
        call: Number of the call that made it.
        born: Event of that call's return.
        owner: Who called; None: it is not known.
    """

    address: int
    size: int
    call: int
    born: int
    owner: Frame | None


class LiveArea(NamedTuple):
    """An area of the profile.

    Attributes:
        name: Its name.
        block_count: All its live blocks.
        size: Bytes of all of them.
        blocks: The first `BLOCKS_MAX`, by address.
    """

    name: str
    block_count: int
    size: int
    blocks: tuple[LiveBlock, ...]


def live_areas(trace: Trace, event: int) -> Iterator[LiveArea]:
    """Yield the areas of a trace of which blocks are known, as they were after an event."""
    for area in trace.areas:
        live = trace.live(event, area)
        blocks = []
        for row in live.address.argsort(kind="stable")[:BLOCKS_MAX].tolist():
            address, size, born, call, _, _, stack = (int(column[row]) for column in live)
            frames = trace.frames(stack)
            blocks.append(LiveBlock(address, size, call, born, frames[0] if frames else None))
        yield LiveArea(area, len(live.born), int(live.size.sum(dtype="u8")), tuple(blocks))
