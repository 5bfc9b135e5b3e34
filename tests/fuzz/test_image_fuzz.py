"""A damaged kernel file is a `BadImage` or it loads; nothing else comes out, and it ends."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.boot_protocol.boot_state import boot_state
from emulator.boot_protocol.hardware import Hardware
from emulator.boot_protocol.modules import Module
from emulator.errors import BadImage, BootInfoDoesNotFit
from emulator.loader.dwarf.line_header import DebugSections
from emulator.loader.dwarf.source_lines import LineTable
from emulator.loader.image import KernelImage
from emulator.loader.layout import LoadOptions
from emulator.loader.multiboot1 import find_header
from emulator.wording import code_location
from tests.unit.loader import elf_builder as eb
from tests.unit.loader import line_builder as lb
from tests.unit.loader import multiboot2_builder as mb2
from tests.unit.loader.elf_builder import BASE, Elf, Load, Sym, build_elf

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.loader.layout import Protocol

HIGH = 0x8010_0000
PROGRAM = lb.step(0, 8) + lb.step(16, 1) + lb.step(16, 0) + lb.END
LINES = lb.unit(5, lb.TABLES_5, lb.at(HIGH) + PROGRAM) + lb.unit(4, lb.TABLES_2, lb.at(HIGH + 32) + PROGRAM)
MULTIBOOT = struct.pack("<III", 0x1BADB002, 3, -(0x1BADB002 + 3) & 0xFFFFFFFF)
VALID = build_elf(
    Elf(
        loads=[
            Load(BASE, MULTIBOOT + b"\x90" * 52, virtual=HIGH),
            Load(BASE + 0x1000, b"data", 4096, flags=6),
        ],
        entry=HIGH + 0xC,
        symbols=[
            Sym("start", HIGH + 0xC),
            Sym("kmain", HIGH + 0x10, 16, eb.FUNC),
            Sym("memmap", BASE + 0x1000, 20, eb.OBJECT),
            Sym("__end", BASE + 0x2000, section=eb.ABSOLUTE),
        ],
        sections={".debug_line": LINES, ".debug_line_str": lb.LINE_STR},
    )
)
ADDRESSES = (0, BASE, BASE + 0x11, HIGH + 0x11, HIGH + 0x31, BASE + 0x1003, 0xFFFF_FFFF)
INTERESTING = st.sampled_from(
    [0, 1, 4, 31, 32, 0xFF, 0xFF00, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]
) | st.integers(0, 0xFFFF_FFFF)
PROTOCOLS: tuple[Protocol | None, ...] = (None, "multiboot1", "multiboot2")
POSITIONS = st.integers(0, len(VALID) - 1)

Mutation = tuple[int, bytes]


def words(data: tuple[int, int]) -> Mutation:
    position, value = data
    return position // 2 * 2, struct.pack("<I", value)


FLIP = st.tuples(POSITIONS, st.integers(0, 255).map(lambda byte: bytes([byte])))
WORD = st.tuples(POSITIONS, INTERESTING).map(words)
HEADER = st.tuples(st.integers(0, eb.EHDR.size + 2 * eb.PHDR.size), INTERESTING).map(words)
SECTIONS = st.tuples(st.integers(len(VALID) - 7 * eb.SHDR.size, len(VALID) - 4), INTERESTING).map(words)
few_examples = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def use(data: bytes) -> None:
    """Do all that `kmemu` does with a kernel's file before it runs."""
    kernel = KernelImage(data, "k.elf")
    assert kernel.start < kernel.end <= 1 << 32
    assert any(segment.physical <= kernel.physical_entry < segment.end for segment in kernel.segments)
    questions: list[Callable[[], object]] = [
        lambda: find_header(data, "k.elf"),
        lambda: kernel.symbols,
        lambda: kernel.check_fits([(BASE, 0x500000)]),
        *(lambda address=address: kernel.function_at(address) for address in ADDRESSES),
        *(lambda address=address: kernel.source_line(address) for address in ADDRESSES),
        *(lambda address=address: kernel.location(address) for address in ADDRESSES),
    ]
    for question in questions:
        with contextlib.suppress(BadImage):
            question()


