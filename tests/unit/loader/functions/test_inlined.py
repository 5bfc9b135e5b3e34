"""Copies of functions inside of others, and where their parameters are where they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator.loader.functions.inlined import InlinedCopy, inlined_copies
from emulator.loader.functions.locations import InRegister, IsConstant, NotKnown, OnStack
from emulator.loader.image import KernelImage
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

SOURCE: Final = """
volatile unsigned live, sizes;
void *volatile kept;
__attribute__((noinline)) void note(void *block) { kept = block; }
static inline __attribute__((always_inline)) void release(void *block, unsigned size)
{
    live -= 1;
    sizes -= size;
    note(block);
}
__attribute__((noinline)) void given(unsigned zone, void *block) { live += zone; release(block, 32); }
__attribute__((noinline, regparm(1))) void passed(void *block) { release(block, sizes); }
void _start(void) { for (;;) { given(3, kept); passed(kept); } }
"""


def copies(folder: Path, compiler: str, options: tuple[str, ...]) -> dict[str, InlinedCopy]:
    """The copies of `release`, by the function that each is in."""
    image = KernelImage.read(compile_kernel(folder, SOURCE, options, compiler))
    names = {symbol.address: symbol.name for symbol in image.symbols.values()}
    return {names[each.around]: each for each in inlined_copies(image, ["release", "note"])}


@pytest.mark.parametrize("version", ["-gdwarf-4", "-gdwarf-5"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_parameters_are_where_the_copy_begins(tmp_path: Path, compiler: str, version: str) -> None:
    found = copies(tmp_path, compiler, ("-g", version))
    assert found.keys() == {"given", "passed"}
    assert {each.name for each in found.values()} == {"release"}
    block, size = found["given"].parameters
    assert size == IsConstant(32)
    assert isinstance(block, OnStack | InRegister | NotKnown)
    # What clang says of all of the copy may hold only later in another compiler's.
    everywhere = NotKnown("its debug information has no place for it where the copy begins")
    assert found["passed"].parameters[0] == (InRegister("eax") if compiler == "gcc" else everywhere)


def test_a_word_of_the_stack_counts_from_where_esp_is(tmp_path: Path) -> None:
    found = copies(tmp_path, "gcc", ("-g",))["given"]
    image = KernelImage.read(tmp_path / "kernel.elf")
    row = image.unwind_table.find(found.address)
    assert row is not None
    assert found.parameters[0] == OnStack(row.cfa_offset + 4)


def test_without_optimization_words_of_the_frame_may_not_be_filled_yet(tmp_path: Path) -> None:
    found = copies(tmp_path, "gcc", ("-g", "-O0"))
    assert all(isinstance(each, NotKnown) for each in found["given"].parameters)


def test_without_debug_information_none_are_known(tmp_path: Path) -> None:
    assert copies(tmp_path, "gcc", ()) == {}
