"""Lists of ranges of addresses, for code that lies in pieces.

Source: DWARF 5, sections 2.17.3 and 7.25; DWARF 4, section 2.17.3 for the older form.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PAIR: Final = struct.Struct("<II")
_NEW_BASE: Final = 0xFFFF_FFFF
_RANGES_MAX: Final = 1 << 16  # of one list


def read_pairs(section: bytes, offset: int, base: int) -> Iterator[tuple[int, int]]:
    """Yield the `[start, end)` of a list in .debug_ranges.

    Args:
        section: The section.
        offset: Where the list begins in it.
        base: What its addresses are counted from.
    """
    pairs = memoryview(section)[offset : offset + _PAIR.size * _RANGES_MAX]
    for start, end in _PAIR.iter_unpack(pairs[: len(pairs) // _PAIR.size * _PAIR.size]):
        if not start and not end:
            return
        if start == _NEW_BASE:
            base = end
        else:
            yield base + start, base + end


def read_range_list(
    section: bytes, offset: int, base: int, indexed: Callable[[int], int]
) -> Iterator[tuple[int, int]]:
    """Yield the `[start, end)` of a list in .debug_rnglists.

    Args:
        section: The section.
        offset: Where the list begins in it.
        base: What its addresses are counted from.
        indexed: Returns an address in .debug_addr by its number.

    Raises:
        Damaged: It is no list.
    """
    reader = ByteReader(section, offset, len(section))
    for _ in range(_RANGES_MAX):
        match reader.unsigned(1):
            case 0:  # end_of_list
                return
            case 1:  # base_addressx
                base = indexed(reader.uleb())
            case 2:  # startx_endx
                yield indexed(reader.uleb()), indexed(reader.uleb())
            case 3:  # startx_length
                start = indexed(reader.uleb())
                yield start, start + reader.uleb()
            case 4:  # offset_pair
                yield base + reader.uleb(), base + reader.uleb()
            case 5:  # base_address
                base = reader.unsigned(4)
            case 6:  # start_end
                yield reader.unsigned(4), reader.unsigned(4)
            case 7:  # start_length
                start = reader.unsigned(4)
                yield start, start + reader.uleb()
            case _:
                raise Damaged
