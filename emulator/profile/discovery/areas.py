"""Put functions that take blocks together with those that give them back: by what their names, files and types have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from emulator.profile.discovery.candidates import Sureness, block_parameter, find_candidates, out_parameter
from emulator.profile.discovery.signatures import Signature, signature_of
from emulator.profile.discovery.words import Verb, stem_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emulator.loader.image import KernelImage
    from emulator.profile.discovery.candidates import Candidate

_ENOUGH: Final = 4
_UNTYPED: Final = ("void *", "char *", "unsigned char *")
_MAKING: Final = (Verb.ALLOC, Verb.CALLOC, Verb.REALLOC)
LONELY: Final = "nothing that gives back was found for it"
ENDING: Final = (Verb.FREE, Verb.RESET)
_ROLES: Final = {Verb.CALLOC: "alloc"}


@dataclass(slots=True)
class Suggestion:
    """A function of an area, as it may stand in the profile.

    Attributes:
        candidate: The function.
        signature: What its calls mean.
        sureness: How sure that is; it changes with what is seen.
        notes: Why, for people.
        is_taken: It stands in the profile, not in a comment.
    """

    candidate: Candidate
    signature: Signature
    sureness: Sureness
    notes: list[str]
    is_taken: bool = True

    @property
    def name(self) -> str:
        """Return its name."""
        return self.candidate.name

    @property
    def role(self) -> str:
        """Return the key under which it stands in a profile."""
        return _ROLES.get(self.candidate.verb, self.candidate.verb.value)

    @property
    def returns_number(self) -> bool:
        """Return whether it is declared with a result that is a number, such as an error."""
        declared = self.candidate.prototype
        return declared is not None and declared.plain_result in ("int", "long int", "unsigned int")

    def drop(self, note: str) -> None:
        """Leave it out of the profile, but for a comment."""
        self.is_taken = False
        self.notes.append(note)


@dataclass(slots=True)
class DraftArea:
    """Functions that handle the same blocks.

    Attributes:
        name: As the profile has it.
        suggestions: Its functions.
        settings: What else holds in it: ``header = 8``.
        seeds: Functions that give it memory to begin with, with what shows that.
        notes: What was seen, for people.
    """

    name: str
    suggestions: list[Suggestion]
    settings: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def is_of_pages(self) -> bool:
        """Whether its blocks are runs of pages."""
        return any(each.signature.is_of_pages for each in self.suggestions if each.is_taken)

    @property
    def names(self) -> frozenset[str]:
        """The names of its functions."""
        return frozenset(each.name for each in self.suggestions)

    def taken(self, *verbs: Verb) -> list[Suggestion]:
        """Return the functions that stand in the profile and do one of these things."""
        return [each for each in self.suggestions if each.is_taken and each.candidate.verb in verbs]


def draft_areas(image: KernelImage) -> list[DraftArea]:
    """Return the areas that a kernel's candidates make, the best first.

    Raises:
        BadImage: The symbol table is damaged.
    """
    candidates = find_candidates(image)
    allocs = [each for each in candidates if each.verb in _MAKING]
    groups: list[list[Candidate]] = [[each] for each in allocs]
    for verb in (Verb.FREE, Verb.RESET, Verb.SHARE):
        _join(groups, [each for each in candidates if each.verb is verb])
    _join_allocs(groups)
    areas: list[DraftArea] = []
    for group in sorted(groups, key=lambda each: (not _is_paired(each), -max(one.points for one in each))):
        suggestions = [_suggestion(image, each, group) for each in group]
        areas.append(DraftArea(_free_name(group, areas), suggestions))
    _leave_out_lonely(areas)
    return areas


def _leave_out_lonely(areas: Sequence[DraftArea]) -> None:
    """Leave out functions without one that gives back, if others have one: helpers of those are often called ``alloc_``, too."""
    if any(each.taken(*ENDING) for each in areas):
        for area in areas:
            if not area.taken(*ENDING):
                for each in area.taken(*_MAKING):
                    each.drop(LONELY)


def _join(groups: list[list[Candidate]], frees: Iterable[Candidate]) -> None:
    """Put each function that gives back to the one that it has most in common with."""
    for free in frees:
        scored = [
            (max(_affinity(each, free) for each in group if each.verb in _MAKING), -index)
            for index, group in enumerate(groups)
        ]
        best = max(scored, default=(0, 0))
        if best[0] >= _ENOUGH:
            groups[-best[1]].append(free)


def _join_allocs(groups: list[list[Candidate]]) -> None:
    """Put an allocating function without a freeing one to the area in which it has most in common with one that has."""
    for group in [each for each in groups if not _is_paired(each)]:
        others = [each for each in groups if _is_paired(each)]
        scored = [
            (max((_affinity(group[0], each) for each in other if each.verb is Verb.FREE), default=0), -index)
            for index, other in enumerate(others)
        ]
        best = max(scored, default=(0, 0))
        if best[0] >= _ENOUGH:
            others[-best[1]].extend(group)
            groups.remove(group)


def _is_paired(group: Iterable[Candidate]) -> bool:
    return any(each.verb in ENDING for each in group)


def _affinity(alloc: Candidate, free: Candidate) -> int:
    """Return how much two functions have in common."""
    points = 0
    one, other = stem_of(alloc.name), stem_of(free.name)
    if one == other:
        points += 4
    elif one & other:
        points += 2
    if alloc.prototype is None or free.prototype is None:
        return points
    points += 2 if alloc.prototype.file == free.prototype.file else -1
    if free.verb is Verb.RESET:
        return points
    taken, given = _made_type(alloc), _freed_type(free)
    if taken in _UNTYPED and given in _UNTYPED:
        return points + 1
    if taken.endswith("*") != given.endswith("*"):
        return points - 2
    if taken == given:
        return points + 3
    return points if {taken, given} & set(_UNTYPED) else points - 4


def _made_type(alloc: Candidate) -> str:
    declared = alloc.prototype
    if declared is None:
        return ""
    out = out_parameter(declared)
    if out is not None and not declared.plain_result.endswith("*"):
        return declared.parameters[out].plain_type.removesuffix("*").strip()
    return declared.plain_result


def _freed_type(free: Candidate) -> str:
    declared = free.prototype
    block = None if declared is None else block_parameter(declared)
    return "" if declared is None or block is None else declared.parameters[block].plain_type


def _suggestion(image: KernelImage, candidate: Candidate, group: Sequence[Candidate]) -> Suggestion:
    is_paired, has_free = _is_paired(group), any(each.verb is Verb.FREE for each in group)
    signature = signature_of(image, candidate)
    sureness = candidate.sureness
    if is_paired and candidate.prototype is not None and sureness is Sureness.LIKELY:
        sureness = Sureness.SURE if candidate.points >= _SURE_WITH_PARTNER else sureness
    suggestion = Suggestion(candidate, signature, sureness, list(candidate.reasons))
    if signature.places:
        suggestion.notes.append(f"its code reads {signature.places[0].upper()} alone")
    if signature.problem:
        suggestion.drop(signature.problem)
    elif sureness is Sureness.GUESS and not is_paired:
        suggestion.drop(LONELY)
    elif candidate.verb is Verb.SHARE:
        suggestion.drop("whether it shares a block is not known")
    elif candidate.verb is Verb.RESET and "pool" not in signature.parameters and has_free:
        suggestion.drop("whether it gives back all blocks is not known")
    return suggestion


_SURE_WITH_PARTNER: Final = 8


def _free_name(group: list[Candidate], areas: Iterable[DraftArea]) -> str:
    """Return a name for an area that no other one has."""
    stem = sorted(word for word in stem_of(group[0].name) if len(word) > 1 and word.isalpha())
    file = group[0].prototype.file.partition(".")[0] if group[0].prototype is not None else ""
    wanted = "_".join(stem) or (file if file.isidentifier() else "") or "heap"
    taken = {each.name for each in areas}
    names = [wanted, *(f"{wanted}{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
