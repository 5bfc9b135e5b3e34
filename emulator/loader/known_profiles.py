"""The profiles that come with the emulator, and which profile fits a kernel."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emulator.errors import NoAllocatorKnown, NoFunctionFound
from emulator.loader.profile import Role
from emulator.loader.profile_file import read_profile

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage
    from emulator.loader.profile import Profile
    from emulator.loader.symbols import Symbol

#: Names for `known_profile`.
KNOWN_PROFILES: Final = ("litecore", "btron")

_DIRECTORY = Path(__file__).parent / "profiles"
_NAMES_COMPARED = 8
_SOUNDS_LIKE_ONE = re.compile("alloc|free", re.IGNORECASE)


@cache
def known_profile(name: str) -> Profile:
    """Return a profile that comes with the emulator.

    Args:
        name: One of `KNOWN_PROFILES`.
    """
    return read_profile(_DIRECTORY / f"{name}.toml")


def find_profile(image: KernelImage) -> Profile | None:
    """Return the known profile of which a kernel has most functions, reduced to those that it has.

    Returns:
        None when the kernel has no function of any profile that takes memory.

    Raises:
        BadImage: The kernel's symbol table is damaged.
    """
    fitting = [_reduced(known_profile(name), image) for name in KNOWN_PROFILES]
    useful = [each for each in fitting if each and any(one.role is Role.ALLOC for one in each.functions)]
    return max(useful, key=lambda profile: len(profile.functions), default=None)


def matching_profile(image: KernelImage) -> Profile:
    """Return what `find_profile` finds.

    Raises:
        NoAllocatorKnown: That is nothing.
        BadImage: The kernel's symbol table is damaged.
    """
    profile = find_profile(image)
    if profile is None:
        functions = [symbol.name for symbol in image.symbols.values() if symbol.kind == "function"]
        candidates = [name for name in sorted(functions) if _SOUNDS_LIKE_ONE.search(name)]
        raise NoAllocatorKnown(image.path, candidates[:_NAMES_COMPARED])
    return profile


def match(profile: Profile, image: KernelImage) -> Profile:
    """Reduce a profile to the functions that a kernel has.

    Raises:
        NoFunctionFound: It has none of them.
        BadImage: Its symbol table is damaged.
    """
    reduced = _reduced(profile, image)
    if reduced is None:
        names = [function.name for function in profile.functions]
        raise NoFunctionFound(image.path, profile.name, names, _similar(names, image))
    return reduced


def _reduced(profile: Profile, image: KernelImage) -> Profile | None:
    functions = tuple(each for each in profile.functions if _is_function(image.symbol(each.name)))
    if not functions:
        return None
    areas = {function.area for function in functions}
    return replace(profile, functions=functions, page_areas=profile.page_areas & areas)


def _is_function(symbol: Symbol | None) -> bool:
    return symbol is not None and symbol.kind != "object"  # assembly need not say what is a function


def _similar(names: list[str], image: KernelImage) -> list[str]:
    import difflib

    there = [symbol.name for symbol in image.symbols.values() if _is_function(symbol)]
    near = (difflib.get_close_matches(name, there) for name in names[:_NAMES_COMPARED])
    return list(dict.fromkeys(name for each in near for name in each))
