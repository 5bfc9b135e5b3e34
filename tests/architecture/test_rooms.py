"""The rooms: what a package makes public stands in its `__all__`, nobody outside imports the rest, and tests mirror the rooms."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import emulator

ROOT = Path(__file__).parents[2]
TOPS = ("emulator", "kernel_model")
CHOSEN_BY_NAME = {
    "emulator.bios.video",  # services are known by their interrupt
    "emulator.cli.commands",  # the command line imports the module that bears the command's name
}
NOT_SOURCES = {"examples", "mutation"}  # folders of tests/unit that test something else than a room


class Import(NamedTuple):
    """A module that imports another one."""

    importer: str
    imported: str


def dotted(path: Path) -> str:
    """Return the name of the module, or package, in a file."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


@cache
def modules() -> dict[str, Path]:
    """All modules and packages by name, but the top of the public interface."""
    paths = [path for top in TOPS for path in (ROOT / top).rglob("*.py")]
    return {dotted(path): path for path in sorted(paths)}


@cache
def packages() -> dict[str, tuple[str, ...]]:
    """The modules that each package says are public; not of `emulator` itself, whose public names are no modules."""
    found = {}
    for name, path in modules().items():
        if path.name == "__init__.py" and name != "emulator":
            public, homes = assigned(path, "__all__") or (), assigned(path, "_HOMES") or ()
            found[name] = tuple(each for each in public if each not in homes)
    return found


def assigned(path: Path, variable: str) -> Any:  # noqa: ANN401 - a literal
    """Return the literal that a module assigns to a variable of its own; None: it does not."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == variable:
            return ast.literal_eval(node.value)
    return None


@cache
def imports() -> tuple[Import, ...]:
    """All imports of our modules by our modules, also those for types only and those inside of functions."""
    found = set()
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {Import(name, alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & modules().keys()
                found |= {Import(name, each) for each in inner or {node.module}}
    found |= {Import("emulator", home) for home in emulator._HOMES.values()}  # noqa: SLF001 - the public interface
    return tuple(sorted(each for each in found if each.imported in modules()))


def is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def doors(each: Import) -> list[tuple[str, str]]:
    """Return the packages that an import enters from outside, each with the name that it goes through."""
    parts = each.imported.split(".")
    ways = [(".".join(parts[:end]), parts[end]) for end in range(1, len(parts))]
    return [
        (package, child)
        for package, child in ways
        if package in packages() and not is_inside(each.importer, package)
    ]


def used_from_outside(package: str) -> set[str]:
    return {child for each in imports() for door, child in doors(each) if door == package}


def test_there_are_rooms_to_check() -> None:
    assert len(packages()) > 20
    assert len(imports()) > 500


def test_each_room_says_what_is_public() -> None:
    """Also if it is nothing. `emulator.native` is entered by import-linter's own contract."""
    silent = [
        name
        for name in packages()
        if name != "emulator.native" and "\n__all__ = " not in modules()[name].read_text()
    ]
    assert silent == []


@pytest.mark.parametrize("package", packages())
def test_a_room_is_entered_through_its_public_modules_only(package: str) -> None:
    secret = {
        f"{each.importer} imports {each.imported}"
        for each in imports()
        for door, child in doors(each)
        if door == package and child not in packages()[package]
    }
    assert not secret, "\n".join(sorted(secret))


@pytest.mark.parametrize("package", sorted(packages().keys() - CHOSEN_BY_NAME))
def test_what_a_room_makes_public_is_used_outside(package: str) -> None:
    assert sorted(set(packages()[package]) - used_from_outside(package)) == []


@pytest.mark.parametrize("package", packages())
def test_what_a_room_makes_public_is_there(package: str) -> None:
    assert [child for child in packages()[package] if f"{package}.{child}" not in modules()] == []


def test_unit_tests_mirror_the_rooms() -> None:
    folders = {
        path.parent.relative_to(ROOT / "tests" / "unit") for path in (ROOT / "tests" / "unit").rglob("*.py")
    }
    strays = [
        str(folder)
        for folder in sorted(folders)
        if folder.parts
        and folder.parts[0] not in NOT_SOURCES
        and not any((ROOT / top / folder / "__init__.py").exists() for top in (".", "emulator"))
    ]
    assert strays == []
