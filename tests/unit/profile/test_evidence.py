"""Kernels with the names of a profile, of which only some are what the profile is about."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from emulator.loader.image import KernelImage
from emulator.profile.evidence import Evidence, evidence_in, fit, normal_type
from emulator.profile.reader import ProfileFile
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.profile.evidence import Fit
    from emulator.profile.model import Profile

SOURCE = """
struct run { struct run *next; };
struct { int locked; struct run *freelist; } kmem;
RESULT kalloc(ARGUMENTS) { return (RESULT)kmem.freelist; }
void kfree(char *v) { kmem.freelist = (struct run *)v; }
void _start(void) { kfree((char *)kalloc(GIVEN)); }
"""
TEXT = """
name = "small"
[kmem]
alloc = "kalloc()"
free = "kfree(ptr)"
[vm]
alloc = "vm_take(size)"
free = "vm_give(ptr)"
[evidence]
variables = ["kmem"]
prototypes = ["char *kalloc(void)", "void kfree(_)"]
structures = ["run.next"]
[evidence.optional_areas]
vm = ["vm_map"]
"""


def profile_and_evidence(text: str = TEXT) -> tuple[Profile, Evidence]:
    file = ProfileFile("small.toml", text)
    return file.profile(), evidence_in(file.document)


def fit_of(
    folder: Path, result: str, arguments: str, given: str = "", *, source: str = SOURCE, debug: bool = True
) -> Fit:
    for word, text in (("RESULT", result), ("ARGUMENTS", arguments), ("GIVEN", given)):
        source = source.replace(word, text)
    image = KernelImage.read(compile_kernel(folder, source, ["-g", "-O0"] if debug else ["-O0"]))
    return fit(*profile_and_evidence(), image)


def test_a_kernel_with_all_of_it_fits(tmp_path: Path) -> None:
    found = fit_of(tmp_path, "char *", "void")
    assert found.missing == ()
    assert [each.name for each in found.profile.functions] == ["kalloc", "kfree"]
    assert found.reason == "all 2 functions of kernel.c with their prototypes, variable kmem, field run.next"


def test_functions_of_the_same_names_that_take_something_else_do_not(tmp_path: Path) -> None:
    found = fit_of(tmp_path, "char *", "int size, int type", "1, 2")
    assert found.missing == ("kalloc as the profile has it",)


def test_without_debug_information_names_have_to_do(tmp_path: Path) -> None:
    found = fit_of(tmp_path, "char *", "int size, int type", "1, 2", debug=False)
    assert found.missing == ()
    assert found.reason == "all 2 functions, variable kmem"


def test_a_structure_or_a_variable_may_be_another(tmp_path: Path) -> None:
    source = SOURCE.replace("struct run { struct run *next; };", "struct run { struct run *link; };")
    assert fit_of(tmp_path, "char *", "void", source=source).missing == ("the field run.next",)
    assert fit_of(tmp_path, "char *", "void", source=SOURCE.replace("kmem", "memory")).missing == ("kmem",)


def test_signatures_are_compared_where_no_prototype_is_given(tmp_path: Path) -> None:
    text = TEXT.replace('prototypes = ["char *kalloc(void)", "void kfree(_)"]', "")
    for result, arguments, given, fits in (
        ("void *", "void", "", True),
        ("unsigned long", "int node", "0", True),  # the profile need not name all parameters
        ("short", "void", "", False),
    ):
        source = SOURCE
        for word, replacement in (("RESULT", result), ("ARGUMENTS", arguments), ("GIVEN", given)):
            source = source.replace(word, replacement)
        image = KernelImage.read(compile_kernel(tmp_path, source, ["-g", "-O0", "-w"]))
        found = fit(*profile_and_evidence(text), image)
        assert (found.missing == ()) == fits, (result, found.missing)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("const struct page *", "page*"),
        ("unsigned", "unsigned int"),
        ("long unsigned int", "unsigned long"),
        ("enum zone", "zone"),
        ("char *const *", "char **"),
    ],
)
def test_types_that_are_written_in_several_ways_are_the_same(one: str, other: str) -> None:
    assert normal_type(one) == normal_type(other)


@pytest.mark.parametrize(
    ("one", "other"), [("char *", "char **"), ("int", "unsigned"), ("page *", "pages *")]
)
def test_other_types_are_not(one: str, other: str) -> None:
    assert normal_type(one) != normal_type(other)


def test_a_file_without_the_table_has_no_evidence() -> None:
    _, evidence = profile_and_evidence(TEXT.partition("[evidence]")[0])
    assert evidence == Evidence()
    assert "evidence" not in tomllib.loads(TEXT.partition("[evidence]")[0])
