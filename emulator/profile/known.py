"""The profiles that come with the emulator, and which profile fits a kernel."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from emulator.errors import KernelMismatch
from emulator.profile.evidence import Evidence, Fit, evidence_in, fit
from emulator.profile.reader import ProfileFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emulator.loader.image import KernelImage
    from emulator.profile.model import Profile

_DIRECTORY = os.path.join(os.path.dirname(__file__), "kernels")
_ENDING = ".toml"
_NAMES_SHOWN = 8
_HALF = 0.5

#: For `known_profile`; a file in this directory is all that a built-in profile takes.
KNOWN_PROFILES: Final = tuple(
    sorted(name.removesuffix(_ENDING) for name in os.listdir(_DIRECTORY) if name.endswith(_ENDING))
)


@cache
def known_profile(name: str) -> Profile:
    """Return a profile that comes with the emulator.

    Args:
        name: One of `KNOWN_PROFILES`.
    """
    return _file(name).profile()


@cache
def evidence_of(name: str) -> Evidence:
    """Return what shows that a kernel is that of a profile that comes with the emulator.

    Args:
        name: One of `KNOWN_PROFILES`.
    """
    return evidence_in(_file(name).document)


def structures_of(profile: Profile) -> tuple[str, ...]:
    """Return the variables that belong to a known profile, or to one without what is optional; none for another one."""
    functions = {(each.name, each.area, each.role) for each in profile.functions}
    for name in KNOWN_PROFILES:
        if profile.name == _file(name).name and functions <= {
            (each.name, each.area, each.role) for each in known_profile(name).functions
        }:
            evidence = evidence_of(name)
            optional = [
                variable
                for area, variables in evidence.optional_areas.items()
                if area in profile.areas
                for variable in variables
            ]
            return tuple(dict.fromkeys([*evidence.variables, *optional]))
    return ()


def find_profile(image: KernelImage) -> Profile | None:
    """Return the profile that `matching_profile` chooses, or None.

    Raises:
        BadImage: The kernel's symbol table is damaged.
    """
    best = _best(image)
    return replace(best[0].profile, reason=best[0].reason) if len(best) == 1 else None


def matching_profile(image: KernelImage) -> Profile:
    """Return the known profile of which a kernel has everything: all functions, and all that is `Evidence` of it.

    Of several it is the one with most functions, and of those the one with most evidence. It is without what is optional and not there,
    says why it was chosen, and its functions have their entries.

    Raises:
        UnsupportedFunction: What must be known of a function cannot be; see `match`.
        KernelMismatch: None fits, or several as well as each other; the text names functions that may allocate, and the nearest profile.
        BadImage: The kernel's symbol table is damaged.
    """
    best = _best(image)
    if len(best) == 1:
        return replace(match(best[0].profile, image), reason=best[0].reason)
    if not best:
        raise KernelMismatch(image.path, f"{_no_fit_text(image)}{_nearest_text(image)}")
    names = " and ".join(sorted(each.profile.name for each in best))
    problem = f"the built-in profiles {names} fit equally well; choose a profile (--profile)"
    raise KernelMismatch(image.path, problem)


def _fits(image: KernelImage, names: Iterable[str]) -> list[Fit]:
    return [fit(known_profile(name), evidence_of(name), image) for name in names]


def _best(image: KernelImage) -> list[Fit]:
    """Return the profile that fits best, several if they fit equally well, and none if none fits."""
    # Those that lack a variable need no look at functions and debug information.
    possible = (
        name
        for name in KNOWN_PROFILES
        if all(image.symbol(each) is not None for each in evidence_of(name).variables)
    )
    fitting = [each for each in _fits(image, possible) if not each.missing]
    most = max(map(_rank, fitting), default=None)
    return [each for each in fitting if _rank(each) == most]


@cache
def _file(name: str) -> ProfileFile:
    return ProfileFile.read(os.path.join(_DIRECTORY, name + _ENDING))


def _rank(each: Fit) -> tuple[int, int]:
    return len(each.profile.functions), each.weight


def _no_fit_text(image: KernelImage) -> str:
    """Return what to do where no built-in profile fits, with the functions that may allocate."""
    import shlex  # only for errors, as the next one

    from emulator.profile.discovery.candidates import likely_names

    names = likely_names(image)
    hint = f"; it has {_some(names)}" if names else ""
    return f"no built-in profile fits{hint}; kmemu init {shlex.quote(image.path)} writes one"


def _nearest_text(image: KernelImage) -> str:
    """Return which known profile a kernel has more than half of, and what is missing; "" if none has."""
    nearest = max(_fits(image, KNOWN_PROFILES), key=lambda each: each.share)
    if nearest.share <= _HALF:
        return ""
    return f"; nearest is {nearest.profile.name}, but the kernel lacks {_some(nearest.missing)}"


def _some(names: Sequence[str]) -> str:
    """Return the first of some names, and the number of the others."""
    shown, more = names[:_NAMES_SHOWN], len(names) - _NAMES_SHOWN
    return ", ".join([*shown, *([f"{more} more"] if more > 0 else [])])


def match(profile: Profile, image: KernelImage) -> Profile:
    """Reduce a profile to the functions that a kernel has, each with its entries there.

    Raises:
        KernelMismatch: It has none of them.
        UnsupportedFunction: What must be known of one cannot be: which block it is about, or how many pages.
        BadImage: Its symbol table is damaged.
    """
    from emulator.profile.binding import bind  # reads debug information, which not every command needs

    functions = bind(profile, image)
    if not functions:
        from emulator.profile.discovery.similar import similar_functions  # only for errors

        names = [function.name for function in profile.functions]
        similar = similar_functions(profile.functions, image)
        hint = f"; similar names: {', '.join(similar)}" if similar else ""
        raise KernelMismatch(
            image.path,
            f"has none of the functions of profile {profile.name}: {', '.join(names)}{hint}",
            names,
        )
    return profile.with_functions(functions)
