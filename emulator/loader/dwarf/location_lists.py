"""Lists of locations: where something is while the code is in each of some ranges.

Source: DWARF 5, sections 2.6.2 and 7.7.3; DWARF 4, section 2.6.2 for the older form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NEW_BASE: Final = 0xFFFF_FFFF


def read_older_list(section: bytes, offset: int, base: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield the `[start, end)` and the expressions of a list in .debug_loc.

    Args:
        section: The section.
        offset: Where the list begins in it.
        base: What its addresses are counted from.

    Raises:
        Damaged: It is no list.
    """
    reader = ByteReader(section, offset, len(section))
    while True:
        start, end = reader.unsigned(4), reader.unsigned(4)
        if start == _NEW_BASE:
            base = end
        elif start or end:
            yield base + start, base + end, reader.take(reader.unsigned(2))
        else:
            return


def read_location_list(
    section: bytes, offset: int, base: int, indexed: Callable[[int], int]
) -> Iterator[tuple[int, int, bytes]]:
    """Yield the `[start, end)` and the expressions of a list in .debug_loclists; 0 and 0 where no other holds.

    Args:
        section: The section.
        offset: Where the list begins in it.
        base: What its addresses are counted from.
        indexed: Returns an address in .debug_addr by its number.

    Raises:
        Damaged: It is no list.
    """
    reader = ByteReader(section, offset, len(section))
    while kind := reader.unsigned(1):
        match kind:
            case 1:  # base_addressx
                base = indexed(reader.uleb())
                continue
            case 6:  # base_address
                base = reader.unsigned(4)
                continue
            case 2:  # startx_endx
                start, end = indexed(reader.uleb()), indexed(reader.uleb())
            case 3:  # startx_length
                start = indexed(reader.uleb())
                end = start + reader.uleb()
            case 4:  # offset_pair
                start, end = base + reader.uleb(), base + reader.uleb()
            case 5:  # default_location
                start, end = 0, 0
            case 7:  # start_end
                start, end = reader.unsigned(4), reader.unsigned(4)
            case 8:  # start_length
                start = reader.unsigned(4)
                end = start + reader.uleb()
            case _:
                raise Damaged
        yield start, end, reader.take(reader.uleb())
