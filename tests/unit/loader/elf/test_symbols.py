from __future__ import annotations

import struct

import pytest

from emulator.errors import BadImage
from emulator.loader.elf.symbols import Symbol
from emulator.loader.image import KernelImage
from emulator.wording import code_location
from tests.unit.loader import elf_builder as eb
from tests.unit.loader.elf_builder import BASE, Elf, Load, Sym, build_elf, patch_section_header

SYMTAB_SECTION, STRTAB_SECTION = 2, 3


def image(*symbols: Sym) -> KernelImage:
    return KernelImage(build_elf(Elf(symbols=list(symbols))), "k.elf")


class TestNames:
    def test_symbols_by_name(self) -> None:
        kernel = image(
            Sym("kmain", BASE, 8, eb.FUNC),
            Sym("memmap", BASE + 16, 20, eb.OBJECT),
            Sym("__end", BASE + 64, section=eb.ABSOLUTE),
        )
        assert kernel.symbols == {
            "kmain": Symbol("kmain", BASE, 8, "function"),
            "memmap": Symbol("memmap", BASE + 16, 20, "object"),
            "__end": Symbol("__end", BASE + 64, 0, "other"),
        }
        assert kernel.symbol("__end") == Symbol("__end", BASE + 64, 0, "other")
        assert kernel.symbol("nothing") is None

    def test_leaves_out_undefined_symbols_sections_and_files(self) -> None:
        kernel = image(
            Sym("undefined", 0, section=0),
            Sym("common", 4, section=0xFFF2),
            Sym("k.c", 0, kind=eb.FILE),
            Sym(".text", BASE, kind=eb.SECTION),
        )
        assert kernel.symbols == {}

    def test_of_equal_names_a_function_wins_then_a_global_then_the_first(self) -> None:
        kernel = image(
            Sym("a", 1, kind=eb.OBJECT),
            Sym("a", 2, kind=eb.FUNC, bind=eb.LOCAL),
            Sym("b", 3, kind=eb.FUNC, bind=eb.LOCAL),
            Sym("b", 4, kind=eb.FUNC),
            Sym("c", 5),
            Sym("c", 6),
        )
        assert {name: symbol.address for name, symbol in kernel.symbols.items()} == {"a": 2, "b": 4, "c": 5}

    def test_names_beyond_ascii(self) -> None:
        assert set(image(Sym("カーネル", BASE), Sym("ascii", BASE)).symbols) == {"カーネル", "ascii"}


class TestFunctionAt:
    KERNEL = image(
        Sym("start", BASE),  # assembly: no type, no size
        Sym("table", BASE + 8, 4, eb.OBJECT),
        Sym("kmain", BASE + 16, 16, eb.FUNC),
        Sym("inner_label", BASE + 24, bind=eb.LOCAL),
        Sym("last", BASE + 48, kind=eb.FUNC),
        Sym("__end", BASE + 64, section=eb.ABSOLUTE),
    )

    @pytest.mark.parametrize(
        ("offset", "name", "start"),
        [
            (0, "start", 0),
            (7, "start", 0),
            (16, "kmain", 16),
            (30, "kmain", 16),
            (31, "kmain", 16),
            (48, "last", 48),
            (63, "last", 48),
        ],
    )
    def test_finds(self, offset: int, name: str, start: int) -> None:
        found = self.KERNEL.function_at(BASE + offset)
        assert found is not None
        assert (found[0].name, found[1]) == (name, offset - start)

    @pytest.mark.parametrize("offset", [-1, 8, 15, 64, 65])
    def test_finds_nothing(self, offset: int) -> None:
        assert self.KERNEL.function_at(BASE + offset) is None
        assert self.KERNEL.function_extent(BASE + offset) is None

    @pytest.mark.parametrize(("start", "stop"), [(0, 8), (16, 32), (48, 64)])
    def test_finds_the_extent(self, start: int, stop: int) -> None:
        expected = range(BASE + start, BASE + stop)
        assert self.KERNEL.function_extent(BASE + start) == expected
        assert self.KERNEL.function_extent(BASE + stop - 1) == expected

    def test_finds_the_extent_of_a_physical_address(self) -> None:
        load = Load(BASE, b"\x90" * 64, virtual=BASE + 0x8000_0000)
        symbols = [Sym("kmain", BASE + 0x8000_0000, 16, eb.FUNC)]
        kernel = KernelImage(build_elf(Elf(loads=[load], symbols=symbols)), "k.elf")
        assert kernel.function_extent(BASE + 4) == range(BASE + 0x8000_0000, BASE + 0x8000_0010)

    def test_prefers_global_names_for_the_same_code(self) -> None:
        kernel = image(Sym("alias", BASE, 8, eb.FUNC), Sym("local", BASE, 8, eb.FUNC, eb.LOCAL))
        found = kernel.function_at(BASE)
        assert found is not None
        assert found[0].name == "alias"


