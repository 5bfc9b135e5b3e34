"""Runs all checks that need nothing but the recorded calls.

All checks are vectorised, so that a trace of millions of calls without a mistake takes a fraction of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.area import Area
from emulator.check.calls.arguments import wrong_pools, wrong_sizes
from emulator.check.calls.frees import wrong_frees
from emulator.check.calls.overlaps import overlapping
from emulator.check.calls.results import bad_results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.check.calls.results import KnownMemory
    from emulator.check.findings import Finding
    from emulator.trace.trace import Trace


def check_calls(trace: Trace, memory: KnownMemory, areas: Iterable[str] | None = None) -> list[Finding]:
    """Return the mistakes of callers and allocators, in order of events.

    Args:
        trace: The calls.
        memory: Where blocks can be.
        areas: The areas that are checked; None: all.

    Raises:
        HostError: No memory is left.
    """
    names = trace.areas if areas is None else areas
    found = [finding for name in names for finding in _check_area(Area(trace, name), memory)]
    return sorted(found, key=lambda finding: finding.call_site.event if finding.call_site else 0)


def _check_area(area: Area, memory: KnownMemory) -> Iterator[Finding]:
    yield from wrong_frees(area)
    yield from wrong_sizes(area)
    yield from wrong_pools(area)
    yield from overlapping(area)
    yield from bad_results(area, memory)
