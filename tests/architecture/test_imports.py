"""Which room may import what: docs/architecture.md, as contracts in pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("emulator", "kernel_model") for path in (ROOT / package).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    """Return the names of all modules that a file imports, wherever in it."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return modules


def test_the_contracts_of_import_linter_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    assert program.exists(), f"import-linter is not installed beside {sys.executable}"
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_sources_to_check() -> None:
    assert len(SOURCES) > 20


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("kernel_model", ("emulator",)),
        ("emulator/devices", ("emulator.machine", "emulator.loader")),
        (
            "emulator/report",
            ("emulator.machine.machine", "emulator.machine.core", "emulator.native", "emulator.replay"),
        ),
    ],
)
def test_no_room_has_a_type_of_what_it_must_not_know(room: str, forbidden: tuple[str, ...]) -> None:
    """Import-linter leaves out imports that are for types only, but a function that takes a machine knows machines."""
    found = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in SOURCES
        if path.is_relative_to(ROOT / room)
        for module in imported_modules(path)
        if module.startswith(tuple(f"{each}." for each in forbidden)) or module in forbidden
    }
    assert not found, "\n".join(sorted(found))


def test_only_the_machine_has_types_of_the_native_core() -> None:
    inside = (ROOT / "emulator" / "machine", ROOT / "emulator" / "native")
    assert not [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if not any(path.is_relative_to(room) for room in inside)
        and any(is_native(module) for module in imported_modules(path))
    ]


def is_native(module: str) -> bool:
    return module == "emulator.native" or module.startswith("emulator.native.")


def test_no_file_imports_the_python_binding_of_unicorn() -> None:
    """The core reaches libunicorn by itself; the binding would cost its import time at every start."""
    imports = {str(path.relative_to(ROOT)): imported_modules(path) for path in SOURCES}
    assert any("capstone" in modules for modules in imports.values())  # what stands in a function counts, too
    assert not [
        path
        for path, modules in imports.items()
        if any(module.split(".")[0] == "unicorn" for module in modules)
    ]
