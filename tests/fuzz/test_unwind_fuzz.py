"""Damaged call frame information is no error, and it ends; the table stays in order."""

from __future__ import annotations

import struct
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.loader import builtin
from emulator.loader.dwarf.frame_entries import FrameSection
from emulator.loader.dwarf.unwind import ROW, read_unwind_table
from emulator.loader.image import KernelImage

BASE = 0x100000
CODE = [range(BASE, BASE + 0x10000), range(0xFFFF0000, 1 << 32)]
FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def section_of(kernel: str) -> bytes:
    """Return the beginning of the kernel's .debug_frame."""
    data = KernelImage.read(builtin.resolve(kernel)).data
    start = data.find(struct.pack("<II", 16, 0xFFFFFFFF))
    return data[start : start + 1500]


GOOD = section_of("firmware:demo")


def check(data: bytes, *, is_eh_frame: bool) -> int:
    table = read_unwind_table([FrameSection(data, BASE, is_eh_frame)], CODE)
    rows = list(ROW.iter_unpack(table.rows))
    assert len(rows) == len(table) <= len(data)
    assert all(one[0] < other[0] and one[1:] != other[1:] for one, other in pairwise(rows))
    assert all(row[3] in {1, 2} or row[1:] == (0, 0, 0) for row in rows)
    assert all(table.find(row[0]) == row for row in rows)
    return len(rows)


def test_the_undamaged_section() -> None:
    assert check(GOOD, is_eh_frame=False) > 50


def test_every_truncation() -> None:
    for size in range(0, len(GOOD), 3):
        check(GOOD[:size], is_eh_frame=False)


@FUZZ
@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=5)), min_size=1, max_size=8
    )
)
def test_changed_bytes(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(GOOD)
    for position, new in changes:
        data[position : position + len(new)] = new
    check(bytes(data), is_eh_frame=False)


@FUZZ
@given(st.binary(max_size=60), st.binary(max_size=60), st.booleans())
def test_any_entries(cie: bytes, program: bytes, is_eh_frame: bool) -> None:
    first = struct.pack("<II", len(cie) + 4, 0 if is_eh_frame else 0xFFFFFFFF) + cie
    link = len(first) + 4 if is_eh_frame else 0
    check(first + struct.pack("<IIII", len(program) + 12, link, BASE, 64) + program, is_eh_frame=is_eh_frame)


@FUZZ
@given(st.binary(max_size=80))
def test_any_program(program: bytes) -> None:
    cie = struct.pack("<II", 14, 0xFFFFFFFF) + b"\x01\0\x01\x7c\x08\x0c\x04\x04\x88\x01"
    fde = struct.pack("<IIII", len(program) + 12, 0, BASE, 64) + program
    check(cie + fde, is_eh_frame=False)
