"""The rooms of the native core are layers, and each part of a machine is one file's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
from elftools.elf.elffile import ELFFile

NATIVE = Path(__file__).parents[2] / "emulator" / "native"
LAYERS = ("analysis", "unicorn", "core", "record", "observe")  # machine.h says the same
FILES = sorted(path for room in LAYERS for path in (NATIVE / room).glob("*.[ch]"))
PAIRS = {"core/snapshots": "core/ram", "unicorn/translation": "unicorn/counting"}
"""File -> the one whose structure it shares."""

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def code_of(path: Path) -> str:
    return COMMENT.sub("", path.read_text())


def includes_of(path: Path) -> list[str]:
    return re.findall(r'#include "(.*)"', path.read_text())


def unit_of(path: Path) -> str:
    return str(path.relative_to(NATIVE).with_suffix(""))


@pytest.mark.parametrize("path", FILES, ids=unit_of)
def test_a_file_includes_headers_of_its_own_room_and_of_those_to_the_left(path: Path) -> None:
    allowed = LAYERS[: LAYERS.index(path.parent.name) + 1]
    rooms = {name.split("/")[0] for name in includes_of(path) if "/" in name}
    assert rooms <= set(allowed)
    assert {name for name in includes_of(path) if "/" not in name} <= {"machine.h", "core.h"}


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".c"], ids=unit_of)
def test_a_file_declares_no_function_of_another(path: Path) -> None:
    """That would go past the headers."""
    assert re.findall(r"^extern .*\(.*", code_of(path), re.MULTILINE) == []


@pytest.mark.parametrize("path", sorted((NATIVE / "analysis").glob("*.[ch]")), ids=unit_of)
def test_analysis_knows_no_machine(path: Path) -> None:
    assert [name for name in includes_of(path) if not name.startswith("analysis/")] == []


def parts() -> dict[str, str]:
    """Return the parts of a machine, by the structure's name: the file that owns it."""
    body = re.search(r"struct kc \{(.*?)\n\};", code_of(NATIVE / "machine.h"), re.DOTALL)
    assert body
    names = re.findall(r"struct (\w+) \*\1;", body[1])
    owners = {name: {unit_of(path) for path in FILES if defines(path, name)} for name in names}
    assert all(len(units) == 1 for units in owners.values()), owners
    return {name: units.pop() for name, units in owners.items()}


def defines(path: Path, name: str) -> bool:
    return re.search(rf"^struct {name} \{{", code_of(path), re.MULTILINE) is not None


def test_each_part_is_used_by_the_file_that_owns_it() -> None:
    owners = parts()
    assert len(owners) > 12
    strangers = [
        (unit_of(path), name)
        for path in FILES
        for name in re.findall(r"->(\w+)->", code_of(path))
        if name in owners and owners[name] not in {unit_of(path), PAIRS.get(unit_of(path))}
    ]
    assert strangers == []


def test_the_table_of_parts_names_their_owners() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\w/]+)\.c\b", (NATIVE / "README.md").read_text(), re.MULTILINE)
    assert dict(rows) == parts()


def test_each_replaced_function_of_libunicorn_has_a_row_in_the_notes_on_porting() -> None:
    table = (
        (NATIVE / "unicorn" / "PORTING.md")
        .read_text()
        .partition("## Replaced functions")[2]
        .partition("\n## ")[0]
    )
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = [(names(row), "(called)" in row) for row in rows]
    replaced = replaced_functions()
    assert len(replaced) > 25
    assert replaced - {name for possible, _ in named for each in possible for name in each} == set()
    assert [
        each for possible, called in named if not called for each in possible if not replaced & each
    ] == []


def names(row: str) -> list[set[str]]:
    """Return what each function of a row may be called: a prefix of the first is not repeated."""
    return [{name, f"helper_{name}"} for name in re.findall(r"`(\w+)`", row)]


def replaced_functions() -> set[str]:
    """Return the functions of libunicorn that the core exports, without the suffix of the engine for x86."""
    with (NATIVE / "_core.abi3.so").open("rb") as stream:
        symbols: list[Any] = list(cast("Any", ELFFile(stream).get_section_by_name(".dynsym")).iter_symbols())
    exported = {symbol.name for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF"}
    of_unicorn = {name for name in exported if name.endswith("_x86_64") or name == "helper_uc_tracecode"}
    return {name.removesuffix("_x86_64") for name in of_unicorn}


def test_what_knows_the_engine_from_inside_stands_in_its_room() -> None:
    """Functions of libunicorn by name, and numbers of its translator."""
    inside = re.compile(r"_x86_64\b|\bhelper_\w+\(|\btcg_|\bdlsym\b")
    outside = [path for path in NATIVE.rglob("*.[ch]") if path.parent.name != "unicorn"]
    assert len(outside) > 20
    assert [
        unit_of(path) for path in outside if path.name != "_core.c" and inside.search(code_of(path))
    ] == []
