from __future__ import annotations

import struct

import pytest

from emulator.loader.dwarf.byte_reader import Damaged
from emulator.loader.dwarf.line_header import DebugSections, read_header
from emulator.loader.dwarf.source_lines import LineTable, SourceLine
from emulator.loader.image import KernelImage
from emulator.wording import code_location
from tests.unit.loader import elf_builder as eb
from tests.unit.loader import line_builder as lb
from tests.unit.loader.elf_builder import BASE, Elf, Sym, build_elf
from tests.unit.loader.line_builder import TABLES_2, TABLES_5, at, step, uleb, unit

PROGRAM = (
    at(BASE) + step(0, 8) + step(4, 1) + at(BASE + 8) + step(0, 5) + uleb(lb.ADVANCE_PC) + uleb(8) + lb.END
)


def table(line: bytes, line_str: bytes = b"", strings: bytes = b"") -> LineTable:
    return LineTable(DebugSections(line, line_str, strings))


def lines(program: bytes, *addresses: int) -> list[int | None]:
    found = [table(unit(4, TABLES_2, program)).find(address) for address in addresses]
    return [None if line is None else line.line for line in found]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_rows_of_the_older_versions(version: int) -> None:
    found = table(unit(version, TABLES_2, PROGRAM))
    assert [found.find(BASE + offset) for offset in (0, 3, 4, 8, 15)] == [
        SourceLine("demo.c", 9),
        SourceLine("demo.c", 9),
        SourceLine("demo.c", 10),
        SourceLine("demo.c", 15),
        SourceLine("demo.c", 15),
    ]
    assert found.find(BASE - 1) is None
    assert found.find(BASE + 16) is None


def test_rows_of_version_5_with_directories() -> None:
    found = table(unit(5, TABLES_5, bytes([lb.SET_FILE, 0]) + PROGRAM), lb.LINE_STR)
    assert found.find(BASE) == SourceLine("platform/demo.c", 9)
    found = table(unit(5, TABLES_5, bytes([lb.SET_FILE, 1]) + PROGRAM), lb.LINE_STR)
    assert found.find(BASE) == SourceLine("platform/common/entry.S", 9)


@pytest.mark.parametrize(
    ("form", "name", "line_str", "strings"),
    [
        (0x08, b"./a.c\0", b"", b""),
        (0x1F, b"\x02\0\0\0", b"x\0a.c\0", b""),
        (0x0E, b"\x02\0\0\0", b"", b"x\0a.c\0"),
        (0x09, b"\x03a.c", b"", b""),
    ],
)
def test_every_form_of_a_name(form: int, name: bytes, line_str: bytes, strings: bytes) -> None:
    checksum = bytes([5]) + uleb(0x1E)  # MD5, which is passed over
    tables = (
        b"\x00\x00\x03\x01" + uleb(form) + checksum + b"\x02\x0f" + b"\x02" + (name + bytes(16) + b"\0") * 2
    )
    assert table(unit(5, tables, PROGRAM), line_str, strings).find(BASE) == SourceLine("a.c", 9)


def test_directories_are_relative_to_the_first() -> None:
    tables = b"\x01\x01\x08\x03/src\0inc\0/abs\0" + b"\x02\x01\x08\x02\x0b\x03" + b"a\0\x00b\0\x01c\0\x02"
    for number, path in enumerate(["/src/a", "/src/inc/b", "/abs/c"]):
        program = bytes([lb.SET_FILE, number]) + PROGRAM
        assert table(unit(5, tables, program)).find(BASE) == SourceLine(path, 9)


def test_a_file_that_the_table_does_not_have() -> None:
    assert table(unit(4, TABLES_2, bytes([lb.SET_FILE, 9]) + PROGRAM)).find(BASE) == SourceLine("?", 9)


class TestOpcodes:
    def test_advance_line_goes_both_ways(self) -> None:
        program = at(BASE) + bytes([lb.ADVANCE_LINE, 20, lb.COPY, lb.FIXED_ADVANCE_PC, 4, 0])
        program += bytes([lb.ADVANCE_LINE, 0x7D, lb.COPY]) + uleb(lb.ADVANCE_PC) + uleb(300) + lb.END
        assert lines(program, BASE, BASE + 4, BASE + 303, BASE + 304) == [21, 18, 18, None]

    def test_const_add_pc(self) -> None:
        program = at(BASE) + step(0, 0) + bytes([lb.CONST_ADD_PC]) + step(0, 1) + step(1, 0) + lb.END
        advance = (255 - lb.OPCODE_BASE) // lb.LINE_RANGE
        assert lines(program, BASE + advance - 1, BASE + advance, BASE + advance + 1) == [1, 2, None]

    def test_columns_and_discriminators_change_nothing(self) -> None:
        program = at(BASE) + bytes([lb.SET_COLUMN, 2]) + lb.DISCRIMINATOR + step(0, 2) + step(1, 0) + lb.END
        assert lines(program, BASE) == [3]

    def test_each_sequence_starts_anew(self) -> None:
        program = (
            at(BASE) + step(0, 5) + step(4, 0) + lb.END + at(BASE + 64) + step(0, 1) + step(4, 0) + lb.END
        )
        assert lines(program, BASE, BASE + 4, BASE + 64) == [6, None, 2]


@pytest.mark.parametrize("version", [2, 4])
def test_a_header_that_is_cut_off_is_damaged(version: int) -> None:
    header = unit(version, TABLES_2, b"")
    read_header(DebugSections(header, b"", b""), 0)
    for size in range(len(header)):
        with pytest.raises(Damaged):
            read_header(DebugSections(header[:size], b"", b""), 0)


