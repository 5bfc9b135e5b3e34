"""Blocks of memory with their lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from emulator.trace.table import I64, U32, Flags

NEVER: Final = 0xFFFF_FFFF
"""Event of the death of a block that lived to the end."""


class Blocks(NamedTuple):
    """Some blocks of an area in order of birth, one column for each fact. There are ``len(blocks.born)``.

    In an area of pages a row is what came and went together: a run that is given back in parts has a row for each part.

    Attributes:
        address: Where it begins.
        size: Bytes; 0 where the profile does not say.
        born: Event of the return of the call that made it.
        born_call: That call.
        died: Event of the entry of the call that freed it, or forgot it, or else of the return of a call that made a block at its
            address; `NEVER`: it lived to the end.
        died_call: The call that freed or forgot it; 0 if none did.
        stack: Call stack of the call that made it.
    """

    address: U32
    size: U32
    born: U32
    born_call: U32
    died: U32
    died_call: U32
    stack: U32

    def where(self, chosen: Flags) -> Blocks:
        """Return the blocks for which *chosen* is true."""
        return self.at(np.flatnonzero(chosen))

    def at(self, rows: I64) -> Blocks:
        """Return the blocks in some rows."""
        return Blocks(*(column[rows] for column in self))

    def live_after(self, event: int) -> Blocks:
        """Return those that were live after an event."""
        return self.where((self.born <= event) & (self.died > event))
