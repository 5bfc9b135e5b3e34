"""Follow the calls of a run: which blocks the candidates made and gave back, and what they have to do with each other."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.profile.discovery.words import Verb
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from emulator.profile.discovery.areas import DraftArea

MAKING: Final = (Verb.ALLOC, Verb.CALLOC, Verb.REALLOC)
NO_BLOCK: Final = frozenset((0, 0xFFFF_FFFF, None))  # None: the call did not return
OFTEN: Final = 3  # times that are no chance
MOST_OVERLAPS: Final = 0.5  # of all blocks: an allocator may have a defect
MOSTLY: Final = 0.8
_HEADER_MAX: Final = 64
_PEAK_STEP: Final = 1.2


class SeenCall(NamedTuple):
    """A call of a run.

    Attributes:
        number: In order of entry, from 1.
        parent: Number of the call in which it was made, 0: in none.
        function: Its name.
        arguments: By the parameters' names.
        entered: Number of the event of its entry.
        left: Number of the event of its return; None: it did not return.
        block: What it returned, or stored; None: it did not return.
        callers: Names of the functions that called it, the innermost first.
    """

    number: int
    parent: int
    function: str
    arguments: Mapping[str, int]
    entered: int
    left: int | None
    block: int | None
    callers: tuple[str, ...]

    @property
    def named(self) -> int | None:
        """Return the address of the block that the call is given."""
        if "frame" in self.arguments:
            return self.arguments["frame"] * PAGE_SIZE
        return self.arguments.get("ptr")

    @property
    def size(self) -> int:
        """Return how long a block it asks for; 0 where it does not say."""
        if "pages" in self.arguments:
            return self.arguments["pages"] * PAGE_SIZE
        if "order" in self.arguments:
            return PAGE_SIZE << min(self.arguments["order"], 20)
        return self.arguments.get("size", 0) * self.arguments.get("count", 1)

    def renamed(self, old: str, new: str) -> SeenCall:
        """Return it with another name of an argument."""
        arguments = {new if name == old else name: value for name, value in self.arguments.items()}
        return self._replace(arguments=arguments)


@dataclass(slots=True)
class SeenFunction:
    """What was seen of one function.

    Attributes:
        calls: How many of its calls.
        blocks: What those made, failures left out.
        failures: How many made none.
        given_back: Blocks of its area that it was given, by the function that had made them.
        foreign: Blocks of other areas that it was given, by area.
        refused: How many calls said that they did not give back what they were given.
        again: Blocks that it was given although they had been given back.
        strange: Calls that were given what nobody made.
        overlaps: How many of its blocks overlapped one that was alive.
        inner: Functions whose calls inside its own handled the same block, with how many did.
        inner_sized: The same, with how many were asked for as many bytes, and a header at most.
        direct: How many of its calls were not inside such a call.
        headers: How many of its blocks begin a header before the block that a call around it made.
    """

    calls: int = 0
    blocks: list[int] = field(default_factory=list)
    failures: int = 0
    given_back: Counter[str] = field(default_factory=Counter)
    foreign: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    again: int = 0
    strange: list[SeenCall] = field(default_factory=list)
    overlaps: int = 0
    inner: Counter[str] = field(default_factory=Counter)
    inner_sized: Counter[str] = field(default_factory=Counter)
    direct: int = 0
    headers: int = 0


class Seen:
    """What was seen in a run.

    Args:
        areas: Drafts with the functions whose calls were recorded.
        calls: Of these functions, in order of entry.

    Attributes:
        functions: What was seen of each, by name.
        neighbours: Blocks, start and size, of each area when most were alive.
        callers_of_good: Functions in whose calls blocks were given back that somebody had made.
    """

    def __init__(self, areas: Sequence[DraftArea], calls: Sequence[SeenCall]) -> None:
        self.functions: dict[str, SeenFunction] = defaultdict(SeenFunction)
        self.neighbours: dict[str, list[tuple[int, int]]] = {}
        self.callers_of_good: set[str] = set()
        self._area_of = {each.name: area.name for area in areas for each in area.suggestions}
        self._verbs = {each.name: each.candidate.verb for area in areas for each in area.suggestions}
        self._units = {
            each.name: PAGE_SIZE if each.signature.result == "frame" else 1
            for area in areas
            for each in area.suggestions
        }
        self._of_pages = {
            area.name for area in areas if any(each.signature.is_of_pages for each in area.suggestions)
        }
        self._may_refuse = {
            each.name
            for area in areas
            for each in area.suggestions
            if each.candidate.verb is Verb.FREE and each.returns_number
        }
        self._made: set[int] = set()
        self._live: dict[str, dict[int, int]] = defaultdict(dict)
        self._maker: dict[tuple[str, int], str] = {}
        self._starts: dict[str, list[int]] = defaultdict(list)
        nested = self._find_nested(calls)
        self._follow(calls, nested)

    def wrapped_by(self, outer: str) -> list[str]:
        """Return the functions that make the blocks of a function's calls for it."""
        seen = self.functions[outer]
        return [
            inner
            for inner, times in seen.inner.items()
            if inner != outer and self._verbs[outer] in MAKING and times >= max(1, MOSTLY * len(seen.blocks))
        ]

    def asks_for_as_much(self, outer: str, inner: str) -> bool:
        """Return whether a function asks the one that makes its blocks for as many bytes as it is asked for itself."""
        seen = self.functions[outer]
        return seen.inner_sized[inner] >= MOSTLY * seen.inner[inner]

    def _find_nested(self, calls: Sequence[SeenCall]) -> set[int]:
        """Return the numbers of the calls that handle the block of a call around them."""
        by_number = {each.number: each for each in calls}
        nested = set()
        for call in calls:
            outer = by_number.get(call.parent)
            self.functions[call.function].headers += outer is not None and self._makes_header(outer, call)
            while outer is not None:
                if self._handle_one_block(outer, call):
                    nested.add(call.number)
                    found = self.functions[outer.function]
                    found.inner[call.function] += 1
                    found.inner_sized[call.function] += (
                        0 < outer.size <= call.size <= outer.size + _HEADER_MAX
                    )
                outer = by_number.get(outer.parent)
        return nested

    def _makes_header(self, outer: SeenCall, inner: SeenCall) -> bool:
        """Return whether a call makes what lies right before the block of the one around it."""
        if any(
            self._verbs[each.function] not in MAKING
            or each.block in NO_BLOCK
            or self._units[each.function] != 1
            for each in (outer, inner)
        ):
            return False
        return 0 < (outer.block or 0) - (inner.block or 0) <= _HEADER_MAX

    def _handle_one_block(self, outer: SeenCall, inner: SeenCall) -> bool:
        if outer.function == inner.function:
            return True
        makes = [self._verbs[each.function] in MAKING for each in (outer, inner)]
        if all(makes):
            if outer.block in NO_BLOCK or inner.block in NO_BLOCK:
                return False
            block, part = ((each.block or 0) * self._units[each.function] for each in (inner, outer))
            is_aligned = (
                self._area_of[outer.function] == self._area_of[inner.function] and part < block + inner.size
            )
            return block == part or (block < part and is_aligned)
        if self._verbs[outer.function] is Verb.REALLOC:  # it may give back the block, or a part of it
            return self._area_of[outer.function] == self._area_of[inner.function]
        return not any(makes) and outer.named == inner.named

    def _follow(self, calls: Sequence[SeenCall], nested: set[int]) -> None:
        """Go through entries and returns in order: blocks are given back when a function is entered, and made when it returns."""
        moments = []
        for call in calls:
            seen = self.functions[call.function]
            seen.calls += 1
            if call.number in nested:
                continue
            seen.direct += 1
            if call.named is not None:
                is_refused = call.function in self._may_refuse and bool(call.block)
                seen.refused += is_refused
                if not is_refused:
                    moments.append((call.entered, False, call))
            if self._verbs[call.function] in MAKING and call.left is not None:
                moments.append((call.left, True, call))
        for _, is_made, call in sorted(moments, key=lambda each: each[:2]):
            if is_made:
                self._make(call)
            else:
                self._give_back(call)

    def _make(self, call: SeenCall) -> None:
        seen, block = self.functions[call.function], call.block
        if block is None or block in NO_BLOCK:
            seen.failures += 1
            return
        area = self._area_of[call.function]
        live, starts = self._live[area], self._starts[area]
        seen.blocks.append(block)
        block *= self._units[call.function]
        size = self._size(call)
        place = bisect_left(starts, block)
        is_over = place > 0 and starts[place - 1] + live[starts[place - 1]] > block
        is_over |= place < len(starts) and starts[place] < block + max(1, size)
        seen.overlaps += is_over
        self._made.add(block)
        self._add(area, block, size, call.function)
        if len(live) > _PEAK_STEP * len(self.neighbours.get(area, ())):
            self.neighbours[area] = [(start, live[start]) for start in starts]

    def _give_back(self, call: SeenCall) -> None:
        block, seen = call.named, self.functions[call.function]
        if not block:
            return
        own = self._area_of[call.function]
        for area in (own, *(each for each in self._live if each != own)):
            start = self._find(area, block, self._size(call))
            if start is None:
                continue
            if area == own:
                seen.given_back[self._maker[area, start]] += 1
            else:
                seen.foreign[area] += 1
            self.callers_of_good.update(call.callers)
            if self._verbs[call.function] is not Verb.SHARE:
                self._remove(area, start, block, self._size(call))
            return
        if block in self._made:
            seen.again += 1
        else:
            seen.strange.append(call)

    def _size(self, call: SeenCall) -> int:
        is_of_pages = self._area_of[call.function] in self._of_pages
        return call.size or (PAGE_SIZE if is_of_pages else 0)

    def _find(self, area: str, block: int, size: int) -> int | None:
        """Return the start of the block that an address names: of pages, the first run of which a part is given back."""
        live, starts = self._live[area], self._starts[area]
        if block in live:
            return block
        if area not in self._of_pages:
            return None
        place = bisect_left(starts, block)
        if place and starts[place - 1] + live[starts[place - 1]] > block:
            return starts[place - 1]
        return starts[place] if place < len(starts) and starts[place] < block + size else None

    def _add(self, area: str, start: int, size: int, maker: str) -> None:
        if start not in self._live[area]:
            insort(self._starts[area], start)
        self._live[area][start] = size
        self._maker[area, start] = maker

    def _remove(self, area: str, start: int, block: int, size: int) -> None:
        """Take a block out; of pages, all that is given back of its run and of those after it."""
        if area not in self._of_pages:
            self._take_out(area, start)
            return
        end = block + size
        first = bisect_left(self._starts[area], start)
        for each in [run for run in self._starts[area][first:] if run < end]:
            after = each + self._take_out(area, each)
            if each < block:
                self._add(area, each, block - each, self._maker[area, each])
            if end < after:
                self._add(area, end, after - end, self._maker[area, each])

    def _take_out(self, area: str, start: int) -> int:
        self._starts[area].remove(start)
        return self._live[area].pop(start)


def seeds(strange: Iterable[SeenCall], callers_of_good: set[str]) -> dict[str, int]:
    """Return the functions that gave memory to an allocator that it had never handed out, with how many times.

    Each is the innermost function around such a call inside of which no block was given back that somebody had made.

    Args:
        strange: Calls that were given what nobody made.
        callers_of_good: As `Seen.callers_of_good`.
    """
    found: Counter[str] = Counter()
    for call in strange:
        seed = next((each for each in call.callers if each not in callers_of_good), None)
        if seed is not None:
            found[seed] += 1
    return dict(found)
