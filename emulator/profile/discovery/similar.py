"""Suggest functions of a kernel for names that it does not have: by likeness, by what the names say, and by prototype."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from emulator.loader.functions.prototypes import prototype
from emulator.profile.discovery.candidates import find_candidates
from emulator.profile.evidence import has_shape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from emulator.loader.image import KernelImage
    from emulator.profile.discovery.candidates import Candidate
    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile

_NAMES_COMPARED: Final = 8
_MOST: Final = 6
_SAME_ROLE: Final = 0.3
_SHAPE: Final = 0.3
_ENOUGH: Final = 0.6
_FEW: Final = 3
_LIKE: Final = 0.6  # of a function that does the same by its name
_MUCH_LIKE: Final = 0.8  # of one of which the name does not say what it does


def similar_functions(functions: Sequence[TracedFunction], image: KernelImage) -> list[str]:
    """Return names of functions that may be meant, the best first.

    Args:
        functions: Those that a profile names and the kernel does not have.
        image: Of the kernel.

    Raises:
        BadImage: Its symbol table is damaged.
    """
    names = [symbol.name for symbol in image.symbols.values() if symbol.kind != "object"]
    candidates = {each.name: each for each in find_candidates(image)}
    scored: dict[str, float] = {}
    for function in functions[:_NAMES_COMPARED]:
        for name, score in _scores(function, names, candidates, image):
            scored[name] = max(score, scored.get(name, 0.0))
    good = [name for name, score in scored.items() if score >= _ENOUGH]
    return sorted(good, key=lambda name: (-scored[name], name))[:_MOST]


def similar_names(
    missing: Sequence[TracedFunction], profile: Profile, image: KernelImage
) -> Iterator[tuple[str, list[str]]]:
    """Yield names of functions that a kernel lacks, each with those of functions that may well be the same, the best first; none: left out.

    Args:
        missing: The functions.
        profile: The other functions, as they were matched with the kernel.
        image: Of the kernel.

    Raises:
        BadImage: Its symbol table is damaged.
    """
    verbs = {each.name: each.verb.value for each in find_candidates(image)}
    taken = {entry.address for function in profile.functions for entry in function.entries}
    for function in missing:
        if names := _similar_to(function, verbs, taken, image):
            yield function.name, names


def _similar_to(
    missing: TracedFunction, verbs: Mapping[str, str], taken: Collection[int], image: KernelImage
) -> list[str]:
    wanted = missing.name.rpartition(":")[2]
    scored = {}
    for symbol in image.symbols.values():
        enough = _LIKE if verbs.get(symbol.name) == missing.role.value else _MUCH_LIKE
        is_other = symbol.name in verbs and enough == _MUCH_LIKE
        if symbol.kind == "object" or symbol.address in taken or is_other:
            continue
        ratio = difflib.SequenceMatcher(None, wanted, symbol.name).ratio()
        declared = prototype(image, symbol.address) if ratio >= enough else None
        if ratio >= enough and (declared is None or has_shape(declared, missing)):
            scored[symbol.name] = ratio
    return sorted(scored, key=lambda name: (-scored[name], name))[:_FEW]


def _scores(
    function: TracedFunction, names: Sequence[str], candidates: dict[str, Candidate], image: KernelImage
) -> Iterator[tuple[str, float]]:
    """Yield functions with how well each fits: those with like names, and allocators with the same role."""
    wanted = function.name.rpartition(":")[2]
    near = difflib.get_close_matches(wanted, names, n=_MOST)
    same = [name for name, each in candidates.items() if each.verb.value == function.role.value]
    for name in dict.fromkeys([*near, *same]):
        score = difflib.SequenceMatcher(None, wanted, name).ratio() + _SAME_ROLE * (name in same)
        symbol = image.symbol(name)
        declared = None if symbol is None else prototype(image, symbol.address)
        if declared is not None:
            score += _SHAPE if has_shape(declared, function) else -_SHAPE
        yield name, score
