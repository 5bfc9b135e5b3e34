"""The addresses at which blocks of an area were ever made: mostly few, for allocators hand out the same memory again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.trace.queries.distinct import distinct

if TYPE_CHECKING:
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import I64, U32


class Places(NamedTuple):
    """Such addresses, one column for each fact.

    Attributes:
        address: Ascending, none twice.
        longest: Bytes of the longest block that was made there; 0 where no size is known.
        newest: Event of the latest birth there.
    """

    address: I64
    longest: U32
    newest: U32

    @classmethod
    def of(cls, blocks: Blocks) -> Places:
        """Return where some blocks, in order of birth, were made."""
        address, by_address = distinct(blocks.address.astype(np.int64))
        longest, newest = np.zeros((2, len(address)), np.uint32)
        np.maximum.at(longest, by_address, blocks.size)
        newest[by_address] = blocks.born  # the last one counts
        return cls(address, longest, newest)

    @property
    def end(self) -> I64:
        """The first address after all of these blocks; one byte on where no size is known."""
        end: I64 = self.address + np.maximum(self.longest, 1)
        return end
