"""Accesses of page zero: which of them are findings, and which are taken for purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from emulator.check.check_report import CheckReport
    from emulator.check.findings import Finding

KERNEL: Final = """
typedef unsigned int u32; typedef unsigned short u16; typedef unsigned char u8;
struct thing { u32 a, b; u32 rest[1000]; u32 far; };
char stack[8192], arena[64];
u32 used;
__attribute__((noipa)) void *take(u32 size)
{
    void *block = arena + used;
    if (used + size > sizeof arena) return 0;
    used += size;
    return block;
}
__attribute__((noipa)) void *memset(void *to, int value, u32 size)
{
    void *result = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return result;
}
__attribute__((noipa)) void set(struct thing *thing) { thing->b = 2; }
__attribute__((noipa)) void set_far(struct thing *thing) { thing->far = 2; }
__attribute__((noipa)) u32 word(volatile u16 *at) { return at[7]; }
__attribute__((noipa)) void jump(void (*to)(void)) { to(); __asm__ volatile(""); }
static void page_tables(void)
{
    static u32 directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
    for (u32 page = 0; page < 1024; page++) table[page] = page << 12 | 3;
    directory[0] = (u32)table | 7;
    PAGE_ZERO;
    __asm__ volatile("mov %0, %%cr3; mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0" : : "r"(directory) : "eax", "memory");
}
static void vectors(void)
{
    static const struct { u16 limit; u32 base; } __attribute__((packed)) table = {0x7f, 0};
    __asm__ volatile("lidt %0" : : "m"(table));
}
__attribute__((noipa)) void early(void) { EARLY; }
__attribute__((noipa)) void late(void) { LATE; }
void kmain(void)
{
    early();
    take(8);
    late();
    __asm__ volatile("outb %0, $0xf4" : : "a"((u8)0));
    for (;;) __asm__ volatile("cli; hlt");
}
__asm__(".section .multiboot, \\"a\\"; .align 4; .long 0x1BADB002, 3, -(0x1BADB002 + 3); .text\\n"
        ".global _start; .type _start, @function; _start: mov $stack + 8192, %esp; call kmain; .size _start, . - _start");
