"""What a kernel's file says of KASAN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator.loader.image import KernelImage
from emulator.loader.kasan import (
    Kasan,
    copying_functions,
    has_own_runtime,
    instrumented_code,
    reports,
    static_variables,
)
from emulator.profile.known import match
from emulator.profile.reader import parse_profile
from emulator.report.text.gaps import gap_lines
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.kasan_kernel import BUILDS, START, compile_kasan

if TYPE_CHECKING:
    from pathlib import Path

SOURCE: Final = r"""
apart u8 *kmalloc(u32 size) { static u8 memory[4096]; static u32 next; return memory + (next += size); }
__attribute__((no_sanitize_address)) apart void unchecked(u8 *p) { *p = 1; }
apart void checked(u8 *p) { *p = 1; }
void kmain(void) { u8 *p = kmalloc(8); checked(p); unchecked(p); leave(0); }
"""
PROFILE: Final = """
[heap]
alloc = "kmalloc(size @ esp+4)"
"""


@pytest.mark.parametrize("name", BUILDS)
def test_functions_that_check_their_accesses_are_told_from_others(tmp_path: Path, name: str) -> None:
    image = KernelImage.read(compile_kasan(tmp_path, SOURCE, BUILDS[name]))
    assert image.kasan == Kasan(0xD000_0000, (0,))
    code = instrumented_code(image)

    def is_in(function: str) -> bool:
        return any(start <= image.symbols[function].address < end for start, end in code)

    assert is_in("checked")
    assert is_in("__asan_memcpy")
    assert not is_in("unchecked")
    assert not is_in("use")


def test_a_part_of_a_function_that_jumps_into_the_part_with_the_calls_is_of_it(tmp_path: Path) -> None:
    source = (
        SOURCE
        + r"""
    __asm__(".text; .type hot, @function; hot: cmpb $0, (%eax); jne 1f; ret; .skip 200; .size hot, . - hot;"
            ".type other, @function; other: je cold; ret; .skip 200; .size other, . - other;"
            ".type cold, @function; cold: nop; 1: call __asan_report_load1; ret; .size cold, . - cold");
    """
    )
    image = KernelImage.read(compile_kasan(tmp_path, source, BUILDS["gcc-inline"]))
    starts = {start for start, _ in instrumented_code(image)}
    assert {image.symbols[each].address for each in ("hot", "cold")} <= starts
    assert image.symbols["other"].address not in starts


def test_reports_are_named_once_with_what_they_are_about(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kasan(tmp_path, SOURCE, BUILDS["clang-outline"]))
    found = {each.address: (each.size, each.is_write) for each in reports(image)}
    assert {each[2:4] + each[5:] for each in reports(image)} == {(0, 1, False)}
    sizes = (1, 2, 4, 8, 16, 0)
    assert sorted(found.values()) == sorted((size, write) for size in sizes for write in (False, True))
    assert found[image.symbols["__asan_report_store2_noabort"].address] == (2, True)
    assert found[image.symbols["__asan_report_load_n"].address] == (0, False)


OWN: Final = (
    SOURCE
    + "".join(
        f"__attribute__((no_sanitize_address)) void __asan_{name}(u32 at) {{ (void)at; }}\n"
        for name in ("load1_noabort", "store1_noabort", "load4_noabort", "store4_noabort", "report_load4")
    )
    + "void __asan_register_globals(void) {} void __asan_unregister_globals(void) {} void __asan_handle_no_return(void) {}"
)


def test_a_runtime_of_the_kernels_own_is_left_alone_and_that_is_said(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kasan(tmp_path, OWN, BUILDS["gcc-outline"], libraries=()))
    assert image.kasan is None
    assert has_own_runtime(image)
    profile = match(parse_profile(PROFILE, "p"), image)
    assert "the kernel has a KASAN runtime of its own, which is left alone" in list(gap_lines(profile, image))


def test_nothing_is_said_of_other_kernels(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, START + SOURCE))
    assert image.kasan is None
    assert not has_own_runtime(image)
    (tmp_path / "stubs").mkdir()
    assert not has_own_runtime(
        KernelImage.read(compile_kasan(tmp_path / "stubs", SOURCE, BUILDS["gcc-inline"]))
    )


GLOBALS: Final = r"""
u8 names[13]; static int counts[5] = {1}; static const char text[24] = "text";
void kmain(void) { use(names); use(counts); use((void *)text); leave(0); }
"""


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2"])
@pytest.mark.parametrize("name", BUILDS)
def test_static_variables_are_read_from_what_is_registered(tmp_path: Path, name: str, level: str) -> None:
    image = KernelImage.read(compile_kasan(tmp_path, GLOBALS, BUILDS[name], [level]))
    variables, unread = static_variables(image)
    assert unread == 0
    found = {each.name: each for each in variables}
    assert {found[each].size for each in ("names", "counts", "text")} == {13, 20, 24}
    for each in ("names", "counts", "text"):
        assert found[each].address == image.symbols[each].address
        assert found[each].file == "kernel.c"
    shadow = dict(found["names"].shadow())
    start = found["names"].address
    assert shadow == {start + 8: 5, **dict.fromkeys(range(start + 16, start + found["names"].whole, 8), 0xF9)}


def test_files_whose_variables_are_not_described_are_named(tmp_path: Path) -> None:
    source = (
        GLOBALS
        + r"""
    volatile u32 where, count;
    void __asan_register_globals(u32 at, u32 count);
    __attribute__((no_sanitize_address)) void register_them(void) { __asan_register_globals(where, count); }
    void *kmalloc(u32 size) { return (void *)size; }
    """
    )
    image = KernelImage.read(compile_kasan(tmp_path, source, BUILDS["gcc-inline"]))
    profile = match(parse_profile(PROFILE, "p"), image)
    line = "static variables of 1 file are not checked: what describes them is not found"
    assert line in list(gap_lines(profile, image))
    (tmp_path / "none").mkdir()
    without = compile_kasan(tmp_path / "none", SOURCE, BUILDS["gcc-inline"], ["--param=asan-globals=0"])
    image = KernelImage.read(without)
    line = "static variables are not checked: no file describes any for KASAN"
    assert line in list(gap_lines(match(parse_profile(PROFILE, "p"), image), image))


COPYING: Final = r"""
__attribute__((no_sanitize_address)) apart void *memset(void *to, int value, u32 n) { for (u32 i = 0; i < n; i++) ((volatile u8 *)to)[i] = value; return to; }
__attribute__((no_sanitize_address, regparm(3))) apart void *memcpy(void *to, const void *from, u32 n) { for (u32 i = 0; i < n; i++) ((volatile u8 *)to)[i] = ((const u8 *)from)[i]; return to; }
apart void *memmove(void *to, const void *from, u32 n) { for (u32 i = 0; i < n; i++) ((volatile u8 *)to)[i] = ((const u8 *)from)[i]; return to; }
u8 a[20], b[20];
void kmain(void) { memset(a, 0, 20); memcpy(b, a, 20); memmove(a, b, 20); use(a); use(b); leave(0); }
"""


def test_functions_without_checks_are_looked_at_when_they_are_called(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kasan(tmp_path, COPYING, BUILDS["gcc-inline"]))
    found = list(
        copying_functions(image, instrumented_code(image))
    )  # memmove() has checks, memcpy() is given registers
    assert [(each.address, each.pointer, each.length, each.is_write) for each in found] == [
        (image.symbols["memset"].address, 0, 2, True)
    ]
