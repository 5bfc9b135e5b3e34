from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.loader.image import KernelImage
from emulator.profile.discovery.similar import similar_functions
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import match
from emulator.profile.reader import read_profile
from emulator.report.text.gaps import missing_lines
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
char memory[64];
#define IT __attribute__((noinline, noclone, used))
IT int km_aloc(void) { return memory[0]; }
IT void *km_allocate(unsigned size) { return memory + size; }
IT void *arena_take(unsigned size) { return memory + size + 1; }
IT void km_release(void *block) { *(char *)block = 0; }
IT void km_print(int level) { memory[1] = level; }
void _start(void) { for (;;); }
"""
ALLOC = TracedFunction("km_alloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0)
FREE = TracedFunction("km_free", "heap", Role.FREE, ("ptr",), Result.NONE)


def test_a_function_that_can_be_meant_comes_before_one_that_is_only_called_so(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, SOURCE, ["-g"]))
    found = similar_functions([ALLOC], image)
    assert found[0] == "km_allocate"
    assert found.index("arena_take") < found.index("km_aloc") if "km_aloc" in found else "arena_take" in found
    assert similar_functions([FREE], image)[0] == "km_release"


def test_without_prototypes_likeness_decides(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, SOURCE))
    assert similar_functions([ALLOC], image)[:2] == ["km_allocate", "km_aloc"]


def test_what_is_not_alike_is_not_suggested(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, "void _start(void) { for (;;); }"))
    assert similar_functions([ALLOC, FREE], image) == []


KMEM = """
#define IT __attribute__((noinline, noclone, used))
char memory[64];
IT void *kmem_cache_alloc(unsigned size) { return memory + size; }
IT void kmem_cache_free(void *block) { *(char *)block = 0; }
IT void kmem_cache_trace(void) { memory[3] = 1; }
void _start(void) { for (;;); }
"""


def lines(folder: Path, text: str, options: list[str]) -> list[str]:
    image = KernelImage.read(compile_kernel(folder, KMEM, options))
    file = folder / "mine.toml"
    file.write_text(text)
    given = read_profile(file)
    return list(missing_lines(given, match(given, image), image))


@pytest.mark.parametrize("options", [[], ["-g"]], ids=["symbols", "prototypes"])
def test_a_function_that_the_kernel_has_under_a_similar_name(tmp_path: Path, options: list[str]) -> None:
    text = '[heap]\nalloc = "kmem_cache_alloc(size)"\nfree = ["kmem_free(ptr)", "sbrk_free(ptr)", "*_give(ptr)"]\n'
    assert lines(tmp_path, text, options) == ["the kernel has no kmem_free (similar: kmem_cache_free)"]


def test_a_function_that_is_named_already_is_no_suggestion(tmp_path: Path) -> None:
    text = '[heap]\nalloc = "kmem_cache_alloc(size)"\nfree = ["kmem_free(ptr)", "kmem_cache_free(ptr)"]\n'
    assert lines(tmp_path, text, []) == []


def test_what_does_something_else_is_no_suggestion(tmp_path: Path) -> None:
    text = '[heap]\nalloc = ["kmem_cache_zalloc(size)", "kmem_cache_alloc(size)"]\nshare = "kmem_cache_frees(ptr)"\n'
    assert lines(tmp_path, text, ["-g"]) == []
