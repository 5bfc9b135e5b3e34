from __future__ import annotations

from dataclasses import replace

import pytest

from emulator.errors import KernelMismatch
from emulator.loader.image import KernelImage
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import (
    KNOWN_PROFILES,
    evidence_of,
    find_profile,
    known_profile,
    match,
    matching_profile,
    structures_of,
)
from emulator.profile.model import PAGES, Profile
from kernel_model.btron.errors import Error
from tests.unit.loader import elf_builder as eb
from tests.unit.loader.elf_builder import BASE, Elf, Load, Sym, build_elf

ALLOC = TracedFunction("alloc_page", "pages", Role.ALLOC, (), Result.POINTER, 0)
FREE = TracedFunction("free_page", "heap", Role.FREE, ("ptr",), Result.NONE)
NOP = b"\x90"
ZEPHYRS = ("zephyr", "zephyr_before_3_4")  # told apart by debug information alone
OURS = ("litecore", "btron")
MINE = Profile("mine", (ALLOC, FREE), {"pages": PAGES})


def kernel(*names: str, kind: int = eb.FUNC) -> KernelImage:
    """Return one that has these functions, which read the parameters that the profile `MINE` or a built-in one gives them."""
    functions = [
        *MINE.functions,
        *(each for name in KNOWN_PROFILES for each in known_profile(name).functions),
    ]
    counts = {each.name: each.argument_count for each in functions}
    size = len(reading(5))
    code = b"".join(reading(counts.get(name, 0)).ljust(size, NOP) for name in names)
    symbols = [Sym(name, BASE + number * size, size, kind) for number, name in enumerate(names)]
    return KernelImage(build_elf(Elf([Load(data=code or NOP)], symbols=symbols)), "k.elf")


def reading(count: int) -> bytes:
    """Return code that reads the first words behind the return address: mov 4(%esp), %eax and so on; ret."""
    return b"".join(b"\x8b\x44\x24" + bytes([4 + 4 * number]) for number in range(count)) + b"\xc3"


def everything(name: str) -> list[str]:
    """Return the functions and structures of a known profile, those of areas that may be missing as well."""
    evidence = evidence_of(name)
    optional = [symbol for symbols in evidence.optional_areas.values() for symbol in symbols]
    functions = (function.name for function in known_profile(name).functions)
    return list(dict.fromkeys([*functions, *evidence.variables, *optional]))


def needed(name: str) -> list[str]:
    """Return the functions and structures that a kernel has to have."""
    evidence = evidence_of(name)
    optional = {*evidence.optional, *evidence.optional_areas}
    functions = [
        each.name for each in known_profile(name).functions if optional.isdisjoint((each.name, each.area))
    ]
    return [*functions, *evidence.variables]


def whole(name: str, kind: int = eb.FUNC) -> KernelImage:
    return kernel(*everything(name), kind=kind)


class TestKnown:
    def test_names(self) -> None:
        names = {name: known_profile(name).name for name in KNOWN_PROFILES}
        assert names["litecore"] == "LiteCore"
        assert names["btron"] == "BTRON/386"
        assert len(set(names.values())) == len(names)

    def test_areas(self) -> None:
        litecore, btron = map(known_profile, OURS)
        assert (litecore.areas, litecore.rules) == (
            ("heap", "frames", "paging", "vmalloc", "vspace"),
            {"frames": PAGES},
        )
        assert (btron.areas, btron.rules) == (
            ("pmem", "kmem", "mpl", "mpf", "regions"),
            {"pmem": PAGES},
        )

    def test_failures(self) -> None:
        failures = {
            function.name: function.failure
            for name in OURS
            for function in known_profile(name).functions
            if function.failure is not None
        }
        assert failures == {
            "kmalloc": 0,
            "alloc_frame": 0xFFFFFFFF,
            "alloc_frames": 0xFFFFFFFF,
            "vmalloc": 0,
            "vspace_alloc": 0,
            "pmem_alloc": 0,
            "kmem_alloc": 0,
            **dict.fromkeys(["get_blk", "pget_blk", "tget_blk"], Error.E_NOMEM & 0xFFFFFFFF),
            **dict.fromkeys(["get_blf", "pget_blf", "tget_blf"], Error.E_NOMEM & 0xFFFFFFFF),
        }


