"""The profiles that come with the emulator, and which profile fits a kernel."""

from __future__ import annotations

import re
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emulator.errors import KernelMismatch
from emulator.profile.reader import read_profile
from kernel_model.btron import symbols as btron
from kernel_model.litecore import symbols as litecore

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from emulator.loader.elf.symbols import Symbol
    from emulator.loader.image import KernelImage
    from emulator.profile.model import Profile

KNOWN_PROFILES: Final = ("litecore", "btron")

#: Variables that a kernel has of which a known profile is, by its name for `known_profile`: all that the models of its base layer need.
STRUCTURES: Final = {"litecore": litecore.LAYER_SYMBOLS["heap"], "btron": btron.LAYER_SYMBOLS["pools"]}

#: Areas of known profiles that a kernel may lack as a whole, and the variables of one that has them.
OPTIONAL_AREAS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "litecore": {
        "paging": litecore.LAYER_SYMBOLS["paging"],
        "vmalloc": litecore.LAYER_SYMBOLS["vspace"],
        "vspace": litecore.LAYER_SYMBOLS["vspace"],
    },
    "btron": {"regions": btron.LAYER_SYMBOLS["regions"]},
}

_DIRECTORY = Path(__file__).parent / "kernels"
_NAMES_COMPARED = 8
_NAMES_SHOWN = 8
_SOUNDS_LIKE_ONE = re.compile("alloc|free", re.IGNORECASE)


@cache
def known_profile(name: str) -> Profile:
    """Return a profile that comes with the emulator.

    Args:
        name: One of `KNOWN_PROFILES`.
    """
    return read_profile(_DIRECTORY / f"{name}.toml")


def structures_of(profile: Profile) -> tuple[str, ...]:
    """Return the variables that belong to a known profile, or to one without some of its `OPTIONAL_AREAS`; none for another one."""
    for name in KNOWN_PROFILES:
        if profile == _with_areas(name, set(profile.areas)):
            optional = [
                variables for area, variables in OPTIONAL_AREAS[name].items() if area in profile.areas
            ]
            return tuple(dict.fromkeys(chain(STRUCTURES[name], *optional)))
    return ()


def find_profile(image: KernelImage) -> Profile | None:
    """Return the known profile of which a kernel has everything: all functions, and all `STRUCTURES`.

    One of these names proves nothing: many kernels have a ``kmem_init``, and mean something else.

    Returns:
        None when there is none; of several the one with most functions. It is without those `OPTIONAL_AREAS` of which the kernel lacks
        a function or a variable.

    Raises:
        BadImage: The kernel's symbol table is damaged.
    """
    fitting = [_with_areas(name, _areas(name, image)) for name in KNOWN_PROFILES if not _missing(name, image)]
    return max(fitting, key=lambda profile: len(profile.functions), default=None)


def matching_profile(image: KernelImage) -> Profile:
    """Return what `find_profile` finds.

    Raises:
        KernelMismatch: That is nothing; the text names functions that may allocate, and the nearest known profile.
        BadImage: The kernel's symbol table is damaged.
    """
    profile = find_profile(image)
    if profile is None:
        functions = [symbol.name for symbol in image.symbols.values() if symbol.kind == "function"]
        candidates = [name for name in sorted(functions) if _SOUNDS_LIKE_ONE.search(name)]
        hint = f"; it has {_some(candidates)}" if candidates else ""
        raise KernelMismatch(
            image.path,
            "no built-in profile fits; describe the functions that allocate memory in one (--profile)"
            f"{hint}{_nearest_text(image)}",
        )
    return profile


def _missing(name: str, image: KernelImage) -> list[str]:
    """Return the functions and structures of a known profile, its optional areas left out, that a kernel has not."""
    functions = [
        each.name
        for each in known_profile(name).functions
        if each.area not in OPTIONAL_AREAS[name] and not _is_function(image.symbol(each.name))
    ]
    return functions + [each for each in STRUCTURES[name] if image.symbol(each) is None]


def _areas(name: str, image: KernelImage) -> set[str]:
    """Return the areas of a known profile of which a kernel has all functions and variables."""
    profile = known_profile(name)
    lacking = {each.area for each in profile.functions if not _is_function(image.symbol(each.name))}
    for area, variables in OPTIONAL_AREAS[name].items():
        if any(image.symbol(each) is None for each in variables):
            lacking.add(area)
    return set(profile.areas) - lacking


def _with_areas(name: str, areas: Collection[str]) -> Profile:
    """Return a known profile with its optional areas among *areas* only."""
    profile = known_profile(name)
    left_out = [area for area in OPTIONAL_AREAS[name] if area not in areas]
    if not left_out:
        return profile
    return profile.with_functions(tuple(each for each in profile.functions if each.area not in left_out))


def _nearest_text(image: KernelImage) -> str:
    """Return which known profile has most of its functions in a kernel, and what is missing; "" if none has one."""
    there = {
        name: [each.name for each in known_profile(name).functions if _is_function(image.symbol(each.name))]
        for name in KNOWN_PROFILES
    }
    nearest = max(KNOWN_PROFILES, key=lambda name: len(there[name]))
    if not there[nearest]:
        return ""
    missing = _missing(nearest, image)
    return f"; nearest is {known_profile(nearest).name}, of which it has {_some(there[nearest])}, but not {_some(missing)}"


def _some(names: Sequence[str]) -> str:
    """Return the first of some names, and the number of the others."""
    return ", ".join(
        [
            *names[:_NAMES_SHOWN],
            *([f"{len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []),
        ]
    )


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
        names = [function.name for function in profile.functions]
        similar = _similar(names, image)
        hint = f"; similar names: {', '.join(similar)}" if similar else ""
        raise KernelMismatch(
            image.path,
            f"has none of the functions of profile {profile.name}: {', '.join(names)}{hint}",
            names,
        )
    return profile.with_functions(functions)


def _is_function(symbol: Symbol | None) -> bool:
    return symbol is not None and symbol.kind != "object"  # assembly need not say what is a function


def _similar(names: list[str], image: KernelImage) -> list[str]:
    import difflib

    there = [symbol.name for symbol in image.symbols.values() if _is_function(symbol)]
    near = (difflib.get_close_matches(name, there) for name in names[:_NAMES_COMPARED])
    return list(dict.fromkeys(name for each in near for name in each))
