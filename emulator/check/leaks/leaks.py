"""Leaks: blocks that are live at the end of a run, by who allocated them, and what still points to them.

The words are Valgrind's. A block is *definitely lost* when nothing points to it, *indirectly lost* when only lost blocks
do, *possibly lost* when it is only held by a pointer at an odd address or by the address after its end, or when only such
blocks point to it, else *still reachable*. A block that holds another area's blocks, as the frames of a heap do, is none.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.check.area import Area
from emulator.check.findings import Finding, Kind
from emulator.check.leaks.live_blocks import live_blocks
from emulator.check.leaks.reachability import Reachability
from emulator.profile.model import Result, Role
from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.check.findings import BlockHistory
    from emulator.check.leaks.guest_words import GuestWords
    from emulator.check.leaks.live_blocks import LiveBlocks
    from emulator.check.leaks.reachability import Pointer
    from emulator.trace.trace import Trace

_MOST_POINTERS: Final = 4
DEFINITELY, INDIRECTLY, POSSIBLY, REACHABLE = (
    "definitely lost",
    "indirectly lost",
    "possibly lost",
    "still reachable",
)
_HOLDS: Final = ("pointed to only by ", "only the address behind its end is held, by ")


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


class _LiveBlock(NamedTuple):
    """A live block: its area, its history, how far it is lost, and a line about what points to it."""

    area: str
    history: BlockHistory
    state: str
    pointer: str


def find_leaks(trace: Trace, memory: GuestWords) -> Leaks:
    """Find the blocks that are live at the end of a run which the kernel ended by itself.

    Args:
        trace: The whole run.
        memory: The memory of the machine, which stands at the end.
    """
    areas = [Area(trace, name) for name in trace.areas]
    live = live_blocks(areas)
    framed = [any(each.result is Result.FRAME for _, each in area.functions(Role.ALLOC)) for area in areas]
    blocks = _Classifier(areas, live, Reachability(live, memory, framed), memory).blocks()
    lost = [block for block in blocks if block.state != REACHABLE]
    reachable = [block for block in blocks if block.state == REACHABLE]
    return Leaks(_findings(lost), _findings(reachable), _sizes(lost))


def _sizes(blocks: Sequence[_LiveBlock]) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}
    for block in blocks:
        size, count = sizes.get(block.area, (0, 0))
        sizes[block.area] = (size + block.history.size, count + 1)
    return sizes


class _Classifier:
    """Names the state of each live block, and the pointer that is the reason."""

    def __init__(
        self, areas: Sequence[Area], live: LiveBlocks, scan: Reachability, memory: GuestWords
    ) -> None:
        self._areas = [areas[area] for area in live.area.tolist()]
        self._live = live
        self._scan = scan
        self._memory = memory
        self._histories = [
            area.call_sites.history(area.blocks, index)
            for area, index in zip(self._areas, live.row.tolist(), strict=True)
        ]

    def blocks(self) -> list[_LiveBlock]:
        return [
            _LiveBlock(area.name, history, *self._state(number))
            for number, (area, history) in enumerate(zip(self._areas, self._histories, strict=True))
        ]

    def _state(self, number: int) -> tuple[str, str]:
        scan = self._scan
        if pointer := scan.pointer.get(number):
            return REACHABLE, f"pointed to by {self._location(pointer)}"
        if pointer := scan.doubtful.get(number):
            itself = ", which is possibly lost itself" if self._holder(pointer) in scan.doubtful else ""
            return POSSIBLY, f"{_HOLDS[pointer.is_end]}{self._location(pointer)}{itself}"
        if pointer := scan.lost_pointer.get(number):
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


def _findings(blocks: Sequence[_LiveBlock]) -> tuple[Finding, ...]:
    """Return a finding for each area and backtrace, that of the most bytes first."""
    groups: dict[tuple[object, ...], list[_LiveBlock]] = {}
    for block in sorted(blocks, key=lambda block: block.history.allocated.event):
        allocated = block.history.allocated
        groups.setdefault((block.area, allocated.function, allocated.backtrace), []).append(block)
    ordered = sorted(groups.values(), key=lambda group: -sum(block.history.size for block in group))
    return tuple(_finding(group) for group in ordered)


def _finding(group: Sequence[_LiveBlock]) -> Finding:
    first = group[0]
    states = Counter(block.state for block in group)
    total = sum(block.history.size for block in group)
    blocks = counted(len(group), "block")
    size = f"{counted(total, 'byte')} in {blocks}" if total else blocks
    what = "live at the end" if set(states) == {REACHABLE} else "memory leak"
    message = f"{what}: {size} {_state_text(states)}"
    return Finding(Kind.LEAK, first.area, message, None, first.history, details=tuple(_details(group)))


def _state_text(states: Counter[str]) -> str:
    if len(states) == 1:
        return next(iter(states))
    return " and ".join(f"{count} {state}" for state, count in sorted(states.items()))


def _details(group: Sequence[_LiveBlock]) -> list[str]:
    lines = [
        f"{block.history.name} at 0x{block.history.address:08x}: {block.pointer}"
        for block in group
        if block.pointer
    ]
    lost = len(group) - len(lines)
    if len(lines) > _MOST_POINTERS:
        lines[_MOST_POINTERS:] = [f"and {len(lines) - _MOST_POINTERS} more blocks that something points to"]
    if lost:
        lines.append("nobody points to it" if lost == 1 else f"nobody points to {lost} blocks")
    if not all(block.history.size for block in group):
        lines.append("without a known size: pointers into a block were not looked for")
    return lines