"""
PROFILE: Final = Profile("mine", (TracedFunction("take", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),))
OPTIONS: Final = ("-g", "-fno-delete-null-pointer-checks", "-fno-omit-frame-pointer")


def report_of(
    folder: Path, late: str, early: str = "", page_zero: str = "", options: Sequence[str] = ()
) -> CheckReport:
    source = KERNEL.replace("EARLY", early).replace("LATE", late).replace("PAGE_ZERO", page_zero)
    kernel = compile_kernel(folder, source, (*OPTIONS, *options))
    return check_kernel(boot(str(kernel)), PROFILE)


def nulls_of(report: CheckReport) -> list[Finding]:
    return [each for each in report.findings if each.kind is Kind.NULL_ACCESS]


def words_of(report: CheckReport) -> list[str]:
    return [
        f"{each.message} in {each.call_site.function if each.call_site else None}"
        for each in nulls_of(report)
    ]


@pytest.mark.parametrize(
    ("late", "words"),
    [
        ("set(take(1000))", "write to 0x00000004 through a null pointer in set"),
        ("set_far(0)", "write to 0x00000fa8 through a null pointer in set_far"),
        ("word(0)", "read of 0x0000000e through a null pointer in word"),
        ("word((u16 *)0x3f0)", "read of 0x000003fe through a null pointer in word"),
        ("memset(0, 0, 64)", "write to 0x00000000 through a null pointer in memset"),
        ("*(volatile u8 *)0 = 0xc3; jump(0)", "jump to 0x00000000 through a null pointer in jump"),
        ("page_tables(); set(0)", "write to 0x00000004 through a null pointer in set"),
    ],
)
def test_an_access_through_null_is_a_finding(late: str, words: str, tmp_path: Path) -> None:
    report = report_of(tmp_path, late)
    assert words in words_of(report)
    assert report.ending.exit_value == 0
    assert Kind.NULL_ACCESS in report.checked


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("", "set((struct thing *)arena)"),
        ("set(0)", "set(0)"),  # learned
        ("memset(0, 0, 4096)", ""),
        ("", "word((u16 *)0x400)"),  # data of the BIOS
        ("", "word((u16 *)0x600)"),  # what a boot loader may have left
        ("", "*(volatile u16 *)0x463"),
        ("", 'u32 canary; __asm__ volatile("mov %%gs:0x14, %0" : "=r"(canary))'),
        ("", "vectors(); set(0)"),  # and then the table of interrupts lies there
    ],
)
def test_what_is_meant_is_none(early: str, late: str, tmp_path: Path) -> None:
    report = report_of(tmp_path, late, early)
    assert nulls_of(report) == []


def test_what_memset_may_do_depends_on_its_caller(tmp_path: Path) -> None:
    (finding,) = nulls_of(report_of(tmp_path, "memset(0, 0, 64)", "memset(0, 0, 64)"))
    assert finding.call_site is not None
    assert [frame.function for frame in finding.call_site.backtrace[:2]] == ["memset", "late"]


def test_a_finding_names_the_allocation_that_failed_and_counts(tmp_path: Path) -> None:
    (finding,) = nulls_of(report_of(tmp_path, "void *p = take(1000); for (int i = 0; i < 3; i++) set(p)"))
    failed, count = finding.details
    assert failed.startswith("the last recorded call before: #2, take, which returned 0 to late+0x")
    assert count == "3 accesses like this"


def test_a_call_before_that_did_not_fail_is_not_named(tmp_path: Path) -> None:
    (finding,) = nulls_of(report_of(tmp_path, "take(8); set(0)"))
    assert finding.details == ()


def test_each_place_is_a_finding(tmp_path: Path) -> None:
    report = report_of(tmp_path, "set(0); set(0); memset(0, 0, 4); memset(0, 0, 4)")
    assert [finding.message.split()[0] for finding in nulls_of(report)] == ["write"] * 3


@pytest.mark.parametrize(
    ("page", "count"),
    [
        ("table[0] = 0", 1),  # not mapped: the kernel dies of it
        ("table[0] = 0x200003", 1),  # another frame
        ("table[0] = 0x200007", 0),  # a program's page
        ("table[0] = 7", 1),  # an identity map for all rings
    ],
)
def test_page_tables_say_whose_page_zero_is(page: str, count: int, tmp_path: Path) -> None:
    report = report_of(tmp_path, "page_tables(); set(0)", page_zero=page)
    assert len(nulls_of(report)) == count


def test_a_kernel_that_dies_of_it_has_both_findings(tmp_path: Path) -> None:
    report = report_of(tmp_path, "page_tables(); set(0)", page_zero="table[0] = 0")
    assert [finding.kind for finding in report.findings] == [Kind.NULL_ACCESS, Kind.DIED]
    assert nulls_of(report)[0].message == "write to 0x00000004 through a null pointer"


def test_where_the_null_pointer_was_read_wrongly_comes_first(tmp_path: Path) -> None:
    source = (
        KERNEL.replace("EARLY", "")
        .replace("LATE", "set(((struct thing **)take(8))[2])")
        .replace("PAGE_ZERO", "")
    )
    machine = boot(str(compile_kernel(tmp_path, source, OPTIONS)))
    report = check_kernel(machine, PROFILE, sanitize=True)
    assert [each.kind for each in report.findings][:2] == [Kind.OUT_OF_BOUNDS, Kind.NULL_ACCESS]


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_both_mmus_guard_the_page(mmu: Literal["fast", "reference"]) -> None:
    machine = boot("firmware:bad_null_access", mmu=mmu)
    report = check_kernel(machine, matching_profile(machine.image))
    assert [finding.kind for finding in report.findings] == [Kind.NULL_ACCESS]


def test_a_profile_may_say_that_the_page_is_used() -> None:
    machine = boot("firmware:bad_null_access")
    profile = replace(matching_profile(machine.image), uses_page_zero=True)
    report = check_kernel(machine, profile)
    assert report.findings == ()
    assert Kind.NULL_ACCESS not in report.checked
