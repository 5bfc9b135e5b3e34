"""The known profiles name functions and parameters of the C code; here they are compared with what the compiler saw."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile

from emulator.hle import kernels as hle
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.profile.evidence import declaration
from emulator.profile.functions import Result, Role
from emulator.profile.known import KNOWN_PROFILES, evidence_of, find_profile, known_profile
from emulator.profile.reader import read_profile
from kernel_model.memory import ByteMemory
from tests.helpers.kernels import EVERY, is_btron

if TYPE_CHECKING:
    from emulator.profile.model import Profile

PROFILES = [("btron" if is_btron(name) else "litecore", name) for name in EVERY]
MEANINGS = {
    "size": {"size", "blksz"},
    "pages": {"count", "pages"},
    "ptr": {"p", "region", "blk", "blf", "addr"},
    "frame": {"frame", "first"},
    "out": {"p_blk", "p_blf"},
    "pool": {"mplid", "mpfid"},
}


@cache
def declarations(kernel: str) -> dict[str, Any]:
    """Return the DWARF entry of every function that has code, by name."""
    with Path(resolve(f"firmware:{kernel}")).open("rb") as file:
        return {
            die.attributes["DW_AT_name"].value.decode(): list(die.iter_children())
            for unit in ELFFile(file).get_dwarf_info().iter_CUs()
            for die in unit.iter_DIEs()
            if die.tag == "DW_TAG_subprogram" and "DW_AT_low_pc" in die.attributes
        }


def parameters(kernel: str, function: str) -> list[str]:
    children = declarations(kernel)[function]
    formal = [child for child in children if child.tag == "DW_TAG_formal_parameter"]
    return [child.attributes["DW_AT_name"].value.decode() for child in formal]


def profile_of(kernel: str) -> Profile | None:
    return find_profile(KernelImage.read(resolve(f"firmware:{kernel}")))


@pytest.mark.parametrize(("profile", "kernel"), PROFILES)
def test_every_built_in_kernel_has_all_functions_of_its_profile(profile: str, kernel: str) -> None:
    """Of optional areas those that it was linked with."""
    found = profile_of(kernel)
    assert found is not None
    whole = known_profile(profile)
    assert found.name == whole.name
    there = [each for each in whole.functions if each.name in declarations(kernel)]
    assert list(found.functions) == there
    assert set(whole.areas) - set(found.areas) <= set(evidence_of(profile).optional_areas)


def test_the_optional_areas_are_in_the_kernel_that_shows_them() -> None:
    assert profile_of("paging_demo") == known_profile("litecore")


@pytest.mark.parametrize(("profile", "kernel"), PROFILES)
def test_parameters_mean_what_the_c_code_calls_them(profile: str, kernel: str) -> None:
    found = profile_of(kernel)
    assert found is not None
    assert found.name == known_profile(profile).name
    for function in found.functions:
        names = parameters(kernel, function.name)
        assert len(function.parameters) == len(names), function.name
        for ours, theirs in zip(function.parameters, names, strict=True):
            assert theirs in MEANINGS.get(ours, {theirs}), function.name


@pytest.mark.parametrize(
    ("profile", "kernel"), [("litecore", hle.LITECORE), ("btron", hle.BTRON)], ids=["litecore", "btron"]
)
def test_the_models_agree(profile: str, kernel: hle.Kernel) -> None:
    names = {name for layer in kernel.layers for name in kernel.symbols[layer]}
    models = kernel.models(ByteMemory(0, 4096), dict.fromkeys(names, 0x80000000), print)
    compared = 0
    for function in known_profile(profile).functions:
        model = models.functions.get(function.name)
        if model is None:
            continue  # a public call of BTRON: only its inner function is modelled
        compared += 1
        assert model.argument_count == len(function.parameters), function.name
        assert (model.result in {"void", "bool"}) == (function.result is Result.NONE), function.name
        if function.role is Role.ALLOC:
            assert (model.result == "pointer") == (function.result is Result.POINTER), function.name
    assert compared >= 8


@pytest.mark.parametrize("name", KNOWN_PROFILES)
def test_evidence_is_about_functions_and_areas_of_its_profile(name: str) -> None:
    profile, evidence = known_profile(name), evidence_of(name)
    functions = {each.name for each in profile.functions}
    assert {declaration(each)[0] for each in evidence.prototypes} <= functions
    assert set(evidence.optional) <= functions | set(profile.areas)
    assert set(evidence.optional_areas) <= set(profile.areas)
    assert all("." in each for each in evidence.structures)


@pytest.mark.parametrize(
    ("profile", "kernel"), [("litecore", hle.LITECORE), ("btron", hle.BTRON)], ids=["litecore", "btron"]
)
def test_evidence_is_what_the_models_need(profile: str, kernel: hle.Kernel) -> None:
    evidence = evidence_of(profile)
    assert set(evidence.variables) == set(kernel.symbols[kernel.base_layer])
    optional = {name for names in evidence.optional_areas.values() for name in names}
    needed = {name for layer in kernel.layers for name in kernel.symbols[layer]}
    assert needed == optional | set(evidence.variables)


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text("utf-8")
    path = tmp_path / "mykernel.toml"
    path.write_text(text.partition("```toml\n")[2].partition("```")[0], "utf-8")
    profile = read_profile(path)
    assert profile.areas == ("heap", "pages", "slab")
    assert [(each.name, each.failure) for each in profile.functions if each.role is Role.ALLOC] == [
        ("kmalloc", 0),
        ("kmemalign", 0),
        ("page_alloc", 0xFFFFFFFF),
        ("slab_get", None),
    ]
