from __future__ import annotations

from dataclasses import replace

import pytest

from emulator.errors import NoFunctionFound
from emulator.loader.image import KernelImage
from emulator.loader.known_profiles import KNOWN_PROFILES, find_profile, known_profile, match
from emulator.loader.profile import Profile, Result, Role, TracedFunction
from kernel_model.btron.errors import Error
from tests.unit.loader import elf_builder as eb
from tests.unit.loader.elf_builder import BASE, Elf, Sym, build_elf

ALLOC = TracedFunction("alloc_page", "pages", Role.ALLOC, (), Result.POINTER, 0)
FREE = TracedFunction("free_page", "heap", Role.FREE, ("ptr",), Result.NONE)
MINE = Profile("mine", (ALLOC, FREE), frozenset({"pages"}))


def kernel(*names: str, kind: int = eb.FUNC) -> KernelImage:
    symbols = [Sym(name, BASE + number, 1, kind) for number, name in enumerate(names)]
    return KernelImage(build_elf(Elf(symbols=symbols)), "k.elf")


def names_of(profile: Profile | None) -> list[str]:
    assert profile is not None
    return [function.name for function in profile.functions]


class TestKnown:
    def test_names(self) -> None:
        assert [known_profile(name).name for name in KNOWN_PROFILES] == ["LiteCore", "BTRON/386"]

    def test_areas(self) -> None:
        litecore, btron = map(known_profile, KNOWN_PROFILES)
        assert (litecore.areas, litecore.page_areas) == (("heap", "frames"), frozenset({"frames"}))
        assert (btron.areas, btron.page_areas) == (("pmem", "kmem", "mpl", "mpf"), frozenset({"pmem"}))

    def test_failures(self) -> None:
        failures = {
            function.name: function.failure
            for name in KNOWN_PROFILES
            for function in known_profile(name).functions
            if function.failure is not None
        }
        assert failures == {
            "kmalloc": 0,
            "alloc_frame": 0xFFFFFFFF,
            "alloc_frames": 0xFFFFFFFF,
            "pmem_alloc": 0,
            "kmem_alloc": 0,
            **dict.fromkeys(["get_blk", "pget_blk", "tget_blk"], Error.E_NOMEM & 0xFFFFFFFF),
            **dict.fromkeys(["get_blf", "pget_blf", "tget_blf"], Error.E_NOMEM & 0xFFFFFFFF),
        }


class TestFind:
    def test_only_functions_that_exist(self) -> None:
        profile = find_profile(kernel("kfree", "kmalloc"))
        assert names_of(profile) == ["kmalloc", "kfree"]
        assert profile is not None
        assert profile.page_areas == frozenset()

    def test_the_profile_with_more_functions(self) -> None:
        both = ["kmalloc", "alloc_frame", "pmem_alloc", "pmem_free", "get_blk"]
        assert names_of(find_profile(kernel(*both))) == ["pmem_alloc", "pmem_free", "get_blk"]

    def test_labels_of_assembly_are_functions(self) -> None:
        assert names_of(find_profile(kernel("kmalloc", kind=eb.NOTYPE))) == ["kmalloc"]

    def test_data_is_not(self) -> None:
        assert find_profile(kernel("kmalloc", kind=eb.OBJECT)) is None

    def test_nothing_that_takes_memory(self) -> None:
        assert find_profile(kernel("kfree", "mem_init")) is None
        assert find_profile(kernel()) is None


class TestMatch:
    def test_only_functions_that_exist(self) -> None:
        assert match(MINE, kernel("alloc_page", "other")) == Profile("mine", (ALLOC,), frozenset({"pages"}))
        assert match(MINE, kernel("free_page", "other")) == Profile("mine", (FREE,))
        assert match(MINE, kernel("free_page", "alloc_page")) == MINE

    def test_none_exists(self) -> None:
        with pytest.raises(NoFunctionFound) as caught:
            match(MINE, kernel("allocate_page", "kmain", "alloc_pages", "freepage"))
        error = caught.value
        assert str(error) == (
            "k.elf: has none of the functions of profile mine: alloc_page, free_page; "
            "similar names: alloc_pages, allocate_page, freepage"
        )
        assert (error.path, error.profile) == ("k.elf", "mine")
        assert error.names == ("alloc_page", "free_page")
        assert error.nearest == ("alloc_pages", "allocate_page", "freepage")

    def test_none_exists_and_nothing_is_similar(self) -> None:
        with pytest.raises(
            NoFunctionFound, match=r"^k\.elf: has none of the functions of profile mine: free_page$"
        ):
            match(replace(MINE, functions=(FREE,), page_areas=frozenset()), kernel())
