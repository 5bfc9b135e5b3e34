"""Leaks: blocks that live at the end of a run, by who allocated them, and who still points to them.

The words are Valgrind's. A block is *definitely lost* when nothing points to it, *indirectly lost* when only lost blocks
do, *possibly lost* when it is only held by a pointer at an odd address or by the address behind its end, or only such blocks point to it,
else *still reachable*. A block that holds another area's blocks, as the frames of a heap do, is none.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.check.calls.area import Area
from emulator.check.calls.blocks_text import block_text, size_text
from emulator.check.findings import Finding, Kind
from emulator.check.leaks.live_blocks import live_blocks
from emulator.check.leaks.reachability import Reachability
from emulator.profile.model import Result, Role

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
    """Live blocks at the end.

    Attributes:
        lost: A finding for each call stack that allocated blocks which are lost.
        reachable: The same for the others; none of them is a leak.
        sizes: By area: bytes and blocks that are lost.
    """

    lost: tuple[Finding, ...]
    reachable: tuple[Finding, ...]
    sizes: Mapping[str, tuple[int, int]]


NO_LEAKS: Final = Leaks((), (), {})


class _Block(NamedTuple):
    """A live block: its area, its life, what is lost of it, and a line that says who points to it."""

    area: str
    history: BlockHistory
    state: str
    pointer: str


def find_leaks(trace: Trace, memory: GuestWords) -> Leaks:
    """Find what is live at the end of a run that ended by itself.

    Args:
        trace: The whole run.
        memory: Of the machine, which stands at the end.
    """
    areas = [Area(trace, name) for name in trace.areas]
    live = live_blocks(areas)
    framed = [any(each.result is Result.FRAME for _, each in area.functions(Role.ALLOC)) for area in areas]
    blocks = _blocks(areas, live, Reachability(live, memory, framed), memory)
    lost = [block for block in blocks if block.state != REACHABLE]
    reachable = [block for block in blocks if block.state == REACHABLE]
    return Leaks(_findings(lost), _findings(reachable), _sizes(lost))


def _sizes(blocks: Sequence[_Block]) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}
    for block in blocks:
        size, count = sizes.get(block.area, (0, 0))
        sizes[block.area] = (size + block.history.size, count + 1)
    return sizes


def _blocks(areas: Sequence[Area], live: LiveBlocks, scan: Reachability, memory: GuestWords) -> list[_Block]:
    histories = [
        areas[area].call_sites.history(areas[area].blocks, index)
        for area, index in zip(live.area.tolist(), live.row.tolist(), strict=True)
    ]

    def holder(pointer: Pointer) -> int | None:
        return live.holder(pointer.place, 1) if isinstance(pointer.place, int) else None

    def place(pointer: Pointer) -> str:
        """Say where a pointer is: in a register, in a block, or elsewhere."""
        address, block = pointer.place, holder(pointer)
        if isinstance(address, str):
            return address
        text = (
            memory.place(address)
            if block is None
            else f"{block_text(histories[block])} +0x{address - int(live.start[block]):x}"
        )
        return f"{text} (unaligned)" if address % 4 else text

    result = []
    for number, history in enumerate(histories):
        state, text = DEFINITELY, ""
        if pointer := scan.pointer.get(number):
            state, text = REACHABLE, f"pointed to by {place(pointer)}"
        elif pointer := scan.doubtful.get(number):
            itself = ", which is possibly lost itself" if holder(pointer) in scan.doubtful else ""
            state, text = POSSIBLY, f"{_HOLDS[pointer.is_end]}{place(pointer)}{itself}"
        elif pointer := scan.lost_pointer.get(number):
            state, text = INDIRECTLY, f"pointed to only by {place(pointer)}, which is lost itself"
        result.append(_Block(areas[int(live.area[number])].name, history, state, text))
    return result


def _findings(blocks: Sequence[_Block]) -> tuple[Finding, ...]:
    """Return a finding for each area and call stack, that of the most bytes first."""
    groups: dict[tuple[object, ...], list[_Block]] = {}
    for block in sorted(blocks, key=lambda block: block.history.allocated.event):
        groups.setdefault(
            (block.area, block.history.allocated.function, block.history.allocated.backtrace), []
        ).append(block)
    ordered = sorted(groups.values(), key=lambda group: -sum(block.history.size for block in group))
    return tuple(_finding(group) for group in ordered)


def _finding(group: Sequence[_Block]) -> Finding:
    first = group[0]
    states = Counter(block.state for block in group)
    total = sum(block.history.size for block in group)
    blocks = "1 block" if len(group) == 1 else f"{len(group)} blocks"
    size = f"{size_text(total)} in {blocks}" if total else blocks
    what = "live at the end" if set(states) == {REACHABLE} else "memory leak"
    message = f"{what}: {size} {_state_text(states)}"
    return Finding(Kind.LEAK, first.area, message, None, first.history, details=tuple(_details(group)))


def _state_text(states: Counter[str]) -> str:
    if len(states) == 1:
        return next(iter(states))
    return " and ".join(f"{count} {state}" for state, count in sorted(states.items()))


def _details(group: Sequence[_Block]) -> list[str]:
    lines = [
        f"{block_text(block.history)} at 0x{block.history.address:08x}: {block.pointer}"
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
