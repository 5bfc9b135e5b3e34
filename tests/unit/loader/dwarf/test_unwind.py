"""The table for unwinding, of kernels that gcc has compiled and of entries that are written byte by byte."""

from __future__ import annotations

import re
import struct
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator.loader import builtin
from emulator.loader.dwarf.frame_entries import FrameSection
from emulator.loader.dwarf.unwind import ROW, UnwindRow, UnwindTable, read_unwind_table
from emulator.loader.image import KernelImage
from tests.helpers.c_kernel import compile_kernel
from tests.unit.loader.line_builder import uleb

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = r"""
int g(int a, int b, int c) { return a + b * c; }
int h(int *p) { return *p; }
int many(int a, int b, int *p)
{
    int x[40];
    h(x);
    if (a > 3)
        return g(a, b, 3);
    for (int j = 0; j < a; j++)
        b += g(x[j], a, b) * h(p);
    return b + x[1] + *p;
}
int pushes(int a) { return a ? g(a, g(a, 2, 3), g(a, 4, 5)) : 0; }
int variable(int n) { int x[n]; h(x); return x[n - 1] + g(n, 2, 3); }
int aligned(int n) { int x[4] __attribute__((aligned(64))); h(x); return x[n]; }
void _start(void) { for (;;) many(1, 2, 0); }
"""
NO_INLINE = (
    "-fno-inline",
    "-fno-ipa-cp",
    "-fno-ipa-sra",
    "-fno-ipa-pure-const",
    "-fno-optimize-sibling-calls",
)
OPTIONS = {
    "eh_frame": ("-fomit-frame-pointer", "-fasynchronous-unwind-tables"),
    "debug_frame": ("-fomit-frame-pointer", "-fno-asynchronous-unwind-tables", "-g"),
    "dwarf 5": ("-fomit-frame-pointer", "-fno-asynchronous-unwind-tables", "-gdwarf-5"),
    "dwarf 2": ("-fomit-frame-pointer", "-fno-asynchronous-unwind-tables", "-gdwarf-2"),
    "both": ("-fno-omit-frame-pointer", "-fasynchronous-unwind-tables", "-g"),
    "pushed arguments": ("-fasynchronous-unwind-tables", "-Os", "-mpreferred-stack-boundary=2"),
    "pc-relative": ("-fomit-frame-pointer", "-fasynchronous-unwind-tables", "-fpie"),
}
REGISTERS = {"esp": 1, "ebp": 2}


