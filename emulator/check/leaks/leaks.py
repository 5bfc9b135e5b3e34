"""Leaks: blocks that are live at the end of a run, by who allocated them, and what still points to them.

The words are Valgrind's. A block is *definitely lost* when nothing points to it, *indirectly lost* when only lost blocks
do, *possibly lost* when something may hold it that proves little (`reachability`), or when only such
blocks point to it, else *still reachable*. A block that holds another area's blocks, as the frames of a heap do, is none.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.area import ENDING, Area
from emulator.check.findings import Finding, Kind
from emulator.check.leaks.evidence import Evidence
from emulator.check.leaks.live_blocks import OwnRecords, live_blocks
from emulator.check.leaks.reachability import Reachability
from emulator.check.leaks.word_writers import WordWriters
from emulator.trace.blocks.blocks import NEVER
from emulator.wording import counted
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from emulator.check.leaks.guest_words import GuestWords
    from emulator.check.leaks.live_blocks import LiveBlocks
    from emulator.check.leaks.reachability import Pointer
    from emulator.replay.engine import Rerun
    from emulator.trace.trace import Trace

_MOST_POINTERS: Final = 4
DEFINITELY, INDIRECTLY, POSSIBLY, REACHABLE = (
    "definitely lost",
    "indirectly lost",
    "possibly lost",
    "still reachable",
)
_KNOWN: Final = ("pointed to by ", "known by the address after its end, in ")
_HOLDS: Final = ("pointed to only by ", "only the address after its end is held, by ")


class Leaks(NamedTuple):
    """The blocks that are live at the end of a run.

    Attributes:
        lost: A finding for each backtrace that allocated blocks which are lost.
        reachable: The same for the others; none of them is a leak.
        sizes: By area: bytes and blocks that are lost.
    """

    lost: tuple[Finding, ...]
    reachable: tuple[Finding, ...]
    sizes: Mapping[str, tuple[int, int]]


NO_LEAKS: Final = Leaks((), (), {})


def find_leaks(trace: Trace, memory: GuestWords, rerun: Rerun | None = None) -> Leaks:
    """Find the blocks that are live at the end of a run which the kernel ended by itself.

    Args:
        trace: The whole run.
        memory: The memory of the machine, which stands at the end.
        rerun: How to run the kernel once more; None: not at all, so that a block of which only the end is held is possibly lost.

    Raises:
        HostError: The host cannot give what another run needs.
    """
    areas = [Area(trace, name) for name in trace.areas]
    live, heap = live_blocks(areas, memory)
    evidence = Evidence(live, memory, WordWriters(trace, rerun))
    records = OwnRecords(live, trace.calls, memory.arrays)
    of_free = list(_perhaps_of_free(records, memory)) if len(live.start) else []
    if of_free:  # which of them matter, if they are?
        unproved = Evidence(live, memory, WordWriters(trace, rerun=None))
        scan = Reachability(live, heap, memory, records, unproved, of_free)
        of_free = evidence.of_free([word for word in of_free if not scan.reached[word[1]]])
    scan = Reachability(live, heap, memory, records, evidence, of_free)
    return _LeakFinder(areas, live, memory, scan).leaks()


def _perhaps_of_free(records: OwnRecords, memory: GuestWords) -> Iterator[tuple[int, int]]:
    """Yield the addresses of words that may be left over from an array of free blocks, with the blocks that they point to."""
    for part in memory.globals():
        start, words = part.words(0)
        positions, blocks = records.may_be_of_free(start + WORD_SIZE * np.arange(len(words)), words)
        yield from zip((start + WORD_SIZE * positions).tolist(), blocks.tolist(), strict=True)


class _LeakFinder:
    """Makes findings of the live blocks; each block is known by its position among them."""

    def __init__(
        self, areas: Sequence[Area], live: LiveBlocks, memory: GuestWords, scan: Reachability
    ) -> None:
        self._live = live
        self._memory = memory
        self._scan = scan
        self._areas = [areas[area] for area in live.area.tolist()]
        self._histories = [
            area.call_sites.history(area.live, index)
            for area, index in zip(self._areas, live.row.tolist(), strict=True)
        ]
        self._states = [self._state(block) for block in range(len(self._histories))]

    def leaks(self) -> Leaks:
        unseen = {
            area.name for area in set(self._areas) if area.unseen_from(*ENDING) != NEVER
        }  # perhaps given back
        lost = [
            block
            for block, (state, _) in enumerate(self._states)
            if state != REACHABLE and self._areas[block].name not in unseen
        ]
        reachable = [block for block, (state, _) in enumerate(self._states) if state == REACHABLE]
        return Leaks(self._findings(lost), self._findings(reachable), self._sizes(lost))

    def _state(self, block: int) -> tuple[str, str]:
        """Return how far a block is lost, and what points to it, for people."""
        scan = self._scan
        if pointer := scan.pointer.get(block):
            return REACHABLE, f"{_KNOWN[pointer.is_end]}{self._location(pointer)}"
        if pointer := scan.doubtful.get(block):
            itself = ", which is possibly lost itself" if self._holder(pointer) in scan.doubtful else ""
            if pointer.is_of_free:
                return (
                    POSSIBLY,
                    f"only what the allocator noted while it was free holds it, {self._location(pointer)}{itself}",
                )
            weak = self._areas[block].rules.interior or pointer.is_end
            holds = _HOLDS[pointer.is_end] if weak else "only an address in it is held, by "
            return POSSIBLY, f"{holds}{self._location(pointer)}{itself}"
        if pointer := scan.lost_pointer.get(block):
            return INDIRECTLY, f"pointed to only by {self._location(pointer)}, which is lost itself"
        return DEFINITELY, ""

    def _holder(self, pointer: Pointer) -> int | None:
        """Return the live block that a pointer lies in."""
        return self._live.holder(pointer.location, 1) if isinstance(pointer.location, int) else None

    def _location(self, pointer: Pointer) -> str:
        """Return where a pointer is, for people: in a register, in a block, or elsewhere."""
        address, block = pointer.location, self._holder(pointer)
        if isinstance(address, str):
            return address
        text = (
            self._memory.describe(address)
            if block is None
            else f"{self._histories[block].name} +0x{address - int(self._live.start[block]):x}"
        )
        return f"{text} (unaligned)" if address % 4 else text

    def _sizes(self, blocks: Sequence[int]) -> dict[str, tuple[int, int]]:
        sizes: dict[str, tuple[int, int]] = {}
        for block in blocks:
            size, count = sizes.get(self._areas[block].name, (0, 0))
            sizes[self._areas[block].name] = (size + self._histories[block].size, count + 1)
        return sizes

    def _findings(self, blocks: Sequence[int]) -> tuple[Finding, ...]:
        """Return a finding for each area and backtrace, that of the most bytes first."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for block in sorted(blocks, key=lambda block: self._histories[block].allocated.event):
            allocated = self._histories[block].allocated
            key = (self._areas[block].name, allocated.function, allocated.backtrace)
            groups.setdefault(key, []).append(block)
        ordered = sorted(groups.values(), key=lambda group: -self._size(group))
        return tuple(self._finding(group) for group in ordered)

    def _size(self, group: Sequence[int]) -> int:
        return sum(self._histories[block].size for block in group)

    def _finding(self, group: Sequence[int]) -> Finding:
        states = Counter(self._states[block][0] for block in group)
        total, blocks = self._size(group), counted(len(group), "block")
        size = f"{counted(total, 'byte')} in {blocks}" if total else blocks
        what = "live at the end" if set(states) == {REACHABLE} else "memory leak"
        message = f"{what}: {size}{_state_text(states)}"
        area, first = self._areas[group[0]].name, self._histories[group[0]]
        return Finding(Kind.LEAK, area, message, None, first, details=tuple(self._details(group)))

    def _details(self, group: Sequence[int]) -> list[str]:
        blocks = [(self._histories[block], self._states[block][1]) for block in group]
        lines = [f"{each.name} at 0x{each.address:08x}: {pointer}" for each, pointer in blocks if pointer]
        lost = len(group) - len(lines)
        if len(lines) > _MOST_POINTERS:
            lines[_MOST_POINTERS:] = [
                f"and {len(lines) - _MOST_POINTERS} more blocks that something points to"
            ]
        if lost:
            lines.append("nobody points to it" if lost == 1 else f"nobody points to {lost} blocks")
        if not all(each.size for each, _ in blocks):
            lines.append("without a known size: pointers into a block were not looked for")
        return lines


def _state_text(states: Counter[str]) -> str:
    """Return how far the blocks are lost, to follow how many they are."""
    if len(states) == 1:
        return f" {next(iter(states))}"
    return f", {' and '.join(f'{count} {state}' for state, count in sorted(states.items()))}"
