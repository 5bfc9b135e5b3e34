"""The built-in profiles on kernels of their families: chosen by evidence, no finding in a correct one, the planted mistake in others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from emulator.cli.main import main
from emulator.loader.image import KernelImage
from emulator.profile.known import KNOWN_PROFILES, find_profile
from emulator.trace.trace import Trace
from tests.helpers.allocator_families import (
    DOUBLE_FREE,
    FAMILIES,
    LEAK,
    WRONG_FREE,
    compile_family,
    with_fault,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHERS = ("btron", "litecore", "cpp", "rust")
KINDS = {DOUBLE_FREE: "double-free", LEAK: "leak", WRONG_FREE: "invalid-free"}
LENGTHS = {24 + 8 * index for index in range(7)} | {40, 48}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what compiles the kernel of a family, once."""
    compiled: dict[str, Path] = {}

    def of_family(name: str) -> Path:
        if name not in compiled:
            compiled[name] = compile_family(tmp_path_factory.mktemp(name), FAMILIES[name], "-O2")
        return compiled[name]

    return of_family


def check(kernel: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    main(["check", str(kernel), "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_each_profile_has_a_family() -> None:
    assert set(FAMILIES) == set(KNOWN_PROFILES) - set(OTHERS)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_correct_kernel_has_no_finding(
    name: str, kernel: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    document = check(kernel(name), capsys)
    assert (document["profile"], document["status"], document["findings"]) == (FAMILIES[name].profile, 0, [])
    assert document["calls"] >= 8


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, family in FAMILIES.items() for fault in family.faults]
)
def test_a_mistake_is_found_where_it_was_made(
    name: str, fault: int, kernel: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    document = check(with_fault(kernel(name), fault), capsys)
    (finding,) = document["findings"]
    assert finding["kind"] == KINDS[fault]
    assert '"function": "misuse"' in json.dumps(finding)


@pytest.mark.parametrize("name", FAMILIES)
def test_blocks_have_the_sizes_that_were_asked_for(
    name: str, kernel: Callable[[str], Path], tmp_path: Path
) -> None:
    """Those of caches, slabs and pages, too, which no argument says."""
    assert main(["trace", str(kernel(name)), "-o", str(tmp_path / "run.kmt")]) == 0
    trace = Trace.read(tmp_path / "run.kmt")
    for area in trace.areas:
        sizes = {int(size) for size in trace.blocks(area).size}
        if trace.profile.pages(area):
            assert sizes <= {4096, 2 * 4096, 4 * 4096}
        else:
            assert sizes <= LENGTHS | {
                16,
                30,
            }  # of calloc, which is grown to 40; of a cache that aligns what it gives


def test_a_kernel_with_the_names_but_other_prototypes_is_none_of_these(tmp_path: Path) -> None:
    family = FAMILIES["xv6"]
    other = family._replace(
        source=family.source.replace("char *kalloc(void)", "char *kalloc(int flags)").replace(
            "kalloc()", "kalloc(1)"
        )
    )
    assert find_profile(KernelImage.read(compile_family(tmp_path, other, "-O0"))) is None


def test_without_debug_information_functions_and_variables_decide(tmp_path: Path) -> None:
    profile = find_profile(KernelImage.read(compile_family(tmp_path, FAMILIES["xv6"], "-O2", debug=False)))
    assert profile is not None
    assert profile.name == "xv6"