def test_several_units_and_unknown_versions_between() -> None:
    other = at(BASE + 0x100) + step(0, 1) + step(8, 0) + lb.END
    section = unit(4, TABLES_2, PROGRAM) + unit(9, TABLES_2, PROGRAM) + unit(5, TABLES_5, other)
    found = table(section, lb.LINE_STR)
    assert found.find(BASE) == SourceLine("demo.c", 9)
    assert found.find(BASE + 0x100) == SourceLine("platform/common/entry.S", 2)


class TestDamage:
    def test_truncated(self) -> None:
        whole = unit(5, TABLES_5, PROGRAM)
        for size in range(len(whole)):
            assert table(whole[:size], lb.LINE_STR).find(BASE) is None
            shorter = struct.pack("<I", max(0, size - 4)) + whole[4:size]  # the length agrees
            assert table(shorter, lb.LINE_STR).find(BASE + 8) is None

    @pytest.mark.parametrize(("offset", "value"), [(14, 0), (15, 0), (15, 255)])
    def test_impossible_parameters(self, offset: int, value: int) -> None:
        damaged = bytearray(unit(4, TABLES_2, PROGRAM))
        damaged[offset] = value
        found = table(bytes(damaged))
        assert [found.find(BASE + i) for i in range(16)] == [None] * 16

    @pytest.mark.parametrize("version", [0, 1, 6, 0xFFFF])
    def test_unknown_versions(self, version: int) -> None:
        assert table(unit(version, TABLES_2, PROGRAM)).find(BASE) is None

    def test_a_length_past_the_end_of_the_section(self) -> None:
        whole = unit(4, TABLES_2, PROGRAM)
        assert table(struct.pack("<I", len(whole) - 3) + whole[4:]).find(BASE) is None

    def test_an_instruction_cut_by_the_end_of_its_unit(self) -> None:
        section = unit(4, TABLES_2, PROGRAM + at(BASE)[:5]) + unit(4, TABLES_2, b"")
        assert table(section).find(BASE) is None

    def test_a_name_without_an_end(self) -> None:
        assert table(unit(5, TABLES_5, PROGRAM), lb.LINE_STR[:-1]).find(BASE) is None

    def test_a_path_that_is_a_number(self) -> None:
        assert table(unit(5, b"\x01\x01\x0f\x01\x07" + b"\x01\x01\x08\x01a\0", PROGRAM)).find(BASE) is None
        assert table(unit(5, b"\x00\x00" + b"\x01\x02\x0b\x01\x00", PROGRAM)).find(BASE) is None

    @pytest.mark.parametrize(("count", "lines"), [(1 << 16, True), ((1 << 16) + 1, False)])
    def test_too_many_files(self, count: int, lines: bool) -> None:
        tables = [
            (4, b"\0" + b"a\0\0\0\0" * count + b"\0"),
            (5, b"\x00\x00" + b"\x01\x01\x08" + uleb(count) + b"a\0" * count),
        ]
        for version, table_bytes in tables:
            assert (table(unit(version, table_bytes, PROGRAM)).find(BASE) is not None) == lines

    @pytest.mark.parametrize("count", [1 << 20, 1 << 62])
    def test_counts_of_entries_without_bytes(self, count: int) -> None:
        assert table(unit(5, b"\x00" + uleb(count) + b"\x00\x00", PROGRAM)).find(BASE) is None

    def test_a_number_that_does_not_end(self) -> None:
        endless = bytes([lb.SET_COLUMN]) + b"\x80" * 10 + b"\x00"
        assert lines(at(BASE) + endless + step(0, 1) + step(8, 0) + lb.END, BASE) == [None]

    def test_a_unit_of_64_bit_dwarf_ends_the_section(self) -> None:
        assert table(struct.pack("<I", 0xFFFFFFFF) + unit(4, TABLES_2, PROGRAM)).find(BASE) is None

    def test_a_program_that_runs_away(self) -> None:
        program = at(0xFFFF_FFFF) + bytes([lb.ADVANCE_LINE, 0x40]) + step(16, 8) * 3 + lb.END
        assert table(unit(4, TABLES_2, program)).find(0xFFFF_FFFF) is None


class TestImage:
    ELF = Elf(
        symbols=[Sym("kmain", BASE, 16, eb.FUNC)],
        sections={".debug_line": unit(5, TABLES_5, PROGRAM), ".debug_line_str": lb.LINE_STR},
    )

    def test_location_names_function_and_line(self) -> None:
        kernel = KernelImage(build_elf(self.ELF), "k.elf")
        assert kernel.source_line(BASE + 8) == SourceLine("platform/common/entry.S", 15)
        assert code_location(*kernel.location(BASE + 8)) == "kmain+0x8 (platform/common/entry.S:15)"

    def test_location_without_symbols(self) -> None:
        kernel = KernelImage(build_elf(Elf(sections=self.ELF.sections)), "k.elf")
        assert code_location(*kernel.location(BASE)) == "0x00100000 (platform/common/entry.S:9)"

    @pytest.mark.parametrize(
        ("field", "value"), [(eb.SH_TYPE, eb.NOBITS), (eb.SH_OFFSET, 0xFFFF_FFF0), (8, 0x800)]
    )
    def test_damaged_or_compressed_sections_leave_no_lines(self, field: int, value: int) -> None:
        data = eb.patch_section_header(build_elf(self.ELF), 4, field, value)
        assert code_location(*KernelImage(data, "k.elf").location(BASE)) == "kmain+0x0"