def readelf(path: Path) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Yield what readelf makes of a file: an address, and from there on CFA register, CFA offset and EBP offset."""
    command = ["readelf", "--wide", "--debug-dump=frames-interp", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for entry in text.split("\n\n"):
        head, *lines = entry.strip().splitlines() or [""]
        match = re.search(r" FDE .* pc=([0-9a-f]{8})\.\.([0-9a-f]{8})$", head)
        if match is None:
            continue
        start, end = int(match[1], 16), int(match[2], 16)
        yield start, (1, 4, 0)  # the CIE's, where nothing follows for this address
        for line in lines[1:]:
            row = dict(zip(lines[0].split(), line.split(), strict=True))
            yield int(row["LOC"], 16), interpreted(row["CFA"], row["ra"], row.get("ebp", "u"))
        yield end, (0, 0, 0)


def interpreted(cfa: str, ra: str, ebp: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"(esp|ebp)\+(\d+)", cfa)
    saved = re.fullmatch(r"c(-\d+)|[us]", ebp)
    if match is None or saved is None or ra != "c-4":
        return 0, 0, 0
    return REGISTERS[match[1]], int(match[2]), int(saved[1] or 0)


def check_with_readelf(path: Path) -> UnwindTable:
    """Compare the table at every address of the code."""
    table = KernelImage.read(path).unwind_table
    expected = dict(sorted(readelf(path)))
    starts = sorted(expected)
    assert len(starts) > 10
    # Where a function ends and the next one begins at once, the next one counts.
    for address, following in zip(starts, [*starts[1:], starts[-1] + 16], strict=True):
        for each in {address, address + (following - address) // 2, following - 1}:
            row = table.find(each)
            assert row is not None, hex(each)
            assert (row.cfa_register, row.cfa_offset, row.ebp_offset) == expected[address], hex(each)
    assert table.find(starts[0] - 1) is None
    return table


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_table_is_what_readelf_shows(tmp_path: Path, options: tuple[str, ...]) -> None:
    table = check_with_readelf(compile_kernel(tmp_path, SOURCE, (*NO_INLINE, *options)))
    assert {row[1] for row in ROW.iter_unpack(table.rows)} >= {4, 8}


@pytest.mark.parametrize("kernel", ["demo", "btron_demo"])
def test_a_built_in_kernel(kernel: str) -> None:
    check_with_readelf(Path(builtin.resolve(f"firmware:{kernel}")))


def test_rows_are_packed_in_order(tmp_path: Path) -> None:
    path = compile_kernel(tmp_path, SOURCE, (*NO_INLINE, *OPTIONS["both"]))
    table = KernelImage.read(path).unwind_table
    rows = [UnwindRow(*row) for row in ROW.iter_unpack(table.rows)]
    assert ROW.size == 16
    assert len(rows) == len(table)
    assert [row.start for row in rows] == sorted({row.start for row in rows})
    assert all(table.find(row.start) == row for row in rows)
    assert all(one[1:] != other[1:] for one, other in pairwise(rows))
    assert rows[-1][1:] == (0, 0, 0)


def test_a_kernel_without_information(tmp_path: Path) -> None:
    path = compile_kernel(tmp_path, SOURCE, ["-fno-asynchronous-unwind-tables"])
    table = KernelImage.read(path).unwind_table
    assert (len(table), table.rows, table.find(0x100000)) == (0, b"", None)


def test_unwinding_the_stack_of_a_function_with_a_frame_pointer() -> None:
    """The prologue and epilogue of every function of the built-in kernels."""
    image = KernelImage.read(builtin.resolve("firmware:demo"))
    start = image.symbols["kmalloc"].address  # push %ebp; mov %esp, %ebp; ...; pop %ebp; ret
    find = image.unwind_table.find
    assert find(start) == UnwindRow(start, 4, 0, 1)
    assert find(start + 1) == UnwindRow(start + 1, 8, -8, 1)
    assert find(start + 3) == UnwindRow(start + 3, 8, -8, 2)


BASE = 0x100000
CODE = [range(BASE, BASE + 0x1000)]
CIE = (
    b"\x01\0\x01\x7c\x08" + b"\x0c\x04\x04\x88\x01"
)  # version, augmentation, factors, register; esp+4, eip at c-4


def entry(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", len(content) + 4, kind) + content


def fde(start: int, size: int, program: bytes, cie: int = 0) -> bytes:
    return entry(cie, struct.pack("<II", start, size) + program)


def rows(*entries: bytes, cie: bytes = CIE, code: list[range] | None = None) -> list[tuple[int, ...]]:
    """Return the rows of a .debug_frame with a CIE and other entries; addresses count from BASE."""
    section = FrameSection(entry(0xFFFFFFFF, cie) + b"".join(entries), 0, is_eh_frame=False)
    packed = read_unwind_table([section], code or CODE).rows
    return [(start - BASE, *rest) for start, *rest in ROW.iter_unpack(packed)]


def row_after(program: bytes, cie: bytes = CIE) -> tuple[int, ...]:
    """Return CFA offset, EBP offset and CFA register at the end of a program, after an advance by 1."""
    found = rows(fde(BASE, 16, program + b"\x41"), cie=cie)
    return found[0][1:]


PUSHED = b"\x0e\x08\x85\x02"  # def_cfa_offset 8, ebp at c-8


class TestPrograms:
    @pytest.mark.parametrize(
        ("program", "expected"),
        [
            (b"", (4, 0, 1)),
            (b"\0\0", (4, 0, 1)),
            (PUSHED, (8, -8, 1)),
            (PUSHED + b"\x0d\x05", (8, -8, 2)),
            (b"\x0c\x05\x10", (16, 0, 2)),
            (b"\x12\x05\x7c", (16, 0, 2)),
            (b"\x13\x7e", (8, 0, 1)),
            (b"\x05\x05\x03", (4, -12, 1)),
            (b"\x11\x05\x7f", (4, 4, 1)),
            (b"\x2f\x05\x02", (4, 8, 1)),
            (PUSHED + b"\xc5", (8, 0, 1)),
            (PUSHED + b"\x06\x05", (8, 0, 1)),
            (PUSHED + b"\x08\x05", (8, 0, 1)),
            (b"\x0a" + PUSHED + b"\x0b", (4, 0, 1)),
            (b"\x2e\x10", (4, 0, 1)),
            (b"\x83\x02\xc3", (4, 0, 1)),
            (b"\x07\x03\x09\x06\x01", (4, 0, 1)),
        ],
    )
    def test_what_the_table_can_hold(self, program: bytes, expected: tuple[int, ...]) -> None:
        assert row_after(program) == expected

    @pytest.mark.parametrize(
        "program",
        [
            b"\x0c\x01\x00",  # def_cfa ecx
            b"\x0f\x03\x75\x7c\x06",  # def_cfa_expression
            b"\x10\x05\x02\x75\x00",  # expression for ebp
            b"\x16\x05\x02\x75\x00",  # val_expression for ebp
            b"\x07\x05",  # undefined ebp
            b"\x09\x05\x03",  # register ebp
            b"\x14\x05\x03",  # val_offset ebp
            b"\x15\x05\x03",  # val_offset_sf ebp
            b"\x85\x00",  # ebp at the CFA
            b"\x07\x08",  # undefined return address
            b"\x88\x02",  # return address at c-8
            b"\x0e\x80\x80\x80\x80\x08",  # offset 2^31
            b"\x05\x05" + uleb(1 << 30),  # ebp at c-2^32
        ],
    )
    def test_what_it_cannot_hold(self, program: bytes) -> None:
        assert row_after(program) == (0, 0, 0)

    @pytest.mark.parametrize(
        ("advance", "distance"),
        [
            (b"\x47", 7),
            (b"\x02\xff", 255),
            (b"\x03\x00\x01", 256),
            (b"\x04\x00\x02\0\0", 512),
            (b"\x01" + struct.pack("<I", BASE + 9), 9),
        ],
    )
    def test_advances(self, advance: bytes, distance: int) -> None:
        found = rows(fde(BASE, 1024, advance + PUSHED))
        assert found == [(0, 4, 0, 1), (distance, 8, -8, 1), (1024, 0, 0, 0)]

    def test_advances_are_multiplied(self) -> None:
        found = rows(fde(BASE, 64, b"\x43" + PUSHED), cie=CIE.replace(b"\0\x01", b"\0\x04", 1))
        assert [row[0] for row in found] == [0, 12, 64]

    def test_of_rows_of_one_address_the_last_counts(self) -> None:
        assert rows(fde(BASE, 8, b"\x0e\x10\x40" + PUSHED)) == [(0, 8, -8, 1), (8, 0, 0, 0)]

    def test_rows_after_the_end_are_left_out(self) -> None:
        assert rows(fde(BASE, 8, b"\x48" + PUSHED)) == [(0, 4, 0, 1), (8, 0, 0, 0)]

    def test_rows_that_change_nothing_are_left_out(self) -> None:
        assert rows(fde(BASE, 8, b"\x41\x83\x03\x41")) == [(0, 4, 0, 1), (8, 0, 0, 0)]

    @pytest.mark.parametrize(
        "program", [b"\x0b", b"\x1f", b"\x0e", b"\x0e\x80", b"\x01\0\0\0\0", b"\x0f\x7f\x00"]
    )
    def test_a_damaged_one_is_passed_over(self, program: bytes) -> None:
        good = fde(BASE + 16, 4, b"")
        assert rows(fde(BASE, 16, program), good) == [(16, 4, 0, 1), (20, 0, 0, 0)]


class TestEntries:
    def test_gaps_and_neighbours(self) -> None:
        found = rows(fde(BASE + 32, 8, b""), fde(BASE, 8, b""), fde(BASE + 8, 8, PUSHED))
        assert found == [(0, 4, 0, 1), (8, 8, -8, 1), (16, 0, 0, 0), (32, 4, 0, 1), (40, 0, 0, 0)]

    def test_what_overlaps_counts_once(self) -> None:
        assert rows(fde(BASE, 8, b""), fde(BASE, 8, PUSHED), fde(BASE + 4, 8, PUSHED)) == [
            (0, 4, 0, 1),
            (8, 0, 0, 0),
        ]

    def test_what_is_not_in_the_image(self) -> None:
        assert rows(fde(0, 8, b""), fde(BASE + 0xFFC, 8, b""), fde(BASE, 0, b"")) == []

    def test_the_end_of_the_address_space(self) -> None:
        top = [range(0xFFFFF000, 1 << 32)]
        assert rows(fde(0xFFFFFFF0, 16, b""), code=top) == [(0xFFFFFFF0 - BASE, 4, 0, 1)]
        assert rows(fde(0xFFFFFFF0, 17, b""), code=top) == []

    @pytest.mark.parametrize(
        "cie",
        [
            CIE,
            CIE.replace(b"\x01\0", b"\x03\0", 1),
            CIE.replace(b"\x01\0", b"\x04\0\x04\0", 1),
            CIE.replace(b"\x01\0", b"\x01z\0", 1).replace(b"\x7c\x08", b"\x7c\x08\0", 1),
        ],
    )
    def test_forms_of_a_cie(self, cie: bytes) -> None:
        data = b"\0" if b"z" in cie else b""
        assert rows(entry(0, struct.pack("<II", BASE, 8) + data + PUSHED), cie=cie)[0] == (0, 8, -8, 1)

    @pytest.mark.parametrize(
        "cie",
        [
            CIE.replace(b"\x01\0", b"\x02\0", 1),
            CIE.replace(b"\x01\0", b"\x04\0\x08\0", 1),
            CIE.replace(b"\x01\0", b"\x01eh\0", 1),
            CIE.replace(b"\x7c\x08", b"\x7c\x10", 1),
            CIE[:3],
            b"",
        ],
    )
    def test_a_cie_that_is_not_understood(self, cie: bytes) -> None:
        assert rows(fde(BASE, 8, b""), cie=cie) == []

    def test_an_fde_of_no_cie(self) -> None:
        assert rows(fde(BASE, 8, b"", cie=4), fde(BASE, 8, b"", cie=0xFFFF)) == []

    def test_a_length_beyond_the_section(self) -> None:
        assert rows(fde(BASE, 8, b""), b"\xff\xff\xff\xff" + bytes(64)) == [(0, 4, 0, 1), (8, 0, 0, 0)]

    def test_the_first_section_counts(self) -> None:
        one, other = (entry(0xFFFFFFFF, CIE) + fde(BASE, 8, program) for program in (PUSHED, b""))
        sections = [FrameSection(data, 0, is_eh_frame=False) for data in (one, other)]
        assert read_unwind_table(sections, CODE).find(BASE) == UnwindRow(BASE, 8, -8, 1)


class TestEhFrame:
    AT = 0x200000

    def first(self, augmentation: bytes, data: bytes, location: bytes, size: bytes) -> UnwindRow | None:
        cie = entry(0, b"\x01" + augmentation + b"\0\x01\x7c\x08" + uleb(len(data)) + data + CIE[5:])
        content = location + size + b"\0" + PUSHED
        section = cie + entry(len(cie) + 4, content) + bytes(4)
        table = read_unwind_table([FrameSection(section, self.AT, is_eh_frame=True)], CODE)
        self.here = self.AT + len(cie) + 8
        return table.find(BASE)

    @pytest.mark.parametrize(
        ("augmentation", "data"),
        [
            (b"zR", b"\x1b"),
            (b"zPLR", b"\x00\x11\x22\x33\x44\x1b\x1b"),
            (b"zPR", b"\x1a\x11\x22\x1b"),
            (b"zRS", b"\x1b"),
            (b"zSBR", b"\x1b"),
            (b"zR?", b"\x1bmore"),
        ],
    )
    def test_addresses_relative_to_their_own_address(self, augmentation: bytes, data: bytes) -> None:
        self.first(augmentation, data, bytes(4), bytes(4))
        location = struct.pack("<i", BASE - self.here)
        assert self.first(augmentation, data, location, b"\x08\0\0\0") == UnwindRow(BASE, 8, -8, 1)

    @pytest.mark.parametrize(("encoding", "size"), [(0x00, 4), (0x03, 4), (0x0B, 4)])
    def test_absolute_addresses(self, encoding: int, size: int) -> None:
        found = self.first(
            b"zR", bytes([encoding]), BASE.to_bytes(size, "little"), (8).to_bytes(size, "little")
        )
        assert found == UnwindRow(BASE, 8, -8, 1)

    def test_short_addresses(self) -> None:
        self.AT = BASE + 0x100
        self.first(b"zR", b"\x1a", bytes(2), bytes(2))
        location = struct.pack("<h", BASE - self.here)
        assert self.first(b"zR", b"\x1a", location, b"\x08\0") == UnwindRow(BASE, 8, -8, 1)

    @pytest.mark.parametrize("encoding", [0x01, 0x04, 0x2B, 0x3B, 0x9B, 0xFF])
    def test_other_encodings(self, encoding: int) -> None:
        assert self.first(b"zR", bytes([encoding]), BASE.to_bytes(4, "little"), b"\x08\0\0\0") is None
