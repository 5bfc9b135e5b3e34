from __future__ import annotations

from dataclasses import replace

import pytest

from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import PAGES, Profile

ALLOC = TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0)
GET = TracedFunction("get_blk", "pools", Role.ALLOC, ("pool", "out", "size"), Result.ERROR)
FREE = TracedFunction("kfree", "heap", Role.FREE, ("ptr",), Result.NONE)
FRAME = TracedFunction("alloc_frame", "frames", Role.ALLOC, (), Result.FRAME, 0xFFFF_FFFF)
PROFILE = Profile("mine", (ALLOC, GET, FREE, FRAME), {"frames": PAGES})


def test_areas_in_the_order_of_their_first_functions() -> None:
    assert PROFILE.areas == ("heap", "pools", "frames")
    assert [PROFILE.pages(area) for area in PROFILE.areas] == [False, False, True]


def test_areas_of_which_blocks_are_known() -> None:
    profile = Profile("mine", (FREE, replace(FREE, name="drop", area="caches"), FRAME, ALLOC))
    assert (profile.areas, profile.block_areas) == (("heap", "caches", "frames"), ("heap", "frames"))


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        (("", (ALLOC,)), "the name of a profile is 1 to 80 printable characters"),
        (("x" * 81, (ALLOC,)), "the name of a profile is 1 to 80 printable characters"),
        (("\x1b[m", (ALLOC,)), "the name of a profile is 1 to 80 printable characters"),
        (("x", ()), "0 functions; a profile has 1 to 127"),
        (("x", (ALLOC,) * 128), "128 functions; a profile has 1 to 127"),
        (("x", (ALLOC, FREE, ALLOC)), "function kmalloc is there 2 times"),
        (("x", (ALLOC,), {"heaps": PAGES}), "area 'heaps' has rules, but no functions"),
    ],
)
def test_broken_profiles(profile: tuple[str, tuple[TracedFunction, ...]], problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        Profile(*profile)
    assert str(caught.value) == problem
