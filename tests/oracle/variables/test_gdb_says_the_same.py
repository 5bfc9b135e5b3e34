"""Variables are what gdb shows of the same state of registers and memory, at many instructions of a kernel that is compiled in many ways."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import pytest

from emulator import boot
from emulator.debug.variables import Variables
from emulator.errors import BudgetUsedUp
from emulator.guest.storage import Unavailable
from emulator.loader.dwarf.call_frames import EBP
from emulator.loader.dwarf.locations import located
from emulator.loader.dwarf.value_types import Kind
from tests.helpers.aggregate_kernel import compile_aggregates
from tests.helpers.gdb_core import gdb_levels, write_core
from tests.helpers.variable_kernel import compile_variables

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.debug.values import Value
    from emulator.debug.variables import Variable
    from emulator.machine.machine import Machine

WAYS = [
    ("gcc", "-O0"),
    ("gcc", "-O1"),
    ("gcc", "-O2"),
    ("gcc", "-Os", "-mregparm=3"),
    ("gcc", "-O2", "-gdwarf-2", "-gstrict-dwarf"),
    ("gcc", "-O2", "-gdwarf-3"),
    ("gcc", "-O2", "-gdwarf-4"),
    ("gcc", "-O0", "-gdwarf-4", "-mregparm=3"),
    ("clang", "-O0"),
    ("clang", "-O2", "-fno-omit-frame-pointer"),
    ("clang", "-O1", "-gdwarf-4", "-fno-omit-frame-pointer"),
]
OF_AGGREGATES = [
    ("gcc", "-O0"),
    ("gcc", "-O1", "-fno-omit-frame-pointer"),
    ("gcc", "-O2", "-gdwarf-4"),
    ("gcc", "-O0", "-gdwarf-2", "-gstrict-dwarf"),
    ("clang", "-O0", "-gdwarf-5"),
    ("clang", "-O2", "-gdwarf-4", "-fno-omit-frame-pointer"),
]
STOPS = 24
OPTIMISED_OUT = "<optimised out>"
UNKNOWN = re.compile(r"<[^<>]*not known>")
UNKNOWN_TO_US = re.compile(
    r"e(ax|cx|dx) of this frame is not known|what the caller passed is not known|<not stored yet: "
    r"|its length is not known|its debug information has no place for all of it"
)
UNKNOWN_TO_GDB = "<error reading variable "
"""gdb takes registers that nobody keeps for those of the caller, and shows what lies where a parameter will be."""


def length(path: Path) -> int:
    return boot(str(path)).run().instructions


Texts: TypeAlias = list[tuple[str, str]]
Level: TypeAlias = tuple[Texts, Texts] | None


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_variables_are_those_of_gdb(tmp_path: Path, way: tuple[str, ...]) -> None:
    compare_all(compile_variables(tmp_path, *way), tmp_path)


@pytest.mark.parametrize("way", OF_AGGREGATES, ids=" ".join)
def test_aggregates_are_those_of_gdb(tmp_path: Path, way: tuple[str, ...]) -> None:
    compare_all(compile_aggregates(tmp_path, *way), tmp_path)


def compare_all(path: Path, tmp_path: Path) -> None:
    machine = boot(str(path))
    step = length(path) // STOPS
    stops: list[list[Level]] = []
    cores: list[tuple[Path, int]] = []
    for number in range(STOPS - 1):
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=step)
        stops.append(levels_of(machine))
        cores.append((tmp_path / f"{number}.core", len(stops[-1])))
        write_core(machine, cores[-1][0])
    compared = 0
    for ours, theirs in zip(stops, gdb_levels(path, cores), strict=True):
        assert len(ours) == len(theirs)
        for level, expected in zip(ours, theirs, strict=True):
            if level is not None:
                compared += compare(level[0], expected.arguments) + compare(level[1], expected.variables)
    assert compared > STOPS


def levels_of(machine: Machine) -> list[Level]:
    """Return arguments and local variables of each level; None of one of which gdb knows less."""
    variables = Variables(machine)
    found: list[Level] = [
        (texts(variables.arguments(number)), texts(variables.locals_(number)))
        for number in range(len(variables.levels))
    ]
    return found if has_frame(machine) else [None, *found[1:]]


def has_frame(machine: Machine) -> bool:
    """Return whether gdb can know variables that are counted from EBP: it takes EBP as it is, which is the caller's before a function has set it up."""
    image, eip = machine.image, machine.registers().eip
    function = image.units.function_around(eip)
    bases = [] if function is None else list(located(function, "DW_AT_frame_base"))
    rules = image.frame_rules.at(eip)
    counts_from_ebp = any(each.operations and each.operations[0].op_name == "DW_OP_reg5" for each in bases)
    return not counts_from_ebp or (rules is not None and rules.register == EBP)


def compare(ours: Texts, theirs: dict[str, str]) -> int:
    """Compare variables; return of how many both know the value."""
    assert {name for name, _ in ours} == theirs.keys()
    known = 0
    for name, value in ours:
        expected = theirs[name]
        if UNKNOWN_TO_GDB in expected or "{}" in value:  # of an array of nothing it shows the address
            continue
        if UNKNOWN_TO_US.search(value) is None or "<" in expected:
            assert UNKNOWN.sub("<optimised out>", value) == normal(expected), name
            known += "<" not in value
    return known


def texts(variables: list[Variable]) -> Texts:
    return [(each.name, plain(each.value)) for each in variables]


def plain(value: Value) -> str:
    """Return a value as gdb writes it, with all of its parts."""
    kind = value.type.kind
    if value.type.size is None or kind not in (Kind.STRUCT, Kind.UNION, Kind.ARRAY, Kind.FLOAT):
        return normal(value.text())
    try:
        data = value.storage.read(value.offset, value.type.size or 0)
    except Unavailable as error:
        parts = {plain(each.value) for each in value.children()}
        if kind is Kind.FLOAT or parts == {OPTIMISED_OUT}:
            return normal(f"<{error}>")
        data = b""
    if kind is Kind.FLOAT:
        if len(data) > 8:  # of 80 bits
            return "..."
        return format(float(value.text()), ".17g" if len(data) == 8 else ".9g")
    if kind is Kind.ARRAY and value.type.element.kind is Kind.CHARACTER:
        return quoted(data[:-1] if data.endswith(b"\0") else data)
    parts_in_order = [(each.name, plain(each.value)) for each in value.children()]
    texts = [text if kind is Kind.ARRAY or not name else f"{name} = {text}" for name, text in parts_in_order]
    return f"{{{', '.join(texts)}}}"


def quoted(data: bytes) -> str:
    named = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
    shown = (
        f"\\{named[each]}" if each in named else chr(each) if 32 <= each < 127 else f"\\{each:03o}"
        for each in data
    )
    return f'"{"".join(shown)}"'


def normal(text: str) -> str:
    text = re.sub(r"-?nan(\(0x[0-9a-f]+\))?", "nan", text)
    text = re.sub(r"large = [^,}]*", "large = ...", text)  # numbers of 80 bits
    text = re.sub(r"<optimi[sz]ed out[^>]*>", "<optimised out>", text)
    text = re.sub(r"(0x[0-9a-f]+)( <[^>]*>)", r"\1", text)
    text = re.sub(r"0x0*([0-9a-f]+)", r"0x\1", text)
    text = re.sub(r"\(([A-Z]+(?: \| [A-Z]+)*)\)", r"\1", text)
    return re.sub(r"([A-Z]) \(-?\d+\)", r"\1", text)
