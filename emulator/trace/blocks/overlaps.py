"""Find blocks that were made over live ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.machine.core.lives import Lives, find_overlaps
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import U32

_PAGE_BITS: Final = 12


def made_over_live(blocks: Blocks, last_event: int, most: int, *, pages: bool) -> tuple[int, list[int]]:
    """Find the blocks that were made over live ones. Each is left out from then on, as if it had not been made.

    Args:
        blocks: All blocks of an area.
        last_event: The last event there is.
        most: How many to return.
        pages: They are runs of pages.

    Returns:
        How many there are, and the positions of the first *most*.

    Raises:
        HostError: No memory is left.
    """
    shift = np.uint32(_PAGE_BITS if pages else _common_zeros(blocks.address))
    last = np.minimum(
        blocks.address.astype(np.uint64) + np.maximum(blocks.size, 1) - np.uint64(1), WORD_MAX
    ).astype(np.uint32)
    lives = Lives((blocks.address >> shift).data, (last >> shift).data, blocks.born.data, blocks.died.data)
    return find_overlaps(lives, last_event, most)


def _common_zeros(addresses: U32) -> int:
    """Return how many low bits are 0 in all addresses: the search is faster in larger units."""
    bits = int(np.bitwise_or.reduce(addresses)) | 1 << _PAGE_BITS
    return (bits & -bits).bit_length() - 1
