"""Arrays and structs in frames, as compilers describe them: where they are said to be, they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator import boot
from emulator.loader.dwarf.frame_variables import FrameVariables
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

SOURCE: Final = r"""
typedef unsigned u32; typedef unsigned char u8;
struct pair { u32 one, two; };
u32 at[4], cfa;
__attribute__((noinline)) void use(volatile void *p, u32 n) { at[n] = (u32)p; }
static inline __attribute__((always_inline)) void inner(u32 n) { volatile u8 inside[24]; inside[n] = 1; use(inside, 2); }
__attribute__((noinline)) void holds(u32 n)
{
    volatile u8 letters[12];
    volatile struct pair pair = {n, 1};
    volatile u32 number = n;
    letters[n] = 1;
    cfa = (u32)__builtin_frame_address(0) + 8;
    use(letters, 0); use(&pair, 1); inner(n);
    for (u32 i = 0; i < number; i++) { volatile u32 nested[5]; nested[i] = i; use(nested, 3); }
}
void kmain(void) { holds(2); __asm__ volatile("cli; hlt"); }
u8 stack[4096];
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 0, -0x1BADB002; .text; .global _start; _start: mov $stack + 4096, %esp; call kmain");
"""
SIZES: Final = {"letters": 12, "pair": 8, "inside": 24, "nested": 20}


@pytest.mark.parametrize(
    ("compiler", "options"),
    [
        ("gcc", ("-O0",)),
        ("gcc", ("-O2",)),
        ("gcc", ("-O2", "-gdwarf-4")),
        ("clang", ("-O0",)),
        ("clang", ("-O2", "-fno-omit-frame-pointer")),
    ],
)
def test_variables_lie_where_they_are_said_to_be(
    tmp_path: Path, compiler: str, options: tuple[str, ...]
) -> None:
    path = compile_kernel(tmp_path, SOURCE, ("-g", "-fno-omit-frame-pointer", *options), compiler)
    machine = boot(str(path))
    machine.run()
    image = machine.image
    found = FrameVariables(image.units).of(image.symbols["holds"].address)
    assert {each.name: each.size for each in found} == SIZES
    at, cfa = image.symbols["at"].address, machine.memory.load_u32(image.symbols["cfa"].address)
    places = [machine.memory.load_u32(at + 4 * number) for number in range(len(SIZES))]
    assert {each.name: cfa + each.offset for each in found} == dict(zip(SIZES, places, strict=True))


def test_nothing_is_known_without_debug_information_or_where_it_is_counted_from_esp(tmp_path: Path) -> None:
    image = boot(str(compile_kernel(tmp_path, SOURCE))).image
    assert FrameVariables(image.units).of(image.symbols["holds"].address) == []
    source = SOURCE.replace("cfa = ", "// ")
    path = compile_kernel(tmp_path, source, ("-g", "-O2", "-fomit-frame-pointer"), "clang")
    image = boot(str(path)).image
    assert FrameVariables(image.units).of(image.symbols["holds"].address) == []
