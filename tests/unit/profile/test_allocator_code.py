"""Where the code of a kernel's allocators lies, which may access all of their memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from emulator.loader.image import KernelImage
from emulator.profile.binding import allocator_code
from emulator.profile.known import match
from emulator.profile.reader import parse_profile
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
typedef unsigned int u32;
char arena[64]; u32 used;
__attribute__((noipa, cold)) void heap_panic(void) { for (;;) __asm__ volatile("cli; hlt"); }
__attribute__((noipa)) void heap_grow(u32 size) { used += size; }
__attribute__((noipa)) void align(void) { used += -used & 3; }
__attribute__((noipa)) void *kmalloc(u32 size)
{
    if (__builtin_expect(used > 64, 0)) { heap_panic(); arena[0] = 1; heap_panic(); }
    heap_grow(size);
    align();
    return arena;
}
__attribute__((noipa)) void other(void) { used = 0; }
void _start(void) { kmalloc(4); other(); heap_grow(1); if (used == 77) heap_panic(); }
__asm__(".section .multiboot, \\"a\\"; .align 4; .long 0x1BADB002, 3, -(0x1BADB002 + 3); .text");
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> KernelImage:
    folder: Path = tmp_path_factory.mktemp("allocator")
    return KernelImage.read(compile_kernel(folder, SOURCE, ["-g"]))


def names(image: KernelImage, *allocator: str) -> list[str]:
    profile = match(parse_profile('[heap]\nalloc = "kmalloc(size)"', "mine.toml"), image)
    code = allocator_code(replace(profile, allocator=allocator), image)
    by_start = {each.address: each.name for each in image.symbols.values() if each.kind == "function"}
    assert [each.start for each in code] == sorted(each.start for each in code)
    assert all(each.stop - each.start == image.symbols[by_start[each.start]].size for each in code)
    return [by_start[each.start] for each in code]


def test_the_functions_of_the_profile_with_what_was_moved_out_and_what_nobody_else_calls(
    image: KernelImage,
) -> None:
    assert set(names(image)) == {"kmalloc", "kmalloc.cold", "align"}


def test_further_functions(image: KernelImage) -> None:
    assert set(names(image, "heap_*")) == {"kmalloc", "kmalloc.cold", "align", "heap_grow", "heap_panic"}
    assert set(names(image, "kernel.c:other")) == {"kmalloc", "kmalloc.cold", "align", "other"}


def test_names_of_nothing_add_nothing(image: KernelImage) -> None:
    assert set(names(image, "nothing", "arena", "other.c:other")) == {"kmalloc", "kmalloc.cold", "align"}
