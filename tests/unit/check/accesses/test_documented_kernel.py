"""The kernel in docs/check.md gets the report that stands there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emulator.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

DOCUMENT: Final = Path(__file__).parents[4] / "docs" / "check.md"
CHANGING: Final = re.compile(r"0x[0-9a-f]+|^id .{12}|\^+|^[ >](?=0x)|/\S*/(?=kernel\.c)", re.MULTILINE)


def blocks(language: str) -> Iterator[str]:
    """Yield the blocks of a language in the section on a kernel of one's own."""
    section = DOCUMENT.read_text().partition("### A kernel of your own")[2].partition("\n## ")[0]
    yield from re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def words(text: str) -> list[str]:
    """Return the lines up to the bytes, without what changes with the compiler."""
    lines = text.partition("Memory state")[0].splitlines()
    return [CHANGING.sub("", line) for line in lines if not line.startswith("  by ")]


def test_the_documented_kernel_gets_the_documented_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (source,), (console,) = blocks("c"), blocks("console")
    (tmp_path / "kernel.c").write_text(source)
    build, profile, check = console.removeprefix("$ ").split("\n$ ")
    subprocess.run(build.split(), check=True)
    (tmp_path / "kernel.toml").write_text(profile.partition("\n")[2] + "\n")
    command, _, shown = check.partition("\n")
    assert main(command.split()[1:]) == 1
    printed = capsys.readouterr().out
    assert words(printed) == words(shown)
    assert len(words(shown)) > 10
    assert printed.splitlines()[-3].startswith("kernel.elf: 1 finding; ")
