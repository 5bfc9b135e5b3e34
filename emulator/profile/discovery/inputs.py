"""See in a run which of the words that a function is given is the block, and which its size, where the kernel's file does not say it.

The block is what an allocator of the area made before. The size is what lets blocks lie beside each other, but for some mistakes:
with a pool's address for it they would overlap, and flags are of fewer kinds than sizes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from emulator.profile.discovery.candidates import Sureness
from emulator.profile.discovery.observed import MAKING, MOST_OVERLAPS, NO_BLOCK, OFTEN, Seen
from emulator.profile.discovery.text import input_name
from emulator.profile.discovery.words import Verb
from emulator.wording import counted
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.profile.discovery.areas import DraftArea, Suggestion
    from emulator.profile.discovery.observed import SeenCall

_ORDER: Final = {Verb.FREE: 0, Verb.REALLOC: 1}  # how long blocks live shows how long they are
_ADDRESSES: Final = 0x10000  # no function is asked for so many bytes in all of its calls


def find_inputs(area: DraftArea, calls: Sequence[SeenCall]) -> Sequence[SeenCall]:
    """Say in an area's signatures where their parameters are, or leave out what is not known.

    Args:
        area: Its functions are changed.
        calls: Of a run, in order of entry; none: it was not run.

    Returns:
        The calls, with arguments that are named as the area has it now.
    """
    for each in sorted(area.suggestions, key=lambda each: _ORDER.get(each.candidate.verb, len(_ORDER))):
        if each.signature.inputs:
            calls = _settle(area, each, calls)
    return calls


def _settle(area: DraftArea, suggestion: Suggestion, calls: Sequence[SeenCall]) -> Sequence[SeenCall]:
    inputs, parameters = suggestion.signature.inputs, suggestion.signature.parameters
    usual = tuple(
        f"esp+{WORD_SIZE * (1 + index)}" for index in range(len(parameters))
    )  # System V ABI for i386, 2.2.2
    found: dict[str, str] = {}
    for name, usual_place in zip(parameters, usual, strict=True):
        left = [each for each in inputs if each not in found.values()]
        find = _size if name == "size" else _block
        place = find(area, suggestion, left, calls, usual_place)
        if place:
            found[name] = place
            calls = [
                each.renamed(input_name(place), name) if each.function == suggestion.name else each
                for each in calls
            ]
    places = tuple(found.values())
    suggestion.signature = suggestion.signature._replace(
        parameters=tuple(found), places=() if places == usual[: len(places)] else places, inputs=()
    )
    for name in parameters:
        if name not in found:
            unknown = f"which of its arguments is the {'size' if name == 'size' else 'block'}, in {' or '.join(inputs)}, is not known"
            if name == "size":
                suggestion.notes.append(unknown)
            else:
                suggestion.drop(unknown)
    return calls


def _guessed(suggestion: Suggestion, place: str) -> str:
    """Return the place that the calling convention has, which nothing confirms."""
    suggestion.sureness = Sureness.GUESS
    return place


def _block(
    area: DraftArea, suggestion: Suggestion, places: Sequence[str], calls: Sequence[SeenCall], usual: str
) -> str:
    """Return where blocks of the area were seen; else the usual place, if the function's code reads it, or ""."""
    makers = {each.name for each in area.suggestions if each.candidate.verb in MAKING}
    given: Counter[str] = Counter()
    made: set[int | None] = set()
    for call in calls:
        if call.function == suggestion.name:
            given.update(place for place in places if call.arguments[input_name(place)] in made - NO_BLOCK)
        if call.function in makers:
            made.add(call.block)
    (place, times), *others = given.most_common() or [("", 0)]
    if times >= OFTEN and all(count < times for _, count in others):
        suggestion.notes.append(f"{place} was a block in {counted(times, 'call')}")
        return place
    return _guessed(suggestion, usual) if usual in places else ""


def _size(
    area: DraftArea, suggestion: Suggestion, places: Sequence[str], calls: Sequence[SeenCall], usual: str
) -> str:
    """Return where what may be sizes was seen; else the usual place, if what was there may be sizes, or ""."""
    made = [each for each in calls if each.function == suggestion.name and each.block not in NO_BLOCK]
    most_overlaps = _overlaps(area, calls) + MOST_OVERLAPS * len(made)
    kinds = {}
    for place in places:
        name = input_name(place)
        trial = [each.renamed(name, "size") if each.function == suggestion.name else each for each in calls]
        values = {each.arguments[name] for each in made}
        if min(values, default=0) < _ADDRESSES and _overlaps(area, trial) <= most_overlaps:
            kinds[place] = len(values)
    (place, most), *others = sorted(kinds.items(), key=lambda each: -each[1]) or [("", 0)]
    if most >= OFTEN and all(count < most / 2 for _, count in others):
        suggestion.notes.append(f"{place} was a size in {counted(len(made), 'call')}")
        return place
    return _guessed(suggestion, usual) if usual in kinds else ""


def _overlaps(area: DraftArea, calls: Sequence[SeenCall]) -> int:
    return sum(
        each.overlaps
        for each in Seen([area], [each for each in calls if each.function in area.names]).functions.values()
    )
