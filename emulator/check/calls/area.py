"""One area of a trace, with what all checks of it need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.check.call_sites import CallSites
from emulator.profile.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.profile.model import TracedFunction
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.columns import U32
    from emulator.trace.trace import Trace

_PAGE: Final = np.uint32(0xFFFF_F000)
_RANGE: Final = ("start", "end")


class Area:
    """One area.

    Args:
        trace: The trace.
        name: The area's.

    Attributes:
        trace: As given.
        name: As given.
        pages: Its blocks are runs of pages.
        blocks: All blocks that ever lived in it.
        call_sites: Looks up the calls and blocks that findings name.
    """

    def __init__(self, trace: Trace, name: str) -> None:
        self.trace = trace
        self.name = name
        self.pages = trace.profile.pages(name)
        self.blocks: Blocks = trace.blocks(name)
        self.call_sites = CallSites(trace)

    def function(self, call: int) -> TracedFunction:
        """Return the function of a call."""
        return self.trace.functions[int(self.trace.columns.function[call - 1])]

    def argument(self, call: int, parameter: str) -> int:
        """Return an argument of a call."""
        index = self.function(call).parameters.index(parameter)
        return int(self.trace.columns.argument(index)[call - 1])

    def functions(self, *roles: Role) -> Iterator[tuple[int, TracedFunction]]:
        """Yield the functions of the area in some roles, each with its code."""
        for code, function in enumerate(self.trace.functions):
            if function.area == self.name and function.role in roles:
                yield code, function

    def first_of_each(self, calls: U32, most: int) -> dict[int, tuple[str, ...]]:
        """Return of calls those that are the first *most* of one function from one call stack, in order.

        Returns:
            By call: for the first of those that are not all there, a line that says so.
        """
        alike: dict[tuple[int, int], list[int]] = {}
        rows = calls.astype(np.int64) - 1
        columns = self.trace.columns
        keys = zip(columns.function[rows].tolist(), columns.stack[rows].tolist(), strict=True)
        for call, key in zip(calls.tolist(), keys, strict=True):
            alike.setdefault(key, []).append(call)
        chosen: dict[int, tuple[str, ...]] = {}
        for group in alike.values():
            chosen |= dict.fromkeys(group[:most], ())
            if len(group) > most:
                chosen[group[0]] = (f"the first {most} of {len(group)} such calls were looked at",)
        return dict(sorted(chosen.items()))

    def was_reserved(self, address: int, event: int) -> bool:
        """Tell whether the page of an address had been reserved by then.

        A function under ``other`` in an area of pages, with the parameters ``start`` and ``end``, reserves these addresses: their
        pages are taken, and may be given back by who knows that they were reserved for nothing.
        """
        if not self.pages:
            return False
        columns = self.trace.columns
        for code, function in self.functions(Role.OTHER):
            if set(_RANGE) <= set(function.parameters):
                rows = np.flatnonzero((columns.function == code) & (columns.entered < event))
                start, end = (columns.argument(function.parameters.index(name))[rows] for name in _RANGE)
                if np.any(((start & _PAGE) <= address) & (address < end) & (start < end)):
                    return True
        return False
