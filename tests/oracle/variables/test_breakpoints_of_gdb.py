"""Breakpoints in functions and lines stand where gdb sets them, in kernels that are compiled in many ways."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.debug.places import read_places
from emulator.loader.functions.prologue import body_of
from tests.helpers.gdb import PROGRAM
from tests.helpers.inlining_kernel import compile_inlining
from tests.helpers.variable_kernel import compile_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

WAYS = [
    ("gcc", "-O0"),
    ("gcc", "-O0", "-mregparm=3"),
    ("gcc", "-O0", "-fpie"),
    ("gcc", "-O0", "-fcf-protection=branch", "-gdwarf-2", "-gstrict-dwarf"),
    ("gcc", "-Og"),
    ("gcc", "-O2"),
    ("gcc", "-O2", "-gdwarf-3"),
    ("gcc", "-Os", "-fno-omit-frame-pointer"),
    ("clang", "-O0"),
    ("clang", "-O1"),
    ("clang", "-O2", "-gdwarf-4", "-fno-omit-frame-pointer"),
]


def places_of_gdb(kernel: Path, names: Sequence[str]) -> dict[str, set[int]]:
    """Return where gdb sets breakpoints; nothing of those that it does not know."""
    commands = [word for name in names for word in ("-ex", f"echo @{name}\\n", "-ex", f"break {name}")]
    done = subprocess.run(
        [PROGRAM, "-q", "-nx", "-batch", *commands, "-ex", "info breakpoints", str(kernel)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    numbers = {number: name for name, number in re.findall(r"@(.*)\n.*\n?Breakpoint (\d+) at", done.stdout)}
    found: dict[str, set[int]] = {}
    for number, address in re.findall(r"^(\d+)(?:\.\d+)? .*(0x[0-9a-f]{8}) in ", done.stdout, re.MULTILINE):
        found.setdefault(numbers[number], set()).add(int(address, 16))
    return found


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("compiled", [compile_variables, compile_inlining])
def test_places_are_those_of_gdb(tmp_path: Path, compiled: Callable[..., Path], way: tuple[str, ...]) -> None:
    kernel = compiled(tmp_path, way[0], "-g", *way[1:])
    image = boot(str(kernel)).image
    symbols = [each for each in image.symbols.values() if image.subprograms.at(each.address) is not None]
    bodies = {each.name: body_of(image, each.address) for each in symbols}
    lines = [f"kernel.c:{number}" for number in image.lines_of_file("kernel.c")]
    theirs = places_of_gdb(kernel, [*bodies, *lines])
    assert {name: body in theirs[name] for name, body in bodies.items()} == dict.fromkeys(bodies, True)
    assert {name: set(read_places(name, image)) for name in lines} == {name: theirs[name] for name in lines}
    assert len(lines) > 10
