"""What the calls of a trace say about the caller and the allocator: every block of every area is looked at.

Nothing is asked of memory here: calls alone tell. All checks are vectorised, so that a trace of millions of calls in
which nothing is wrong takes a fraction of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.calls.area import Area
from emulator.check.calls.wrong_arguments import wrong_pools, wrong_sizes
from emulator.check.calls.wrong_frees import wrong_frees
from emulator.check.calls.wrong_results import bad_results, overlapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.calls.wrong_results import KnownMemory
    from emulator.check.findings import Finding
    from emulator.trace.trace import Trace


def check_blocks(trace: Trace, memory: KnownMemory) -> list[Finding]:
    """Find what is wrong with blocks, in order of events.

    Args:
        trace: The calls.
        memory: Where blocks can be.

    Raises:
        HostError: No memory is left.
    """
    found = [finding for name in trace.areas for finding in _of_area(Area(trace, name), memory)]
    return sorted(found, key=_event)


def _of_area(area: Area, memory: KnownMemory) -> Iterator[Finding]:
    yield from wrong_frees(area)
    yield from wrong_sizes(area)
    yield from wrong_pools(area)
    yield from overlapping(area)
    yield from bad_results(area, memory)


def _event(finding: Finding) -> int:
    return finding.call_site.event if finding.call_site else 0
