"""Fields of blocks are named where the line that allocates declares a pointer to a struct, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import OF_ACCESSES
from emulator.profile.known import match
from emulator.profile.reader import parse_profile
from emulator.run.ending import Budget
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.case_kernels import COMPILERS

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = r"""
typedef unsigned u32;
struct inner { unsigned short a, b; };
typedef struct task { u32 id; struct task *next; struct inner in[2]; char name[16]; } task;
struct padded { u32 a; char b; };
static char arena[4096] __attribute__((aligned(16)));
static u32 used;
__attribute__((noinline)) void *take(u32 size) { void *p = arena + used; used += (size + 63) & ~31u; return p; }
__attribute__((noinline)) void give(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
volatile u32 sink;
__attribute__((noinline)) void set(volatile char *at) { *at = 1; }
void kmain(void)
{
    struct task *t = take(sizeof *t);
    set((char *)t + BYTE);
    if (IS_FREED) {
        const task *many = take(3 * sizeof *many);
        give((void *)many);
        set((char *)many + BYTE);
    }
    struct padded *p = take(sizeof *p);
    set((char *)p + 8);
    struct task *other = take(5);
    set((char *)other + 5);
    struct task *two = take(sizeof *two), *three = 0;
    set((char *)two + 32);
    u32 *words = take(4);
    set((char *)words + 4);
    for (;;) __asm__ volatile("cli; hlt");
}
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 3, -(0x1BADB002 + 3); .bss; stack: .skip 4096; .text\n"
        ".global _start; .type _start, @function; _start: mov $stack + 4096, %esp; call kmain; .size _start, . - _start");
"""
PROFILE = '[heap]\nalloc = "take(size)"\nfree = "give(ptr)"\n'


def fields(
    folder: Path, byte: int, *, is_freed: bool, compiler: str = "gcc", level: str = "-O2"
) -> list[str]:
    """Return what is said of fields, by finding: "" for nothing."""
    options = (level, "-g", "-w", f"-DBYTE={byte}", f"-DIS_FREED={int(is_freed)}")
    machine = boot(str(compile_kernel(folder, SOURCE, options, compiler)))
    profile = match(parse_profile(PROFILE, "f.toml"), machine.image)
    report = check_kernel(machine, profile, Budget(1_000_000), sanitize=True)
    return [
        next((line for line in each.details if line.startswith(("in ", "after "))), "")
        for each in report.findings
        if each.kind in OF_ACCESSES
    ]


@pytest.mark.parametrize(("compiler", "level"), COMPILERS)
def test_the_field_of_a_declared_pointer_is_named(tmp_path: Path, compiler: str, level: str) -> None:
    found = fields(tmp_path, 32 + 14, is_freed=True, compiler=compiler, level=level)
    assert found == [
        "after t->name[15], the end of struct task",
        "in many[1].in[1].b of const task",
        "",  # what is last is padding
        "",  # the block has another size
        "",  # two variables are declared there
        "",  # no struct
    ]


def test_nothing_is_named_before_a_block(tmp_path: Path) -> None:
    assert fields(tmp_path, -1, is_freed=False)[0] == ""
