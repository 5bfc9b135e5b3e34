"""Bytes of memory as they are at one moment, and what allocators have made of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.machine.machine import Machine
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.trace import Trace

ROW: Final = 16
_AROUND: Final = 2  # rows before and after
_ROWS_MAX: Final = 64

OTHER, LIVE, FREED = range(3)
"""States of a byte: in no block so far; in one that lives; in one that died, and in none that lives."""


class DumpRow(NamedTuple):
    """Some bytes, `ROW` at most.

    Attributes:
        address: Linear, of the first.
        data: What they are.
        states: Of each, `LIVE`, `FREED` or `OTHER`.
    """

    address: int
    data: bytes
    states: tuple[int, ...]


def read_dump(
    machine: Machine, trace: Trace | None, event: int, address: int, size: int = 1
) -> Iterator[DumpRow]:
    """Yield the rows around some bytes; those that are not mapped are left out.

    Args:
        machine: It stands after the event.
        trace: Of its run; None: no allocator is known.
        event: Number of the newest event.
        address: Linear.
        size: Bytes; where they are many, only the first are shown.
    """
    first = address - address % ROW - _AROUND * ROW
    rows = min((address % ROW + max(size, 1) + ROW - 1) // ROW, _ROWS_MAX) + 2 * _AROUND
    states = _states(trace, event, first, first + rows * ROW)
    for row in range(rows):
        start = first + row * ROW
        data = machine.read_linear(start, ROW) if 0 <= start <= WORD_MAX - ROW else b""
        if data:
            yield DumpRow(start, data, tuple(states[row * ROW : row * ROW + len(data)].tolist()))


def _states(
    trace: Trace | None, event: int, start: int, end: int
) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    states = np.full(end - start, OTHER, np.uint8)
    areas = [] if trace is None else [trace.blocks(area) for area in trace.areas]
    near = [_blocks_near(blocks, event, start, end) for blocks in areas]
    for state in (FREED, LIVE):
        for blocks in near:
            these = blocks.where((blocks.died > event) == (state == LIVE))
            for address, size in zip(these.address.tolist(), these.size.tolist(), strict=True):
                states[max(address - start, 0) : address + size - start] = state
    return states


def _blocks_near(blocks: Blocks, event: int, start: int, end: int) -> Blocks:
    """Return those that were made up to an event, and have bytes in a range of addresses."""
    stops = blocks.address.astype(np.int64) + blocks.size
    return blocks.where((blocks.born <= event) & (blocks.address < max(end, 0)) & (stops > start))
