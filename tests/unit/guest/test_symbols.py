from __future__ import annotations

from emulator.guest.symbols import data_objects, function_at, symbol
from emulator.loader.image import KernelImage
from tests.unit.loader import elf_builder as eb
from tests.unit.loader.elf_builder import BASE, Elf, Sym, build_elf, patch_section_header

SYMTAB_SECTION = 2
GOOD = build_elf(
    Elf(
        symbols=[
            Sym("later", BASE + 16, 8, eb.OBJECT),
            Sym("kmain", BASE, 8, eb.FUNC),
            Sym("earlier", BASE + 8, 8, eb.OBJECT),
            Sym("label", BASE + 24),
        ]
    )
)


def test_a_function_has_a_name_and_an_offset() -> None:
    image = KernelImage(GOOD, "k.elf")
    assert function_at(image, BASE + 2) == ("kmain", 2)
    assert function_at(image, 0) is None


def test_objects_with_a_size_come_by_address() -> None:
    assert [each.name for each in data_objects(KernelImage(GOOD, "k.elf"))] == ["earlier", "later"]


def test_a_damaged_symbol_table_counts_as_none() -> None:
    image = KernelImage(patch_section_header(GOOD, SYMTAB_SECTION, eb.SH_LINK, 99), "k.elf")
    assert function_at(image, BASE) is None
    assert symbol(image, "kmain") is None
    assert data_objects(image) == []
