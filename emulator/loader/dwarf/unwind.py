"""A table for unwinding the stack: how to find the caller of the code at any address.

Made of call frame information, which compilers write into .eh_frame or .debug_frame, also for functions that keep no frame
pointer. What cannot be put into a row of the table (code of assembly, expressions, other registers) gets a row that says so.

Damaged information is no error: what cannot be understood is left out.

Source: DWARF 5, section 6.4.1; Linux Standard Base Core 5.0, section 10.6 (".eh_frame"), for its differences.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.call_frames import EBP, ESP
from emulator.loader.dwarf.frame_entries import DescribedFunction, FrameSection, read_functions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.loader.dwarf.call_frames import Rules

ROW: Final = struct.Struct("<IiiI")
"""A row of `UnwindTable.rows`: start, cfa_offset, ebp_offset, cfa_register, as in `UnwindRow`."""

_FROM_NOWHERE, _FROM_ESP, _FROM_EBP = 0, 1, 2
_REGISTERS: Final = {ESP: _FROM_ESP, EBP: _FROM_EBP}
_RETURN_ADDRESS_AT: Final = -4
_FOUR_GIB: Final = 1 << 32
_INT32: Final = range(-1 << 31, 1 << 31)


class UnwindRow(NamedTuple):
    """How to find the caller of the code from an address on, up to the next row.

    The CFA is the value that ESP has in the caller after its call. The return address is at CFA - 4.

    Attributes:
        start: First address, as linked.
        cfa_offset: The CFA is the register plus this.
        ebp_offset: The caller's EBP is at the CFA plus this; 0: it is still in EBP.
        cfa_register: 1: ESP, 2: EBP. 0: nothing is known, and the other numbers are 0.
    """

    start: int
    cfa_offset: int
    ebp_offset: int
    cfa_register: int


class UnwindTable:
    """The rows of a kernel.

    Args:
        rows: In order of their addresses, no two of one address.

    Attributes:
        rows: All of them, each packed as `ROW`.
    """

    def __init__(self, rows: Sequence[UnwindRow]) -> None:
        self.rows = b"".join(ROW.pack(*row) for row in rows)
        self._rows = rows
        self._starts = [row.start for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, address: int) -> UnwindRow | None:
        """Return the row that an address lies in; None below the first."""
        index = bisect_right(self._starts, address) - 1
        return self._rows[index] if index >= 0 else None


def read_unwind_table(sections: Iterable[FrameSection], code: Sequence[range]) -> UnwindTable:
    """Make the table of a kernel.

    Args:
        sections: Its call frame information. Where functions overlap, the one that begins first counts, and of two
            that begin together the one in the earlier section.
        code: Where its code is linked. What is described elsewhere has been left out by the linker.
    """
    return UnwindTable(_joined(_described(sections, code)))


class FrameRules:
    """All rules of a kernel: where a function keeps the registers of its caller, too.

    Args:
        sections: See `read_unwind_table`.
        code: See there.
    """

    def __init__(self, sections: Iterable[FrameSection], code: Sequence[range]) -> None:
        self._functions = list(_described(sections, code))
        self._starts = [each.start for each in self._functions]

    def at(self, address: int) -> Rules | None:
        """Return the rules at a linked address; None where the file does not say, or says what no i386 compiler does."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._functions[index].end:
            return None
        rows = self._functions[index].rows
        start, rules = rows[bisect_right(rows, address, key=lambda row: row[0]) - 1]
        return rules if _row(start, rules).cfa_register != _FROM_NOWHERE else None


def _described(sections: Iterable[FrameSection], code: Sequence[range]) -> Iterator[DescribedFunction]:
    """Yield what sections describe, in order of addresses; what overlaps an earlier one is left out."""
    functions = [
        function
        for section in sections
        for function in read_functions(section)
        if any(each.start <= function.start < function.end <= each.stop for each in code)
    ]
    functions.sort(key=lambda function: function.start)
    end = 0
    for function in functions:
        if function.start >= end:
            end = function.end
            yield function


def _joined(functions: Iterable[DescribedFunction]) -> list[UnwindRow]:
    """Return the rows of functions, in order of their addresses."""
    rows: list[UnwindRow] = []
    for function in functions:
        for start, rules in function.rows:
            if start < function.end:
                _append(rows, _row(start, rules))
        if function.end < _FOUR_GIB:
            _append(rows, UnwindRow(function.end, 0, 0, _FROM_NOWHERE))
    return rows


def _append(rows: list[UnwindRow], row: UnwindRow) -> None:
    """Append a row, unless it only repeats the one before it; of two at one address the later one counts."""
    if rows and rows[-1].start == row.start:
        rows.pop()
    if not rows or rows[-1][1:] != row[1:]:
        rows.append(row)


def _row(start: int, rules: Rules) -> UnwindRow:
    register = _REGISTERS.get(rules.register, _FROM_NOWHERE)
    if register == _FROM_NOWHERE or rules.ebp is None or rules.return_address != _RETURN_ADDRESS_AT:
        return UnwindRow(start, 0, 0, _FROM_NOWHERE)
    if rules.offset not in _INT32 or rules.ebp not in _INT32:
        return UnwindRow(start, 0, 0, _FROM_NOWHERE)
    return UnwindRow(start, rules.offset, rules.ebp, register)
