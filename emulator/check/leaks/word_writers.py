"""Tells what an allocator wrote down from what a program did, by running the kernel once more.

Theory. After the end of a block begins what its allocator cares for: the rest of free memory, or the next block's header. So the
address after a block's end proves that somebody knows the block only if no call of the profile's functions wrote it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.call_sites import CallSites
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.replay.engine import Rerun
    from emulator.trace.trace import Trace


class WordWriters:
    """Who wrote words of memory last.

    Args:
        trace: Of the run.
        rerun: How to run the kernel once more; None: nobody is known.
    """

    def __init__(self, trace: Trace, rerun: Rerun | None) -> None:
        self._calls = CallSites(trace)
        self._rerun = rerun
        self._known: dict[int, bool] = {}

    def are_programs(self, addresses: Sequence[int]) -> list[bool]:
        """Return of some words whether code outside all recorded calls wrote them last.

        Args:
            addresses: Physical addresses of the words.

        Raises:
            HostError: The host cannot give what the run needs.
        """
        new = sorted(set(addresses).difference(self._known))
        if new and self._rerun is not None:
            self._known |= self._find(self._rerun, new)
        return [self._known.get(each, False) for each in addresses]

    def _find(self, rerun: Rerun, addresses: Sequence[int]) -> dict[int, bool]:
        replay = rerun.replay()
        watchpoints = [replay.machine.observers.watch(each, WORD_SIZE) for each in addresses]
        replay.run_to_end()
        found = {}
        for address, watchpoint in zip(addresses, watchpoints, strict=True):
            write = watchpoint.last_write()
            found[address] = write is None or self._calls.open_after(write.event) is None
            watchpoint.close()
        return found
