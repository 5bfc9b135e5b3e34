"""The lives of blocks in areas where these are flat, worked out in the core in one pass over the calls."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.errors import HostError
from emulator.machine.core.block_functions import block_function_rows
from emulator.native import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Buffer

    from emulator.machine.core.observed import BlockFunction

_ffi, _lib = _core.ffi, _core.lib
_OF_CALLS: Final = ("function", "parent", "entered", "left", "result", "out", "stack")
OF_BLOCKS: Final = ("address", "size", "born", "born_call", "died", "died_call", "stack")
"""Columns of blocks in the order of their birth, as `Blocks` has them."""
OF_CALLS: Final = ("failed", "stray")
"""Columns of calls: those that made no block, in the order of their return; those that gave back what was not live."""


def column_names(values: int) -> tuple[str, ...]:
    """Return the columns of calls that are used, where so many have arguments."""
    return (*_OF_CALLS, *(f"arg{index}" for index in range(values)))


class NarrowColumn(NamedTuple):
    """A column of words, as `kc_narrow` in analysis.h says it: row *n* has ``lowest + step * n + above[n]``, modulo 2**32.

    Attributes:
        above: Unsigned numbers; None: all are 0.
        size: Bytes of each of them: 4, 2 or 1; 0: there are none.
        lowest: The word to begin with.
        step: From each row to the next.
    """

    above: Buffer | None
    size: int
    lowest: int = 0
    step: int = 0


class FlatArea(NamedTuple):
    """What was found out about a flat area.

    Attributes:
        blocks: So many were made; so many rows of each of `OF_BLOCKS` are filled, if there are such columns.
        failed: So many of the column of that name.
        stray: The same.
        may_overlap: Blocks may have been made over live ones.
        pools_fit: Whoever says of which pool a block is that he gives back says what was said when it was made, if anything was.
        sizes_fit: Whoever says of what size a block is that he gives back says it right; says nothing of an area of pages.
        peak: The first event after which most bytes lived, how many these were, and in how many blocks.
        places: The addresses at which blocks were made, in no order; the size of the longest one that was, and the event of the latest
            birth there: columns of unsigned words.
        live: The addresses of the blocks that live, in no order, their sizes, the events of their births, and the calls that made them: the same.
    """

    blocks: int
    failed: int
    stray: int
    may_overlap: bool
    pools_fit: bool
    sizes_fit: bool
    peak: tuple[int, int, int]
    places: list[array[int]]
    live: list[array[int]]


class FlatAreas:
    """Follows the blocks of some areas for as long as these are flat; see `kc_flat_area` in analysis.h.

    Args:
        functions: By their codes in the calls; areas of theirs that are not among the given ones do not matter.
        areas: By number: whether the blocks are runs of pages, and the columns that are filled, by the names of `OF_CALLS`, and of `OF_BLOCKS` or
            none of these: unsigned words, with room for all of it.

    Raises:
        HostError: No memory is left; so do `follow` and `end`.
    """

    def __init__(
        self, functions: Sequence[BlockFunction], areas: Sequence[tuple[bool, Mapping[str, Buffer]]]
    ) -> None:
        rows, failures = block_function_rows(functions)
        self._kept = [{name: _writable(column) for name, column in columns.items()} for _, columns in areas]
        self._areas = _ffi.new("kc_flat_area[]", len(areas))
        for area, (pages, _), columns in zip(self._areas, areas, self._kept, strict=True):
            area.pages = pages
            for name, column in columns.items():
                setattr(area, name, column)
        flat = _lib.kc_flat_new(rows, len(functions), failures, len(failures) // 2, self._areas, len(areas))
        if not flat:
            raise _no_memory()
        self._flat = _ffi.gc(flat, _lib.kc_flat_delete)

    def follow(self, first_call: int, rows: int, columns: Mapping[str, NarrowColumn], values: int) -> bool:
        """Take the next calls; return whether an area is flat so far.

        Args:
            first_call: Number of the first one.
            rows: How many there are.
            columns: As the columns of a table of calls are named.
            values: How many columns ``arg0``, ``arg1`` ... there are.
        """
        arguments = _ffi.new("kc_narrow[]", [_narrow(columns[f"arg{index}"]) for index in range(values)])
        facts = (_narrow(columns[name]) for name in _OF_CALLS)
        calls = _ffi.new("kc_call_columns *", (rows, first_call, *facts, arguments))
        flat: int = _lib.kc_flat_follow(self._flat, calls)
        if flat < 0:
            raise _no_memory()
        return flat > 0

    def end(self) -> list[FlatArea | None]:
        """Return what was found out about each area after the last call; None of one that is not flat."""
        if _lib.kc_flat_end(self._flat):
            raise _no_memory()
        return [
            self._found(number, area) if area.is_flat else None for number, area in enumerate(self._areas)
        ]

    def _found(self, number: int, area: Any) -> FlatArea:  # noqa: ANN401 - of cffi
        peak = (area.peak_event, area.peak_bytes, area.peak_blocks)
        return FlatArea(
            area.block_count,
            area.failed_count,
            area.stray_count,
            area.may_overlap,
            area.pools_fit,
            area.sizes_fit,
            peak,
            self._columns(_lib.kc_flat_places, number, 3),
            self._columns(_lib.kc_flat_live, number, 4),
        )

    def _columns(self, store: Callable[..., int], number: int, columns: int) -> list[array[int]]:
        """Return so many columns that a function of the core stores of an area."""
        count = store(self._flat, number, *[_ffi.NULL] * columns)
        stored = [array("I", bytes(4 * count)) for _ in range(columns)]
        store(self._flat, number, *map(_writable, stored))
        return stored


def _narrow(column: NarrowColumn) -> tuple[Any, int, int, int]:
    above = _ffi.NULL if column.above is None else _ffi.from_buffer(column.above)
    return above, column.lowest, column.step, column.size


def _writable(column: Buffer) -> Any:  # noqa: ANN401 - of cffi
    return _ffi.from_buffer("uint32_t[]", column, require_writable=True)


def _no_memory() -> HostError:
    return HostError("no memory is left to follow the lives of blocks")