class TestDamage:
    GOOD = build_elf(Elf(symbols=[Sym("kmain", BASE, 8, eb.FUNC)]))

    def problem(self, data: bytes) -> str:
        kernel = KernelImage(data, "k.elf")
        with pytest.raises(BadImage) as caught:
            _ = kernel.symbols
        return caught.value.problem

    @pytest.mark.parametrize(
        ("section", "what"), [(SYMTAB_SECTION, "the symbol table"), (STRTAB_SECTION, "the string table")]
    )
    def test_table_outside_the_file(self, section: int, what: str) -> None:
        data = patch_section_header(self.GOOD, section, eb.SH_OFFSET, 0x10000)
        problem = self.problem(data)
        assert problem.startswith(f"truncated: {what} takes bytes 0x00010000-0x000100")
        assert problem.endswith(f", the file ends at 0x{len(data):08x}")

    def test_size_that_is_no_multiple(self) -> None:
        data = patch_section_header(self.GOOD, SYMTAB_SECTION, eb.SH_SIZE, 31)
        assert self.problem(data) == "the symbol table's size 31 is not a multiple of 16"

    @pytest.mark.parametrize("link", [0, 1, 99])
    def test_no_string_table(self, link: int) -> None:
        data = patch_section_header(self.GOOD, SYMTAB_SECTION, eb.SH_LINK, link)
        assert self.problem(data) == f"the symbol table's string table, section {link}, is none"

    def test_name_outside_the_string_table(self) -> None:
        (table,) = struct.unpack_from("<I", self.GOOD, eb.E_SHOFF)
        (symtab,) = struct.unpack_from("<I", self.GOOD, table + SYMTAB_SECTION * 40 + eb.SH_OFFSET)
        data = eb.patch(self.GOOD, symtab + 16, "<I", 0x1234)
        assert self.problem(data) == "symbol 1: its name at 0x00001234 is outside the string table of 7 bytes"

    def test_names_without_an_end(self) -> None:
        data = patch_section_header(self.GOOD, STRTAB_SECTION, eb.SH_SIZE, 6)
        assert self.problem(data) == "symbol 1: its name at 0x00000001 is outside the string table of 6 bytes"

    def test_a_symbol_that_wraps(self) -> None:
        last = build_elf(Elf(symbols=[Sym("kmain", 0xFFFFFFF8, 8, eb.FUNC)]))
        assert KernelImage(last, "k.elf").symbols["kmain"].size == 8
        data = build_elf(Elf(symbols=[Sym("kmain", BASE, 8), Sym("kfree", 0xFFFFFFF8, 9, eb.FUNC)]))
        assert self.problem(data) == "symbol 2 at 0xfffffff8 is 0x9 bytes long and wraps past 4 GiB"

    def test_a_location_is_its_address_where_the_table_is_damaged(self) -> None:
        data = patch_section_header(self.GOOD, SYMTAB_SECTION, eb.SH_LINK, 99)
        assert code_location(*KernelImage(data, "k.elf").location(BASE + 4)) == "0x00100004"

    def test_label_of_a_section_that_is_not_there(self) -> None:
        kernel = image(Sym("stray", BASE, section=0x1234), Sym("absolute", BASE, section=eb.ABSOLUTE))
        assert kernel.function_at(BASE) is None

    def test_no_symbol_table(self) -> None:
        data = patch_section_header(self.GOOD, SYMTAB_SECTION, eb.SH_TYPE, eb.PROGBITS)
        kernel = KernelImage(data, "k.elf")
        assert kernel.symbols == {}
        assert code_location(*kernel.location(BASE)) == "0x00100000"

    def test_names_of_sections_that_are_damaged_matter_to_nobody(self) -> None:
        data = eb.patch(self.GOOD, eb.E_SHSTRNDX, "<H", 0xFFFF)
        assert list(KernelImage(data, "k.elf").symbols) == ["kmain"]


def test_a_hundred_thousand_symbols_are_all_there() -> None:
    count = 100_000
    symbols = [Sym(f"function_{i}", BASE + i * 4, 4, eb.FUNC) for i in range(count)]
    kernel = KernelImage(build_elf(Elf([Load(memory_size=count * 4)], symbols=symbols)), "k.elf")
    assert len(kernel.symbols) == count
    assert code_location(*kernel.location(BASE + 4 * 77_777 + 3)) == "function_77777+0x3"
