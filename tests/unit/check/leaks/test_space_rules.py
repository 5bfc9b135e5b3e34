"""Pages that are mapped at the end although they have been freed, or in two spaces although they have one owner."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import match
from emulator.profile.model import PAGES, Profile, SpaceRules
from tests.helpers.c_kernel import compile_kernel
from tests.unit.check.leaks.test_address_spaces import PAGING, START, at
from tests.unit.check.leaks.test_leaks import KERNEL

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.check_report import CheckReport

FUNCTIONS = (
    TracedFunction("alloc_frame", "frames", Role.ALLOC, (), Result.FRAME, 0xFFFF_FFFF),
    TracedFunction("free_frame", "frames", Role.FREE, ("frame",), Result.NONE),
    TracedFunction("share_frame", "frames", Role.SHARE, ("frame",), Result.NONE),
)
BOTH = SpaceRules(freed_but_mapped=True, writable_twice=True)
OTHERS = """
HIDDEN void free_frame(word frame) { asm volatile("" :: "r"(frame)); }
HIDDEN void share_frame(word frame) { asm volatile("" :: "r"(frame)); }
HIDDEN void scenario"""


def checked(folder: Path, body: str, rules: SpaceRules = BOTH) -> CheckReport:
    source = KERNEL.replace("HIDDEN void scenario", OTHERS).replace("BODY", f"{START} {body} {PAGING}")
    image = KernelImage.read(compile_kernel(folder, source.replace("LEFT", "0"), ["-O1"]))
    profile = match(Profile("mine", FUNCTIONS, {"frames": PAGES}, rules), image)
    return check_kernel(Machine(image), profile)


def bad(report: CheckReport) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.message, each.details) for each in report.findings if each.kind is Kind.MAPPING]


MAPPED = "alloc_frame(); alloc_frame();" + at(0x400, 0x300, "0x401007") + at(0x401, 7, "0x402007")
FREED = MAPPED + "free_frame(0x402);"


def test_a_freed_page_that_is_mapped(tmp_path: Path) -> None:
    report = checked(tmp_path, FREED)
    message = "bad mapping: page 0x00402000 has been freed, and is mapped at 0xc0007000"
    assert bad(report) == [(message, ("by the page directory at 0x00400000",))]
    (finding,) = (each for each in report.findings if each.kind is Kind.MAPPING)
    assert finding.block is not None
    assert finding.block.freed is not None
    assert Kind.MAPPING in report.checked


def test_a_page_is_named_as_its_allocator_does(tmp_path: Path) -> None:
    """The direct map is at 0x80000000: a part of the kernel lies there."""
    body = FREED + at(0x400, 0x200, "0x83") + at(0x400, 0x201, "0x400083")
    source = KERNEL.replace("HIDDEN void scenario", OTHERS).replace("BODY", f"{START} {body} {PAGING}")
    source += 'word upper __attribute__((section(".upper"))) = 1;'
    kernel = compile_kernel(
        tmp_path, source.replace("LEFT", "0"), ["-O1", "-Wl,--section-start=.upper=0x80200000"]
    )
    subprocess.run(["objcopy", "--change-section-lma", ".upper=0x200000", kernel], check=True)  # noqa: S607 - from the path, as gcc
    image = KernelImage.read(kernel)
    report = check_kernel(Machine(image), match(Profile("mine", FUNCTIONS, {"frames": PAGES}, BOTH), image))
    assert [message for message, _ in bad(report)] == [
        "bad mapping: page 0x00402000 has been freed, and is mapped at 0xc0007000"
    ]


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        (MAPPED, BOTH),
        (FREED + at(0x401, 7, "0"), BOTH),
        (FREED + "next_frame = 0x402; alloc_frame();", BOTH),
        (FREED, SpaceRules()),
        (FREED, SpaceRules(writable_twice=True)),
        (FREED, SpaceRules(freed_but_mapped=True, direct_map=((0x1000, 0x2000), (0xC0007000, 0xC0008000)))),
    ],
)
def test_what_is_right_or_not_asked_for(body: str, rules: SpaceRules, tmp_path: Path) -> None:
    assert bad(checked(tmp_path, body, rules)) == []


@pytest.mark.parametrize("around", [(0xC0006000, 0xC0007000), (0xC0008000, 0xC0009000)])
def test_a_direct_map_ends(around: tuple[int, int], tmp_path: Path) -> None:
    rules = SpaceRules(freed_but_mapped=True, direct_map=(around,))
    assert len(bad(checked(tmp_path, FREED, rules))) == 1


TWICE = (
    "for (int i = 0; i < 4; i++) alloc_frame(); table[0] = 0x401000;"  # a directory, two tables, and what they map
    + at(0x401, 0, "0x83")
    + at(0x400, 0x200, "0x402007")
    + at(0x401, 0x200, "0x403007")
    + at(0x402, 9, "0x404007")
    + at(0x403, 5, "0x404007")
)


def test_a_page_that_two_programs_write_to(tmp_path: Path) -> None:
    message = "bad mapping: page 0x00404000 has one owner, and programs may write to it in 2 spaces"
    details = (
        "at 0x80009000, by the page directory at 0x00400000",
        "at 0x80005000, by the page directory at 0x00401000",
    )
    assert bad(checked(tmp_path, TWICE)) == [(message, details)]


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        (TWICE + "share_frame(0x404);", BOTH),
        (TWICE + at(0x403, 5, "0x404005"), BOTH),
        (TWICE + at(0x403, 5, "0x404003"), BOTH),
        (TWICE + at(0x401, 0x200, "0x402007"), BOTH),  # the spaces share a table
        (TWICE + at(0x401, 0x200, "0x403005"), BOTH),
        (TWICE + at(0x401, 0, "0"), BOTH),  # no directory
        (TWICE, SpaceRules(freed_but_mapped=True)),
    ],
)
def test_pages_that_two_spaces_may_have(body: str, rules: SpaceRules, tmp_path: Path) -> None:
    assert bad(checked(tmp_path, body, rules)) == []


def test_a_kernel_without_paging_breaks_no_rule(tmp_path: Path) -> None:
    source = KERNEL.replace("HIDDEN void scenario", OTHERS).replace(
        "BODY", FREED.replace("directory", "table[3]")
    )
    image = KernelImage.read(compile_kernel(tmp_path, source.replace("LEFT", "0"), ["-O1"]))
    profile = match(Profile("mine", FUNCTIONS, {"frames": PAGES}, BOTH), image)
    assert bad(check_kernel(Machine(image), profile)) == []
