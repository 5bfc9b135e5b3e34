"""Kernels in C++ and Rust under the profiles for their allocators: the trace is what the kernel has written of its calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import emulator.profile
from emulator import boot
from emulator.cli.main import main
from emulator.debug.variables import Variables
from emulator.guest.locator import Locator
from emulator.guest.storage import Unavailable
from emulator.machine.consoles import Console
from emulator.profile.functions import Role
from emulator.profile.known import match
from emulator.profile.reader import read_profile
from emulator.run.recorded import record_trace
from emulator.trace.trace import Trace
from kernel_model.audit import Location, LocationKind
from tests.languages.compilers import cpp_kernel, rust_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.profile.model import Profile

PROFILES = Path(emulator.profile.__file__).parent / "kernels"
LETTERS = {Role.ALLOC: "A", Role.FREE: "F", Role.REALLOC: "R"}
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
NO_ALIGN = {"A": 8, "F": 0}  # what the kernel in C++ writes where a function has no such parameter


def traced(kernel: Path, profile: Profile) -> tuple[Trace, list[str]]:
    """Return the trace of a run, and the lines that the kernel wrote."""
    machine = boot(str(kernel))
    path = kernel.with_name("run.kmt")
    with record_trace(machine, path, match(profile, machine.image)):
        machine.run()
    output = machine.output[Console.DEBUG].decode()
    return Trace.read(path), output.splitlines()


def as_written(trace: Trace, words: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield the outermost calls in the kernel's words."""
    functions = {each.name: each for each in trace.functions}
    for call in trace:
        function = functions[call.function]
        letter = LETTERS[function.role]
        values: dict[str, Any] = dict(zip(function.parameters, call.arguments, strict=True))
        values["result"] = call.result
        if call.depth == 0 and (letter != "F" or values["ptr"]):
            numbers = [
                values.get(each, NO_ALIGN.get(letter, 0) if each == "align" else 0) for each in words[letter]
            ]
            yield " ".join([letter, *(f"{number:08x}" for number in numbers)])


CPP_WORDS = {"A": ("size", "align", "result"), "F": ("ptr", "size", "align")}
RUST_WORDS = CPP_WORDS | {"R": ("ptr", "old_size", "align", "size", "result")}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_a_kernel_in_cpp(tmp_path: Path, compiler: str, level: str) -> None:
    kernel = cpp_kernel(tmp_path, compiler, [level, "-g"])
    trace, written = traced(kernel, read_profile(PROFILES / "cpp.toml"))
    assert len(written) > 10
    assert list(as_written(trace, CPP_WORDS)) == written


@pytest.mark.parametrize("mangling", ["legacy", "v0"])
@pytest.mark.parametrize("level", ["0", "1", "2", "3", "s"])
def test_a_kernel_in_rust(tmp_path: Path, level: str, mangling: str) -> None:
    options = [
        "-C",
        f"opt-level={level}",
        "-Z",
        "unstable-options",
        "-C",
        f"symbol-mangling-version={mangling}",
    ]
    trace, written = traced(rust_kernel(tmp_path, options), read_profile(PROFILES / "rust.toml"))
    assert len(written) > 10
    assert list(as_written(trace, RUST_WORDS)) == written


def findings(kernel: Path, profile: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what `kmemu check` finds."""
    main(["check", str(kernel), "--profile", str(PROFILES / profile), "--json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
    return found


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_names_in_cpp(tmp_path: Path, compiler: str) -> None:
    kernel = cpp_kernel(tmp_path, compiler, ["-O2", "-g"])
    trace, _ = traced(kernel, read_profile(PROFILES / "cpp.toml"))
    first = next(iter(trace))
    assert first.function == "operator new(unsigned int)"
    assert [each.function for each in trace.frames(first.stack)] == ["net::receive(int)", "kmain", "_start"]


def test_ids_of_findings_in_rust_last_though_hashes_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for build in ("one", "two"):
        directory = tmp_path / build
        directory.mkdir()
        kernel = rust_kernel(directory, ["-g", "-C", "opt-level=1", "-C", f"metadata={build}"])
        found.append(findings(kernel, "rust.toml", capsys))
    (one,), (two,) = found
    assert one["kind"] == "leak"
    functions = [frame["function"] for frame in one["block"]["allocated"]["stack"]]
    assert "kernel::greeting" in functions
    assert one["id"] == two["id"]


@pytest.mark.parametrize("level", ["0", "2"])
def test_an_enum_in_rust_shows_the_variant_that_it_is(tmp_path: Path, level: str) -> None:
    kernel = rust_kernel(tmp_path, ["-g", "-C", f"opt-level={level}"], "enums.rs")
    machine = boot(str(kernel))
    variables = Variables(machine)
    start = machine.image.symbols["SHAPES"].address
    assert [Locator(machine).field_at(at, at + 1).location for at in (start + 1, start + 13)] == [
        Location(LocationKind.VARIABLE, "SHAPES", start + 8 * item, start + 8 * item + 8, item=item)
        for item in (0, 1)
    ]
    shown = {}
    for name in ("STEPS", "SHAPES", "POINTERS", "ORDERS"):
        found = variables.find(name)
        assert found is not None
        shown[name] = [each.value.text() for each in found.children()]
    address = shown["POINTERS"][1].split()[4]
    assert shown == {
        "STEPS": ["{Back = {__0 = 3}}", "{On = {__0 = 4}}"],
        "SHAPES": ["{Pair = {__0 = 4, __1 = -5}}", "{Empty = {}}", "{Circle = {radius = 7}}"],
        "POINTERS": ["{None = {}}", f"{{Some = {{__0 = {address} <enums::SEVEN>}}}}"],
        "ORDERS": ["{Some = {__0 = Less (255)}}", "{None = {}}"],
    }
    shapes = variables.find("SHAPES")
    assert shapes is not None
    assert shapes.element(2).member("Circle").member("radius").number == 7
    with pytest.raises(Unavailable, match=r"^Shape has no member 'Empty'$"):
        shapes.element(2).member("Empty")
