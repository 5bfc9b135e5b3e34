"""How long blocks live, which of them overlap, how close they lie, and how many there are: worked out in the core, for millions of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import HostError
from emulator.native import _core

if TYPE_CHECKING:
    from typing_extensions import Buffer

_ffi, _lib = _core.ffi, _core.lib


class Lives(NamedTuple):
    """The lives of blocks, ascending by birth, as columns of unsigned words.

    Attributes:
        first: The first unit of memory of each: byte, page or what the caller counts in.
        last: The last one, not below *first*.
        born: Event from which on it lives.
        died: Event at which it ends; one that never comes if it does not.
    """

    first: Buffer
    last: Buffer
    born: Buffer
    died: Buffer


def pair(kinds: Buffer, addresses: Buffer, died: Buffer, taken: Buffer) -> None:
    """Pair births and deaths of blocks that each have an address of their own.

    Args:
        kinds: By event, one byte: nothing happens (0), a birth (1), a death (2), a share (3).
        addresses: Of the block, by event; unsigned words.
        died: By birth: when the block is forgotten. Set to when it dies, if that is before.
        taken: By event, one byte, all 0. Set to 1 where an owner was taken from a block.

    Raises:
        HostError: No memory is left.
    """
    changes = _ffi.new("kc_block_events *")
    columns = (
        _ffi.from_buffer("uint8_t[]", kinds),
        _ffi.from_buffer("uint32_t[]", addresses),
        _ffi.from_buffer("uint32_t[]", died, require_writable=True),
        _ffi.from_buffer("uint8_t[]", taken, require_writable=True),
    )
    changes.count, changes.kinds, changes.address = len(columns[0]), columns[0], columns[1]
    if _lib.kc_pair(changes, columns[2], columns[3]):
        raise HostError("no memory is left to pair births with deaths")


def find_overlaps(lives: Lives, last_event: int, most: int) -> tuple[int, list[int]]:
    """Find the blocks that were made over live ones. Each is left out from then on, as if it had not been made.

    Args:
        lives: All blocks of an area.
        last_event: The last event there is.
        most: How many to return.

    Returns:
        How many there are, and the positions of the first *most*.

    Raises:
        HostError: No memory is left.
    """
    columns = [_ffi.from_buffer("uint32_t[]", column) for column in lives]
    out = _ffi.new("uint32_t[]", most)
    found = _lib.kc_overlaps(_ffi.new("kc_lives *", (len(columns[0]), last_event, *columns)), out, most)
    if found < 0:
        raise HostError("no memory is left to look for overlapping blocks")
    return found, list(out[0 : min(found, most)])


def find_strides(lives: Lives, numbers: Buffer, last_event: int, out: Buffer) -> None:
    """Find how close the next block ever was to each block.

    Args:
        lives: All blocks of an area, in bytes.
        numbers: By block: the rank of its first byte among those of all blocks; unsigned words.
        last_event: The last event there is.
        out: By block, unsigned words, all 0. Set to the fewest bytes from its start to the start of the next block that lived at
            the same time and did not overlap it; stays 0 where there was none.

    Raises:
        HostError: No memory is left.
    """
    columns = [_ffi.from_buffer("uint32_t[]", column) for column in lives]
    strides = _ffi.from_buffer("uint32_t[]", out, require_writable=True)
    ranks = _ffi.from_buffer("uint32_t[]", numbers)
    if _lib.kc_strides(_ffi.new("kc_lives *", (len(columns[0]), last_event, *columns)), ranks, strides):
        raise HostError("no memory is left to look how close blocks lie")


class Comings(NamedTuple):
    """Blocks that come, or go, as columns of unsigned words.

    Attributes:
        events: At which they do, ascending.
        sizes: Their bytes.
    """

    events: Buffer
    sizes: Buffer


class UsageColumns(NamedTuple):
    """What is in use over time, as columns with room for event 0 and one event for each block that comes or goes.

    Attributes:
        events: Unsigned words.
        bytes: In use from the event on; of 64 bits.
        blocks: The same as a number of blocks; of 64 bits.
    """

    events: Buffer
    bytes: Buffer
    blocks: Buffer


def sum_usage(births: Comings, deaths: Comings, out: UsageColumns) -> int:
    """Sum up how much memory is in use.

    Args:
        births: All blocks.
        deaths: Those of them that die.
        out: Its first elements are set to the events at which this changes, ascending, event 0 first, and what is in use from each on.

    Returns:
        How many elements are set.
    """
    words = [[_ffi.from_buffer("uint32_t[]", column) for column in each] for each in (births, deaths)]
    came, went = (_ffi.new("kc_comings *", (len(each[0]), *each)) for each in words)
    kinds = ("uint32_t[]", "int64_t[]", "int64_t[]")
    columns = [
        _ffi.from_buffer(kind, column, require_writable=True) for kind, column in zip(kinds, out, strict=True)
    ]
    count: int = _lib.kc_usage(came, went, _ffi.new("kc_usage_of *", columns))
    return count
