"""Entries of debug information: what pyelftools reads of the files of real compilers, and what it does not read."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from elftools.dwarf.enums import ENUM_DW_AT, ENUM_DW_TAG
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

import emulator
from emulator.loader.builtin import resolve
from emulator.loader.dwarf.byte_reader import Damaged
from emulator.loader.dwarf.debug_info import DAMAGE, DebugInfo
from emulator.loader.dwarf.names import ATTRIBUTES, TAGS
from emulator.loader.dwarf.units import Units
from emulator.loader.functions.prototypes import all_prototypes, variable
from emulator.loader.image import KernelImage

if TYPE_CHECKING:
    from elftools.dwarf.dwarfinfo import DWARFInfo

    from emulator.loader.dwarf.entries import Entry, Unit

SOURCE = """
struct list { struct list *next; int size : 5; unsigned char name[3][7]; };
enum colour { RED = -1, GREEN = 7 };
typedef int (*handler)(const struct list *, volatile int, ...);
struct list head; handler h; enum colour paint;
static inline __attribute__((always_inline)) int twice(int x, struct list *l) { int y = x + l->size; return y * 2; }
static __attribute__((noinline)) int helper(struct list *l, unsigned n, int unused)
{
    int a[8];
    for (unsigned i = 0; i < 8; i++) a[i] = n * i;
    return twice(a[n & 7], l);
}
void *alloc(unsigned size, int flags)
{
    if (size) { int inner = helper(&head, size, 3); h(&head, inner + elsewhere(&head, 1)); head.size = twice(inner, &head); }
    return &head;
}
void _start(void) { alloc(16, 0); paint = GREEN; for (;;) ; }
void *memcpy(void *a, const void *b, unsigned n) { char *x = a; const char *y = b; while (n--) *x++ = *y++; return a; }
"""
LINK = "-w -m32 -ffreestanding -fno-pic -static -nostdlib -fno-stack-protector -Wl,--build-id=none,--defsym=elsewhere=0"
WAYS = [
    (compiler, optimised, f"-gdwarf-{version}")
    for compiler in ("gcc", "clang")
    for optimised in ("-O0", "-O2")
    for version in (2, 3, 4, 5)
]


def compiled(directory: Path, compiler: str, *options: str) -> KernelImage:
    (directory / "k.c").write_text(SOURCE)
    pie = ["-no-pie"] if compiler == "gcc" else []
    command = [shutil.which(compiler) or compiler, *LINK.split(), *pie, *options, "-o", "k.elf", "k.c"]
    subprocess.run(command, check=True, cwd=directory)
    return KernelImage.read(directory / "k.elf")


def everything(unit: Unit) -> list[tuple[int, str, dict[str, Any]]]:
    return [(entry.offset, entry.tag, values_of(entry)) for entry in unit.entries()]


def values_of(entry: Entry) -> dict[str, Any]:
    return {
        name: value - entry.unit.start if attribute.is_reference and attribute.form != 0x10 else value
        for name, attribute in entry.attributes.items()
        for value in [attribute.value]
    }


def by_pyelftools(info: DWARFInfo) -> list[list[tuple[int, str, dict[str, Any]]]]:
    return [
        [
            (
                entry.offset,
                str(entry.tag) if entry.tag in TAGS.values() else "",
                {
                    name: bytes(value.value) if isinstance(value.value, list) else value.value
                    for name, value in entry.attributes.items()
                    if name in ATTRIBUTES.values()
                },
            )
            for entry in unit.iter_DIEs()
            if entry.tag is not None
        ]
        for unit in info.iter_CUs()
    ]


@pytest.mark.parametrize("way", WAYS, ids="".join)
def test_entries_are_what_pyelftools_reads(way: tuple[str, ...], tmp_path: Path) -> None:
    image = compiled(tmp_path, *way)
    file: Any = ELFFile(io.BytesIO(image.symbol_data))
    found = [everything(unit) for unit in image.units.info.units]
    assert sum(map(len, found)) > 40
    assert found == by_pyelftools(file.get_dwarf_info())


@pytest.mark.parametrize("way", WAYS, ids="".join)
def test_children_and_parents_are_what_pyelftools_says(way: tuple[str, ...], tmp_path: Path) -> None:
    image = compiled(tmp_path, *way)
    file: Any = ELFFile(io.BytesIO(image.symbol_data))
    unit, theirs = image.units.info.units[0], next(file.get_dwarf_info().iter_CUs())
    for entry in theirs.iter_DIEs():
        if entry.tag is not None:
            mine = unit.entry(entry.offset)
            above, parent = unit.parent(mine), entry.get_parent()
            assert (above and above.offset) == (parent and parent.offset)
            assert [each.offset for each in unit.children(mine)] == [
                each.offset for each in entry.iter_children()
            ]


def test_all_names_that_are_asked_for_are_known() -> None:
    sources = Path(emulator.__file__).parent.rglob("*.py")
    asked = {name for path in sources for name in re.findall(r"DW_(?:TAG|AT)_\w*[a-z]\b", path.read_text())}
    assert len(asked) > 80
    assert asked - {*TAGS.values(), *ATTRIBUTES.values()} == set()


@pytest.mark.parametrize(("names", "known"), [(TAGS, ENUM_DW_TAG), (ATTRIBUTES, ENUM_DW_AT)])
def test_names_have_their_numbers(names: dict[int, str], known: dict[str, int]) -> None:
    assert {name: known[name] for name in names.values()} == {name: number for number, name in names.items()}


@pytest.mark.parametrize("optimised", ["-O0", "-O2"])
@pytest.mark.parametrize("options", [("-gdwarf-5", "-gdwarf64"), ("-gdwarf-4", "-gdwarf64")], ids="".join)
def test_offsets_may_have_64_bits(options: tuple[str, ...], optimised: str, tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    short = all_prototypes(compiled(tmp_path / "short", "gcc", optimised, options[0]))
    assert len(short) > 3
    assert all_prototypes(compiled(tmp_path, "gcc", optimised, *options)) == short


@pytest.mark.parametrize("version", [4, 5])
def test_types_may_be_in_units_of_their_own(version: int, tmp_path: Path) -> None:
    image = compiled(tmp_path, "gcc", "-O2", f"-gdwarf-{version}", "-fdebug-types-section")
    found = variable(image, "paint")
    assert found is not None
    assert (found.type, found.size) == ("enum colour", 4)


def test_a_copy_is_in_the_function_around_it_and_not_in_one_that_is_declared_before() -> None:
    tags = (
        (1, 0x11, 1),
        (2, 0x2E, 1),
        (3, 0x2E, 0),
        (4, 0x0B, 1),
        (5, 0x1D, 0),
    )  # unit, functions, block, copy
    unit = b"\x04\0\0\0\0\0\x04" + bytes((1, 2, 3, 4, 5, 0, 0, 5, 3, 0))
    sections = {
        "info": len(unit).to_bytes(4, "little") + unit,
        "abbrev": b"".join(bytes((*each, 0, 0)) for each in tags) + b"\0",
    }
    units = Units(sections, "made")
    (only,) = units.all()
    first, declared, other = (entry for entry in only.entries() if entry.tag == "DW_TAG_subprogram")
    copies = [entry for entry in only.entries() if entry.tag == "DW_TAG_inlined_subroutine"]
    assert units.inlined(only) == [(copies[0], first), (copies[1], copies[1])]
    assert [declared in around for around in only.walk(frozenset((first.tag,)))] == [False, True, False]
    assert only.parent(other) is only.top


def test_entries_are_not_nested_without_end() -> None:
    unit = b"\x04\0\0\0\0\0\x04" + bytes(1 for _ in range(100_000))
    sections = {"info": len(unit).to_bytes(4, "little") + unit, "abbrev": bytes((1, 0x2E, 1, 0, 0, 0))}
    (only,) = DebugInfo(sections).units
    with pytest.raises(Damaged):
        list(only.walk(frozenset(("DW_TAG_subprogram",))))


@pytest.mark.parametrize(
    ("form", "in_abbreviation", "in_entry", "value"),
    [
        (0x21, b"\x7f", b"", -1),  # implicit_const
        (0x0D, b"", b"\xbf\x7f", -65),  # sdata
        (0x0F, b"", b"\xff\x01", 255),  # udata
        (0x19, b"", b"", 1),  # flag_present
        (0x16, b"", b"\x0d\x7e", -2),  # indirect, sdata
        (0x08, b"", b"text\0", b"text"),  # string
        (0x1E, b"", bytes(range(16)), bytes(range(16))),  # data16
        (0x03, b"", b"\x02\x00ab", b"ab"),  # block2
        (0x27, b"", b"\x01\x00\x00", b"second"),  # strx3
        (0x2C, b"", b"\x01\x00\x00\x00", 0x1234),  # addrx4
    ],
)
def test_forms_have_their_values(form: int, in_abbreviation: bytes, in_entry: bytes, value: object) -> None:
    unit = b"\x05\x00\x01\x04\0\0\0\0" + b"\x01" + in_entry + b"\x02\x0b" + b"\x00"
    abbreviation = (
        bytes((1, 0x11, 1, 0x1C, form)) + in_abbreviation + bytes((0, 0, 2, 0x24, 0, 0x0B, 0x0B, 0, 0, 0))
    )
    sections = {
        "info": len(unit).to_bytes(4, "little") + unit,
        "abbrev": abbreviation,
        "str": b"first\0second\0",
        "str_offsets": bytes(8) + bytes((0, 0, 0, 0, 6, 0, 0, 0)),
        "addr": bytes(8) + bytes((0, 0, 0, 0, 0x34, 0x12, 0, 0)),
    }
    (found,) = DebugInfo(sections).units
    assert found.top.attributes["DW_AT_const_value"].value == value
    (after,) = found.children(found.top)
    assert after.attributes["DW_AT_byte_size"].value == 0x0B


SECTIONS = ("info", "abbrev", "str", "ranges", "rnglists", "loc", "loclists", "line", "str_offsets", "addr")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SECTIONS), st.sampled_from(("demo", "btron_demo")), st.data())
def test_damage_is_refused(section: str, kernel: str, data: st.DataObject) -> None:
    sections = dict(KernelImage.read(resolve(f"firmware:{kernel}")).debug_sections)
    content = bytearray(sections[section] or b"\0" * 16)
    for _ in range(4):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    sections[section] = bytes(content[: data.draw(st.integers(0, len(content)))])
    units = Units(sections, "damaged")
    for unit in units.all():
        try:
            for entry in units.functions(unit).values():
                units.children(entry)
        except DAMAGE:
            continue
    with pytest.raises(DAMAGE):
        DebugInfo(sections).entry(1 << 32)
