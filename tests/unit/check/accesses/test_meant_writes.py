"""Writes to the kernel's code and constants are findings, unless they are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.profile.known import match
from emulator.profile.reader import parse_profile
from emulator.run.ending import Budget
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

SOURCE: Final = r"""
typedef unsigned u32; typedef unsigned char u8;
#define apart __attribute__((noinline))
static u8 arena[4096] __attribute__((aligned(4096))), buffer[64];
static u32 used;
static u8 *give_next;
apart void *take(u32 size)
{
    u8 *p = give_next ? give_next : arena + used;
    if (!give_next) used += (size + 63) & ~31u;
    give_next = 0;
    return p;
}
apart void give(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
const char digits[16] __attribute__((aligned(4096))) = "0123456789";
__attribute__((section(".rodata.start"))) const char of_start[4096] __attribute__((aligned(4096))) = "start";
const char more_digits[4096] __attribute__((aligned(4096))) = "more";
apart void code(void) { __asm__ volatile(".skip 32, 0x90"); }
__asm__(".text; .p2align 12; .global label; label: .skip 4096, 0x90");
extern u8 label[];
__attribute__((section(".init.text"))) apart void of_the_start(void) { __asm__ volatile(".skip 4096, 0x90"); }
void *volatile at;
apart u8 *opaque(const void *p) { at = (void *)p; return at; }
apart void write(const void *p) { *(volatile u8 *)opaque(p) = 1; }
apart void write_over(const void *p) { *(volatile u32 *)opaque(p) = 0x01020304; }
apart void *memcpy(void *to, const void *from, u32 n)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return start;
}
apart void patch(const void *p, u32 n) { memcpy(opaque(p), buffer, n); }
apart void write_cr0(u32 value) { __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory"); }
static u32 directory[1024] __attribute__((aligned(4096)));
apart void map(void)
{
    for (u32 i = 0; i < 1024; i++) directory[i] = ((i & 127) << 22) | 0x83;
    __asm__ volatile("mov %%cr4, %%eax; or $16, %%eax; mov %%eax, %%cr4; mov %0, %%cr3" : : "r"(directory) : "eax", "memory");
    write_cr0(0x80000011);
}
void kmain(void)
{
    EARLY;
    void *p = take(16);
    LATE;
    give(p);
    for (;;) __asm__ volatile("cli; hlt");
}
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 3, -(0x1BADB002 + 3); .bss; .p2align 12; stack: .skip 4096; .text\n"
        ".global _start; .type _start, @function; _start: mov $stack + 4096, %esp; call kmain; .size _start, . - _start");
"""
PROFILE: Final = '[heap]\nalloc = "take(size)"\nfree = "give(ptr)"\n'

BAD: Final = {
    "a constant": ("", "write(digits)", "write < kmain"),
    "a string": ("", 'write("a string of the kernel")', "write < kmain"),
    "the last bytes of a constant": ("", "write(more_digits + 4095)", "write < kmain"),
    "across its end": ("", "write_over(digits + 14)", "write_over < kmain"),
    "code": ("", "write((u8 *)code + 8)", "write < kmain"),
    "by memcpy()": ("", "patch((u8 *)code + 8, 4)", "memcpy < patch < kmain"),
    "another place than before": (
        "*(volatile u8 *)opaque(digits) = 1",
        "write(digits)",
        "write < kmain",
    ),
    "with paging": ("map()", "write(digits)", "write < kmain"),
    "with WP all the time": ("write_cr0(0x10011)", "write(digits)", "write < kmain"),
    "never with WP": ("write_cr0(0x11)", "write(digits)", "write < kmain"),
}
MEANT: Final = {
    "before the allocator": ("write(digits)", ""),
    "at a place that did so before": ("write(digits)", "write(digits + 1)"),
    "by a call that did so before": ("patch(digits, 2)", "patch((u8 *)code + 8, 4)"),
    "named": ("", "((volatile u8 *)digits)[1] = 1"),
    "named, with an index": (
        "",
        "for (u32 i = *opaque(&used) & 0; i < 4; i++) ((volatile u8 *)digits)[i] = 1",
    ),
    "while WP is clear": ("write_cr0(0x10011)", "write_cr0(0x11); write(digits); write_cr0(0x10011)"),
    "through another address": ("map()", "write(digits + 0x20000000)"),
    "memory that was handed out": (
        "",
        "give_next = (u8 *)more_digits; write(take(8)); write(more_digits + 100)",
    ),
    "behind labels without a size": ("", "write(label + 8)"),
    "in sections of the start": ("", "write((u8 *)of_the_start + 8)"),
    "reads": ("", "memcpy(buffer, digits, 16); memcpy(buffer, code, 16)"),
}


def found(folder: Path, early: str, late: str) -> tuple[list[str], bool]:
    """Return the backtraces of the findings about such writes, and whether the check says that it has looked for them."""
    options = ("-O1", "-g", "-w", f"-DEARLY={early}", f"-DLATE={late}")
    machine = boot(str(compile_kernel(folder, SOURCE, options)))
    report = check_kernel(
        machine, match(parse_profile(PROFILE, "f.toml"), machine.image), Budget(1_000_000), sanitize=True
    )
    found = [each for each in report.findings if each.kind is Kind.READ_ONLY and each.call_site]
    frames = [each.call_site.backtrace for each in found if each.call_site]
    return [
        " < ".join(each.function for each in frame[:-1]) for frame in frames
    ], Kind.READ_ONLY in report.checked


@pytest.mark.parametrize("case", BAD)
def test_a_write_by_a_wild_pointer_is_found(tmp_path: Path, case: str) -> None:
    early, late, where = BAD[case]
    assert found(tmp_path, early, late) == ([where], True)


@pytest.mark.parametrize("case", MEANT)
def test_a_write_that_is_meant_is_none(tmp_path: Path, case: str) -> None:
    early, late = MEANT[case]
    assert found(tmp_path, early, late) == ([], True)
