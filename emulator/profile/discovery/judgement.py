"""Correct drafts of areas by what was seen in a run, and note in them what that was."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from emulator.profile.discovery.areas import ENDING, LONELY
from emulator.profile.discovery.candidates import Sureness
from emulator.profile.discovery.inputs import find_inputs
from emulator.profile.discovery.observed import (
    MAKING,
    MOST_OVERLAPS,
    MOSTLY,
    NO_BLOCK,
    OFTEN,
    Seen,
    SeenCall,
    seeds,
)
from emulator.profile.discovery.words import Verb
from emulator.wording import counted
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emulator.profile.discovery.areas import DraftArea, Suggestion
    from emulator.profile.discovery.observed import SeenFunction

_FRAMES: Final = 1 << 20  # so many are in 4 GiB
_LENGTHS: Final = frozenset(("size", "pages", "order"))
_NEIGHBOURS: Final = 8
_NEAR: Final = 64
_ROUNDED: Final = 16
_PROMISED: Final = 4  # bytes at whose multiples blocks begin where a profile says nothing


def judge(areas: list[DraftArea], calls: Sequence[SeenCall]) -> None:
    """Correct drafts of areas.

    Args:
        areas: Changed: functions are moved, dropped, and noted about; areas that have none left are gone.
        calls: Of their functions in a run, in order of entry.
    """
    for area in areas:
        calls = find_inputs(area, calls)
        calls = _name_blocks(area, calls)
        _find_pages(area, calls)
    seen = Seen(areas, calls)
    if _join_wrappers(areas, seen):
        seen = Seen(areas, calls)
    if _move_frees(areas, seen):
        seen = Seen(areas, calls)
    areas[:] = [each for each in areas if each.suggestions]
    for area in areas:
        _take_partners(area)
        _judge_area(area, seen)


def judge_unseen(areas: Sequence[DraftArea]) -> None:
    """Leave out of drafts of areas, which are changed, what only a run could show."""
    for area in areas:
        find_inputs(area, ())


def _join_wrappers(areas: Sequence[DraftArea], seen: Seen) -> bool:
    """Put functions that do the work of others into their area; return whether there were such."""
    area_of = {each.name: area for area in areas for each in area.suggestions}
    changed = False
    for outer in list(area_of):
        for inner in seen.wrapped_by(outer):
            home, other = area_of[outer], area_of[inner]
            if home is other:
                continue
            if not seen.asks_for_as_much(outer, inner):
                if _has_length(_named(other, inner)) or not _has_length(_named(home, outer)):
                    _named(home, outer).drop(f"its blocks are those that {inner} makes for it")
                continue
            moved = list(other.suggestions) if other.taken(*ENDING) else [_named(other, inner)]
            for each in moved:
                other.suggestions.remove(each)
                home.suggestions.append(each)
                area_of[each.name] = home
            _named(home, inner).notes.append(f"does the work of {outer}")
            changed = True
    return changed


def _move_frees(areas: Sequence[DraftArea], seen: Seen) -> bool:
    """Put functions that give back into the area whose blocks they are given; return whether there were such."""
    changed = False
    by_name = {each.name: each for each in areas}
    for area in areas:
        for each in area.taken(Verb.FREE):
            found = seen.functions[each.name]
            other, times = next(iter(found.foreign.most_common(1)), ("", 0))
            if times >= OFTEN and not found.given_back:
                area.suggestions.remove(each)
                by_name[other].suggestions.append(each)
                each.notes.append(f"gives back blocks of {other}")
                changed = True
    return changed


def _take_partners(area: DraftArea) -> None:
    """Take what was left out for want of a function that gives back, if the area has one now."""
    if area.taken(*ENDING):
        for each in area.suggestions:
            if LONELY in each.notes and each.sureness > Sureness.GUESS:
                each.notes.remove(LONELY)
                each.is_taken = True


def _has_length(suggestion: Suggestion) -> bool:
    """Return whether it says how long a block is to be: a part of an allocator, such as one that takes from a list, does not."""
    signature = suggestion.signature
    return bool(signature.facts) or signature.is_of_pages or not _LENGTHS.isdisjoint(signature.parameters)


def _named(area: DraftArea, name: str) -> Suggestion:
    return next(each for each in area.suggestions if each.name == name)


def _judge_area(area: DraftArea, seen: Seen) -> None:
    for each in area.suggestions:
        if each.candidate.verb in MAKING:
            blocks = seen.functions[each.name].blocks
            names_pages = each.signature.result == "ptr" and not each.signature.block
            if area.is_of_pages and names_pages and any(block % PAGE_SIZE for block in blocks):
                each.drop("its results are no addresses of pages")
            else:
                _judge_making(each, seen.functions[each.name])
    if not area.taken(*MAKING):
        for each in area.taken(Verb.FREE):
            each.drop("nothing that takes is left")
        return
    for each in area.taken(Verb.FREE):
        _judge_free(area, each, seen)
    _measure(area, seen)


def _judge_making(suggestion: Suggestion, found: SeenFunction) -> None:
    if not found.calls:
        _leave_unseen(suggestion)
        return
    distinct = len(set(found.blocks))
    calls = counted(found.calls, "call")
    if not found.direct:
        suggestion.notes.append(f"{calls}, all inside of functions that are there")
        return
    if not distinct:
        suggestion.drop(f"{calls} made no block")
    elif found.overlaps > MOST_OVERLAPS * len(found.blocks):
        suggestion.drop(
            f"{counted(found.overlaps, 'block')} of {len(found.blocks)} overlapped one that was alive"
        )
    else:
        suggestion.notes.append(f"{calls} made {counted(len(found.blocks), 'block')}")
        if found.overlaps:
            suggestion.notes.append(f"{counted(found.overlaps, 'block')} overlapped one that was alive")
        is_revived = LONELY in suggestion.notes and distinct == len(found.blocks) >= OFTEN
        if is_revived and found.headers >= MOSTLY * len(found.blocks):
            suggestion.notes.append("what it makes are headers before the blocks of others")
        elif is_revived:
            suggestion.is_taken = True
        if suggestion.is_taken and len(found.blocks) >= OFTEN:
            suggestion.sureness = max(suggestion.sureness, Sureness.LIKELY)


def _leave_unseen(suggestion: Suggestion) -> None:
    suggestion.notes.append("not called in the run")
    if suggestion.sureness is Sureness.GUESS:
        suggestion.is_taken = False


def _judge_free(area: DraftArea, suggestion: Suggestion, seen: Seen) -> None:
    found = seen.functions[suggestion.name]
    if not found.calls:
        _leave_unseen(suggestion)
        return
    made_by = {each.name for each in area.taken(*MAKING)}
    given_back = sum(times for maker, times in found.given_back.items() if maker in made_by)
    if given_back:
        suggestion.notes.append(f"gave back {counted(given_back, 'block')}")
        if suggestion.returns_number:
            suggestion.notes.append("returned 0 for each")
            suggestion.signature = suggestion.signature._replace(result="error")
    givers = seeds(found.strange, seen.callers_of_good)
    left = len(found.strange) - sum(givers.values()) + found.given_back.total() - given_back
    given = f"was given {counted(left, 'block')} that none of these functions made"
    if left > given_back:
        for each in area.taken(*Verb):
            each.drop(given if each is suggestion else f"{suggestion.name} {given}")
        return
    for name, times in givers.items():
        area.seeds[name] = (
            f"{suggestion.name} is given {counted(times, 'block')} inside that nobody had taken"
        )
    if left:
        suggestion.notes.append(given)
    if given_back >= OFTEN:
        makers = [each for each in area.taken(*MAKING) if seen.functions[each.name].blocks]
        for each in (suggestion, *makers):
            each.sureness = max(each.sureness, Sureness.LIKELY if left else Sureness.SURE)


def _name_blocks(area: DraftArea, calls: Sequence[SeenCall]) -> Sequence[SeenCall]:
    """See by the results whether they are addresses or numbers of frames, where their type leaves that open.

    Returns:
        The calls, with arguments that are named as the area has it now.
    """
    open_ones = {
        each.name: each
        for each in area.suggestions
        if each.candidate.verb in MAKING and _may_be_number(each) and not each.signature.block
    }
    blocks = [call.block for call in calls if call.function in open_ones and call.block not in NO_BLOCK]
    is_aligned = all(block is not None and block % PAGE_SIZE == 0 for block in blocks)
    is_small = all(block is not None and block < _FRAMES for block in blocks)
    if is_small and not area.is_of_pages:
        _leave_numbers(open_ones.values(), calls)
    if len(blocks) < OFTEN or is_aligned == is_small or not (is_aligned or area.is_of_pages):
        return calls
    result, old = ("ptr", "frame") if is_aligned else ("frame", "ptr")
    for each in open_ones.values():
        if each.signature.result == old:
            each.notes.append(f"its results are {'multiples of 4096' if is_aligned else 'numbers of pages'}")
            each.signature = each.signature._replace(result=result)
    for each in area.suggestions:
        parameters = tuple(result if name == old else name for name in each.signature.parameters)
        each.signature = each.signature._replace(parameters=parameters)
    return [call.renamed(old, result) if call.function in area.names else call for call in calls]


def _find_pages(area: DraftArea, calls: Sequence[SeenCall]) -> None:
    """See by the results whether a function that is not given a length makes pages."""
    for each in area.suggestions:
        signature = each.signature
        if (
            each.candidate.verb not in MAKING
            or signature.is_of_pages
            or signature.facts
            or _LENGTHS.intersection(signature.parameters)
        ):
            continue
        blocks = [call.block for call in calls if call.function == each.name and call.block not in NO_BLOCK]
        if len(blocks) >= OFTEN and all(block is not None and block % PAGE_SIZE == 0 for block in blocks):
            each.notes.append("all its blocks begin like pages")
            each.signature = signature._replace(is_of_pages=True)


def _leave_numbers(suggestions: Iterable[Suggestion], calls: Sequence[SeenCall]) -> None:
    """Leave out functions without a length whose results are too close to each other for addresses."""
    for each in suggestions:
        blocks = [call.block for call in calls if call.function == each.name and call.block not in NO_BLOCK]
        is_sized = not _LENGTHS.isdisjoint(each.signature.parameters)
        if len(blocks) >= OFTEN and not is_sized and any(block and block % _PROMISED for block in blocks):
            each.drop("its results are small numbers, and what they count is not known")


def _may_be_number(suggestion: Suggestion) -> bool:
    declared = suggestion.candidate.prototype
    is_number = declared is None or not declared.plain_result.endswith("*")
    return is_number and suggestion.signature.result in ("ptr", "frame")


def _measure(area: DraftArea, seen: Seen) -> None:
    """See how far apart blocks lie, and at which addresses."""
    addresses = [
        block
        for each in area.taken(*MAKING)
        if each.signature.result != "frame" and not each.signature.block
        for block in seen.functions[each.name].blocks
    ]
    if len(addresses) >= OFTEN:
        together = 0
        for address in addresses:
            together |= address
        alignment = together & -together
        if alignment < _PROMISED and not area.is_of_pages:
            area.settings["alignment"] = str(alignment)
        area.notes.append(f"Its blocks began at multiples of {min(alignment, PAGE_SIZE)}.")
    header = _header(seen.neighbours.get(area.name, []))
    if header and not area.is_of_pages:
        area.settings["header"] = str(header)
        area.notes.append(f"Blocks side by side were {header} bytes apart.")


def _header(blocks: Sequence[tuple[int, int]]) -> int:
    """Return the bytes between blocks side by side; 0: none, or it varies."""
    gaps = [
        after - (start + size)
        for (start, size), (after, _) in pairwise(blocks)
        if size and 0 <= after - (start + size) < _NEAR
    ]
    if len(gaps) < _NEIGHBOURS or max(gaps) >= min(gaps) + _ROUNDED:
        return 0
    return min(gaps) & ~3
