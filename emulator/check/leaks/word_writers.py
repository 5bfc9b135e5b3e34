"""Tells who wrote a word that may hold a block, by running the kernel once more.

Theory. After the end of a block begins what its allocator cares for: the rest of free memory, or the next block's header. So the
address after a block's end proves that somebody knows the block only if no call of the profile's functions wrote it. An address at an odd place that is mostly zeros may be made up by numbers
beside each other; one instruction wrote a pointer. And a link in a list of free blocks stays in a block that was taken from it, until somebody writes there;
so does the address of a block in an array of free blocks, above the top of a stack of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.check.call_sites import CallSites
from emulator.profile.functions import Role
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core.observed import LastWrite
    from emulator.profile.functions import TracedFunction
    from emulator.replay.engine import Rerun
    from emulator.trace.trace import Trace

_CUTTING: Final = (Role.ALLOC, Role.DEFER, Role.RESET, Role.SEED)


class WordWriters:
    """Who wrote words of memory last.

    Args:
        trace: Of the run.
        rerun: How to run the kernel once more; None: nobody is known.
    """

    def __init__(self, trace: Trace, rerun: Rerun | None) -> None:
        self._trace = trace
        self._calls = CallSites(trace)
        self._rerun = rerun
        self._known: dict[tuple[int, int], LastWrite | None] = {}

    def are_programs(self, addresses: Sequence[int]) -> list[bool]:
        """Return of some words whether code outside all recorded calls wrote them last.

        Args:
            addresses: Physical addresses of the words.

        Raises:
            HostError: The host cannot give what the run needs.
        """
        if self._rerun is None:
            return [False] * len(addresses)
        writes = self._last_writes(addresses, WORD_SIZE)
        return [each is None or self._calls.open_after(each.event) is None for each in writes]

    def are_pointers(self, addresses: Sequence[int]) -> list[bool]:
        """Return of some words whether one instruction wrote all of each: numbers that were written one by one are no pointer.

        Args:
            addresses: See `are_programs`.

        Raises:
            HostError: See `are_programs`.
        """
        writes = self._last_writes([byte for each in addresses for byte in (each, each + WORD_SIZE - 1)], 1)
        pairs = zip(writes[::2], writes[1::2], strict=True)
        return [first is not None and last is not None and first.pc == last.pc for first, last in pairs]

    def are_left_over(self, words: Sequence[tuple[int, int, int]]) -> list[bool]:
        """Return which words of blocks the allocator wrote last, before the block was taken: nobody has written anything there since.

        It links free blocks when they are freed, or when it cuts memory into them. But what it writes when it takes a block may also be a
        pointer to one that has been resized since, and is known as taken then.

        Args:
            words: The physical address of each, the call that took the block in which it lies, and the one that took the block to which it points,
                which came later.

        Raises:
            HostError: See `are_programs`.
        """
        writes = self._last_writes([address for address, _, _ in words], WORD_SIZE)
        return [
            write is not None
            and write.event < self._calls.exit(call).event
            and self._is_link(write.event, later)
            for write, (_, call, later) in zip(writes, words, strict=True)
        ]

    def are_of_free(self, words: Sequence[tuple[int, int]]) -> list[bool]:
        """Return which words outside of blocks the allocator wrote last, before a call to it took the block to which each points.

        They are its own record of free memory, as an array of free pages is one. What it writes when it takes a block, or later, may be a table of those
        that live.

        Args:
            words: The physical address of each, and the call that took the block.

        Raises:
            HostError: See `are_programs`.
        """
        writes = self._last_writes([address for address, _ in words], WORD_SIZE)
        return [
            write is not None and self._was_free(write.event, call)
            for write, (_, call) in zip(writes, words, strict=True)
        ]

    def _was_free(self, event: int, later: int) -> bool:
        """Return whether the allocator whose later call took a block was at work after an event, before that call."""
        around = self._calls.open_after(event)
        return (
            around is not None
            and event < self._calls.entry(later).event
            and self._function(around.call).area == self._function(later).area
            and self._is_link(event, later)
        )

    def _is_link(self, event: int, later: int) -> bool:
        """Return whether the allocator wrote something after an event that is no pointer to the block that a later call took."""
        around = self._calls.open_after(event)
        role = None if around is None else self._role(around.call)
        return role is Role.FREE or (role in _CUTTING and self._role(later) is not Role.REALLOC)

    def _role(self, call: int) -> Role:
        return self._function(call).role

    def _function(self, call: int) -> TracedFunction:
        return self._trace.functions[int(self._trace.calls.function[call - 1])]

    def _last_writes(self, addresses: Sequence[int], size: int) -> list[LastWrite | None]:
        """Return the last write to each of some pieces of memory; None where there was none, or nobody is known."""
        new = sorted({(each, size) for each in addresses}.difference(self._known))
        if new and self._rerun is not None:
            replay = self._rerun.replay()
            watchpoints = [replay.machine.observers.watch(*each) for each in new]
            replay.run_to_end()
            for each, watchpoint in zip(new, watchpoints, strict=True):
                self._known[each] = watchpoint.last_write()
                watchpoint.close()
        return [self._known.get((each, size)) for each in addresses]
