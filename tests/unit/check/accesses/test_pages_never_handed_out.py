"""Pages that an allocator has, and has never handed out."""

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

    from emulator.check.findings import Finding

SOURCE: Final = r"""
typedef unsigned u32; typedef unsigned char u8;
#define apart __attribute__((noinline))
static u32 next, limit, *freed;
static u32 directory[1024] __attribute__((aligned(4096)));
volatile u32 sink;
apart void pages_start(u32 start, u32 end) { next = start; limit = end; }
apart void *page_get(void)
{
    if (freed) { u32 *page = freed; freed = (u32 *)*page; return page; }
    void *page = (void *)next;
    next += 4096;
    return page;
}
apart void page_put(void *page) { *(u32 **)page = freed; freed = page; }
apart u32 read(u32 at) { return *(volatile u32 *)at; }
apart void write(u32 at) { *(volatile u32 *)at = 7; }
static void map(void) /* before the allocator is up: its own memory is none of the allocator's */
{
    for (u32 i = 0; i < 1024; i++) directory[i] = i << 22 | 0x83;
    directory[768] = 0x83; /* all of it once more, at 0xc0000000 */
    __asm__ volatile("mov %%cr4, %%eax; or $16, %%eax; mov %%eax, %%cr4; mov %0, %%cr3; mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0"
                     : : "r"(directory) : "eax", "memory");
}
void kmain(void)
{
    map();
    *(volatile u32 *)0x1f0000 = 1; /* nobody's */
    pages_start(0x200000, 0x240000);
    u32 *first = page_get(), *second = page_get(), *third = page_get();
    first[0] = 1; first[1023] = 2; second[1023] = 3; third[0] = 4;
    page_put(second);
    sink = read((u32)directory); sink = read(0x1f0000); sink = read(0x240000); write(0x260000);
    TOUCH;
    __asm__ volatile("cli; hlt");
}
u8 stack[8192];
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 0, -0x1BADB002; .text; .global _start; _start: mov $stack + 8192, %esp; call kmain; hlt");
"""
PROFILE: Final = """
[pages]
pages = true
alloc = "page_get()"
free = "page_put(ptr)"
seed = "pages_start(start, end)"
"""


def findings(folder: Path, touch: str) -> list[Finding]:
    machine = boot(str(compile_kernel(folder, SOURCE, ("-g", f"-DTOUCH={touch}"))))
    profile = match(parse_profile(PROFILE, "p"), machine.image)
    report = check_kernel(machine, profile, Budget(max_instructions=1_000_000), sanitize=True)
    return [each for each in report.findings if each.kind is not Kind.LEAK]


@pytest.mark.parametrize(
    ("touch", "done"),
    [
        ("read(0x230010)", "read of 4 bytes from 0x00230010"),
        ("write(0x23fffc)", "write of 4 bytes to 0x0023fffc"),
        ("write(0x20bffe)", "write of 4 bytes to 0x0020bffe"),
        ("read(0xc0230010)", "read of 4 bytes from 0xc0230010"),
    ],
)
def test_a_page_that_was_never_handed_out_is_named_so(tmp_path: Path, touch: str, done: str) -> None:
    [found] = findings(tmp_path, touch)
    assert found.message == f"{done}, in a page that pages has never handed out"
    assert (found.kind, found.area) == (Kind.UNALLOCATED, "pages")
    assert "pages got 0x00200000-0x00240000 by call #1, pages_start" in found.details


@pytest.mark.parametrize(
    ("touch", "message"),
    [
        ("sink = 1", None),
        ("write((u32)page_get() + 8)", None),  # the freed one again
        ("(page_get(), write((u32)page_get() + 8))", None),  # one that was never handed out before
        (
            "write(0x201800)",
            "use after free: write of 4 bytes to 0x00201800, 2048 bytes inside a freed block",
        ),
    ],
)
def test_others_are_not(tmp_path: Path, touch: str, message: str | None) -> None:
    found = [each.message for each in findings(tmp_path, touch)]
    assert len(found) == (message is not None)
    assert all(each.startswith(message or "") for each in found)
