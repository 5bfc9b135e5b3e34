"""A whole run of pytest with the plugin, from the start of the process to its end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import Row, at_most, medians, process_seconds

TESTS = 1000
BODY = """
    for size in (8, 16, 32, 64, 128):
        kernel.call("kfree", kernel.call("kmalloc", size))
"""
EMPTY = "    pass\n"
RUNS = 3
ROOT = Path(__file__).parents[1]


def thousand_tests() -> Row:
    """Tests that reset the kernel and call it ten times, against tests that do nothing."""
    with TemporaryDirectory() as folder:
        commands = [
            command_of(Path(folder) / name, code)
            for name, code in (
                ("kernel", test_file("kernel", BODY)),
                (
                    "leaks",
                    "import pytest\npytestmark = pytest.mark.kmem_no_leaks\n" + test_file("kernel", BODY),
                ),
                ("nothing", test_file("", EMPTY)),
            )
        ]
        os.environ["PYTHONPATH"] = str(ROOT)
        kernel_s, leaks_s, nothing_s = medians(
            RUNS, *(lambda command=command: process_seconds(command, 0) for command in commands)
        )
    return Row(
        name="pytest",
        what=f"pytest of {TESTS} tests: reset + 10 calls of the guest in each",
        measured=f"{kernel_s:.1f} s",
        peer=f"tests that do nothing {nothing_s:.1f} s",
        ratio=kernel_s / nothing_s,
        target=at_most(kernel_s, 10, "<= 10 s"),
        notes=(f"pytest: with kmem_no_leaks on each test {leaks_s:.1f} s",),
    )


def test_file(fixture: str, body: str) -> str:
    """Return the code of all tests."""
    return "\n".join(f"def test_{number}({fixture}):\n{body}" for number in range(TESTS))


def command_of(folder: Path, code: str) -> list[str]:
    """Write a project; return the command that runs its tests."""
    folder.mkdir()
    (folder / "test_all.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\nkmemu_kernel = firmware:demo\n")
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
