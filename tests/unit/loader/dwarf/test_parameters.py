"""Parameters in registers are known by debug information, and only where they are there at a function's first instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile

from emulator.loader.dwarf.parameters import Parameters, RegisterParameter
from emulator.loader.image import KernelImage
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
char memory[4096];
unsigned top;
__attribute__((noinline)) void *take(unsigned size, int fill)
{
    char *block = memory + top;
    if (top + size > sizeof memory)
        return 0;
    top += size;
    if (fill)
        *block = 0;
    return block;
}
__attribute__((noinline, noclone)) static char *inside(char *block, unsigned size)
{
    while (size--)
        block += *block;
    memory[0] += *block;
    return block;
}
void _start(void) { for (;;) inside(take(8, 1), top); }
"""
EAX_FIRST = RegisterParameter(0, "EAX")


def found_in(path: Path) -> list[RegisterParameter | None]:
    image = KernelImage.read(path)
    known = Parameters(image.data)
    return [known.in_register(image.symbols[name].address) for name in ("take", "inside")]


@pytest.mark.parametrize("version", [2, 4, 5])
def test_a_static_function_gets_its_parameters_in_registers(tmp_path: Path, version: int) -> None:
    kernel = compile_kernel(tmp_path, SOURCE, ["-g", f"-gdwarf-{version}"])
    assert found_in(kernel) == [None, EAX_FIRST]


@pytest.mark.parametrize("version", [2, 4, 5])
def test_with_regparm_others_do_too(tmp_path: Path, version: int) -> None:
    kernel = compile_kernel(tmp_path, SOURCE, ["-g", f"-gdwarf-{version}", "-mregparm=3"])
    assert found_in(kernel) == [EAX_FIRST, EAX_FIRST]


@pytest.mark.parametrize("options", [[], ["-g", "-O0"], ["-g", "-fno-var-tracking"]])
def test_without_following_variables_nothing_is_known(tmp_path: Path, options: list[str]) -> None:
    assert found_in(compile_kernel(tmp_path, SOURCE, options)) == [None, None]


def test_damaged_debug_information_says_nothing(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, SOURCE, ["-g", "-mregparm=3"]))
    data = bytearray(image.data)
    start = data.index(b".debug_info")  # of the names of sections, after all of their contents
    for position in range(0x1000, start, 97):
        data[position] ^= 0xFF
    Parameters(bytes(data)).in_register(image.symbols["take"].address)


def test_damaged_references_lead_nowhere(tmp_path: Path) -> None:
    """Each function is its own next one."""
    path = compile_kernel(tmp_path, SOURCE, ["-g", "-gdwarf-4", "-mregparm=3"])
    image = KernelImage.read(path)
    data = bytearray(image.data)
    with path.open("rb") as stream:
        file: Any = ELFFile(stream)
        section = file.get_section_by_name(".debug_info")
        unit = next(file.get_dwarf_info().iter_CUs())
        functions = [entry for entry in unit.iter_DIEs() if entry.tag == "DW_TAG_subprogram"]
    for entry in functions:
        sibling = entry.attributes.get("DW_AT_sibling")
        if sibling is not None:
            at = section["sh_offset"] + sibling.offset
            data[at : at + 4] = (entry.offset - unit.cu_offset).to_bytes(4, "little")
    assert bytes(data) != image.data
    known = Parameters(bytes(data))
    assert [known.in_register(symbol.address) for symbol in image.symbols.values()].count(None) > 0