class TestFind:
    @pytest.mark.parametrize("name", [each for each in KNOWN_PROFILES if each not in ZEPHYRS])
    def test_a_kernel_that_has_everything(self, name: str) -> None:
        assert find_profile(whole(name)) == known_profile(name)

    @pytest.mark.parametrize("name", ZEPHYRS)
    def test_two_that_fit_equally_well(self, name: str) -> None:
        assert find_profile(whole(name)) is None
        with pytest.raises(
            KernelMismatch, match=r"Zephyr and Zephyr before 3\.4 fit equally well; choose a profile"
        ):
            matching_profile(whole(name))

    @pytest.mark.parametrize("name", [each for each in KNOWN_PROFILES if each != "zephyr_before_3_4"])
    def test_one_that_lacks_any_one_thing(self, name: str) -> None:
        for missing in needed(name):
            assert find_profile(kernel(*(each for each in everything(name) if each != missing))) is None

    @pytest.mark.parametrize(
        ("missing", "areas"),
        [
            ("vmalloc", ("heap", "frames", "paging", "vspace")),
            ("vfree", ("heap", "frames", "paging", "vspace")),
            ("vspace_free", ("heap", "frames", "paging", "vmalloc")),
            ("vspace_ranges", ("heap", "frames", "paging")),
            ("map_page", ("heap", "frames", "vmalloc", "vspace")),
            ("page_directory", ("heap", "frames")),
        ],
    )
    def test_optional_areas_are_there_as_a_whole_or_not_at_all(
        self, missing: str, areas: tuple[str, ...]
    ) -> None:
        found = find_profile(kernel(*(each for each in everything("litecore") if each != missing)))
        assert found is not None
        assert (found.name, found.areas, found.rules) == ("LiteCore", areas, {"frames": PAGES})

    @pytest.mark.parametrize(
        ("name", "areas"), [("litecore", ("heap", "frames")), ("btron", ("pmem", "kmem", "mpl", "mpf"))]
    )
    def test_what_it_has_to_have_is_enough(self, name: str, areas: tuple[str, ...]) -> None:
        found = find_profile(kernel(*needed(name)))
        assert found is not None
        assert found.areas == areas

    def test_labels_of_assembly_are_functions(self) -> None:
        assert find_profile(whole("litecore", kind=eb.NOTYPE)) == known_profile("litecore")

    def test_data_is_not(self) -> None:
        assert find_profile(whole("litecore", kind=eb.OBJECT)) is None

    def test_one_name_is_no_evidence(self) -> None:
        """GNU Mach has a kmem_init."""
        assert find_profile(kernel("kmem_init", "kalloc")) is None
        assert find_profile(kernel()) is None

    def test_of_both_the_one_with_more_functions(self) -> None:
        both = kernel(*dict.fromkeys(each for name in OURS for each in everything(name)))
        assert find_profile(both) == known_profile("btron")


def test_the_variables_of_a_profile() -> None:
    for name in KNOWN_PROFILES:
        assert set(structures_of(known_profile(name))) == set(everything(name)) - {
            each.name for each in known_profile(name).functions
        }
    older = find_profile(kernel(*needed("litecore")))
    assert older is not None
    assert structures_of(older) == evidence_of("litecore").variables
    assert structures_of(replace(MINE, name="LiteCore")) == ()


def test_what_was_found_is_said() -> None:
    profile = matching_profile(whole("litecore"))
    assert profile == known_profile("litecore")
    assert profile.title == "LiteCore (all 18 functions, 8 variables)"
    assert known_profile("litecore").title == "LiteCore"


class TestNoneFits:
    def test_the_likely_functions_are_named_and_what_to_do(self) -> None:
        with pytest.raises(KernelMismatch) as caught:
            matching_profile(kernel("kmem_init", "kalloc", "free_count", "kfree", "kmain"))
        assert str(caught.value) == (
            "k.elf: no built-in profile fits; it has kalloc, kfree; kmemu init k.elf writes one"
        )

    def test_one_of_which_half_the_functions_are_there_is_near(self) -> None:
        names = [each for each in needed("litecore") if each != "heap_lock"]
        with pytest.raises(KernelMismatch, match=r"; nearest is LiteCore, but the kernel lacks heap_lock$"):
            matching_profile(kernel(*names))

    def test_nothing_is_near(self) -> None:
        with pytest.raises(
            KernelMismatch, match=r"^k\.elf: no built-in profile fits; kmemu init k\.elf writes one$"
        ):
            matching_profile(kernel("kmain"))

    def test_many_names_are_counted(self) -> None:
        with pytest.raises(KernelMismatch, match=r"it has alloc0, .*, alloc7, 3 more; kmemu init"):
            matching_profile(kernel(*(f"alloc{number}" for number in range(10)), "alloc99"))


class TestMatch:
    def test_only_functions_that_exist(self) -> None:
        assert match(MINE, kernel("alloc_page", "other")) == Profile("mine", (ALLOC,), {"pages": PAGES})
        assert match(MINE, kernel("free_page", "other")) == Profile("mine", (FREE,))
        assert match(MINE, kernel("free_page", "alloc_page")) == MINE

    def test_none_exists(self) -> None:
        with pytest.raises(KernelMismatch) as caught:
            match(MINE, kernel("allocate_page", "kmain", "alloc_pages", "freepage"))
        error = caught.value
        assert str(error) == (
            "k.elf: has none of the functions of profile mine: alloc_page, free_page; "
            "similar names: alloc_pages, freepage, allocate_page"
        )
        assert error.path == "k.elf"
        assert error.names == ("alloc_page", "free_page")

    def test_none_exists_and_nothing_is_similar(self) -> None:
        with pytest.raises(
            KernelMismatch, match=r"^k\.elf: has none of the functions of profile mine: free_page$"
        ):
            match(replace(MINE, functions=(FREE,), rules={}), kernel())