def damage(data: bytes, mutations: list[Mutation]) -> bytes:
    changed = bytearray(data)
    for position, new in mutations:
        changed[position : position + len(new)] = new
    return bytes(changed)


def test_the_undamaged_file_is_good() -> None:
    kernel = KernelImage(VALID, "k.elf")
    assert code_location(*kernel.location(HIGH + 0x11)) == "kmain+0x1 (platform/common/entry.S:10)"
    assert code_location(*kernel.location(BASE + 0x1003)) == "0x00101003"
    assert kernel.location(BASE + 0x11)[1:] == kernel.location(HIGH + 0x11)[1:]
    assert find_header(VALID, "k.elf") is not None
    use(VALID)


@few_examples
@given(st.lists(FLIP | WORD | HEADER | SECTIONS, min_size=1, max_size=8))
def test_changed_bytes(mutations: list[Mutation]) -> None:
    with contextlib.suppress(BadImage):
        use(damage(VALID, mutations))


FLAT = (
    struct.pack(
        "<8I",
        0x1BADB002,
        0x10003,
        -(0x1BADB002 + 0x10003) & 0xFFFFFFFF,
        BASE,
        BASE,
        0,
        BASE + 4096,
        BASE + 32,
    )
    + mb2.header(
        mb2.tag(1, 6), mb2.tag(2, BASE + 32, BASE, 0, 0), mb2.tag(3, BASE + 32), mb2.tag(10, 0, 1, 2, 3)
    )
    + b"\x90" * 32
)


@few_examples
@given(
    st.lists(st.tuples(st.integers(0, len(FLAT) - 5), INTERESTING), max_size=4), st.sampled_from(PROTOCOLS)
)
def test_changed_multiboot_headers(changes: list[tuple[int, int]], protocol: Protocol | None) -> None:
    """The checksums are made right again."""
    data = bytearray(damage(FLAT, [words(each) for each in changes]))
    for start, count in ((0, 2), (32, 3)):
        total = sum(struct.unpack_from(f"<{count}I", data, start))
        struct.pack_into("<I", data, start + 4 * count, -total & 0xFFFFFFFF)
    with contextlib.suppress(BadImage, BootInfoDoesNotFit):
        image = KernelImage(bytes(data), "k.bin", LoadOptions(protocol=protocol))
        assert any(each.physical <= image.physical_entry < each.end for each in image.segments)
        image.check_fits([(0, 0xA0000), (BASE, 0x500000)])
        state = boot_state(image, 0x500000, Hardware(), "x", [Module("m", b"1")])
        assert state.registers["eax"] == (0x36D76289 if "2" in type(image.multiboot).__name__ else 0x2BADB002)


def test_every_truncation() -> None:
    for size in range(len(VALID)):
        with contextlib.suppress(BadImage):
            use(VALID[:size])


@few_examples
@given(st.binary(max_size=200))
def test_anything_after_the_magic(data: bytes) -> None:
    with contextlib.suppress(BadImage):
        use(b"\x7fELF\x01\x01\x01" + data)


@few_examples
@given(st.lists(st.tuples(st.integers(0, len(LINES) - 1), st.binary(min_size=1, max_size=4)), max_size=6))
def test_changed_line_programs(mutations: list[Mutation]) -> None:
    changed = damage(LINES, mutations)
    table = LineTable(DebugSections(changed, lb.LINE_STR, lb.LINE_STR))
    for offset in range(0, 64, 4):
        table.find(HIGH + offset)


@few_examples
@given(st.binary(max_size=300), st.sampled_from([2, 3, 4, 5]))
def test_any_tables_and_program(data: bytes, version: int) -> None:
    section = lb.unit(version, data, lb.at(BASE) + data)
    LineTable(DebugSections(section, data, data)).find(BASE)
