"""Which frames are mapped more than once, in several address spaces or at several addresses of one.

Theory. A kernel maps RAM once for its own use, all of it with one distance between linear and physical addresses: its direct map. That
says nothing about who has a frame, so it counts for no sharing. The distance is the one with which most of RAM is mapped for the supervisor.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from emulator.guest.memory_map.spaces import Backing, Elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emulator.guest.memory_map.spaces import SpaceRange

_ELSEWHERE_KEPT: Final = 4
_WRAP: Final = (1 << 32) - 1

Numbered = tuple[int | None, "SpaceRange"]
"""Number of the space, and a range of it."""


def direct_map_distance(ranges: Iterable[SpaceRange]) -> int | None:
    """Return linear minus physical addresses of the direct map, modulo 4 GiB; None: nothing of RAM is mapped for the supervisor."""
    sizes: Counter[int] = Counter()
    for each in ranges:
        if not each.user and each.backing is Backing.RAM and len(each.pieces) == 1:
            sizes[each.start - each.pieces[0][0] & _WRAP] += each.size
    return max(sizes, key=lambda distance: (sizes[distance], -distance), default=None)


def with_sharing(numbered: Sequence[Numbered]) -> list[SpaceRange]:
    """Return ranges with what they share, in the same order. Where none is in the direct map, all are compared.

    Args:
        numbered: All ranges of all spaces.
    """
    distance = direct_map_distance(each for _, each in numbered)
    result = [each._replace(is_direct_map=_is_direct(each, distance)) for _, each in numbered]
    ends: list[tuple[int, int, int]] = []
    for number, each in enumerate(result):
        if each.backing is Backing.RAM and not each.is_direct_map:
            for start, end in each.pieces:
                ends += ((start, 1, number), (end, -1, number))
    ends.sort()
    shared: Counter[int] = Counter()
    others: dict[int, dict[int, None]] = {}
    active: Counter[int] = Counter()
    for (at, step, number), following in pairwise([*ends, (0, 0, 0)]):
        active[number] += step
        if not active[number]:
            del active[number]
        size = following[0] - at
        if size > 0 and active.total() > 1:
            _note(active, size, shared, others)
    for number, found in others.items():
        elsewhere = tuple(Elsewhere(numbered[each][0], result[each].start) for each in found)
        result[number] = result[number]._replace(shared=shared[number], elsewhere=elsewhere)
    return result


def _is_direct(each: SpaceRange, distance: int | None) -> bool:
    return (
        not each.user
        and len(each.pieces) == 1
        and each.backing is Backing.RAM
        and each.start - each.pieces[0][0] & _WRAP == distance
    )


def _note(active: Counter[int], size: int, shared: Counter[int], others: dict[int, dict[int, None]]) -> None:
    """Note that each of the active ranges shares so many bytes with the others, or, mapped twice, with itself."""
    for number, times in active.items():
        shared[number] += size * times
        found = others.setdefault(number, {})
        for other in active:
            if len(found) == _ELSEWHERE_KEPT:
                break
            if other != number or times > 1:
                found[other] = None
