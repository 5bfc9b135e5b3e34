"""What the commands write for kernels that never change: built once, kept here, so that no compiler moves an address.

The outputs were written by the code as it was before its rooms were laid. They hold formats and words, ids of findings, and
the bytes of rows; host times are masked. After a change that is meant to show, run ``python -m tests.golden.test_goldens``, which
writes them anew, and read the difference.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Final

import pytest

from emulator.cli.main import main

FOLDER: Final = Path(__file__).parent
KERNELS: Final = sorted((FOLDER / "kernels").glob("*.elf"))
COMMANDS: Final = {
    "boot.json": ("boot", "--json"),
    "check.txt": ("check",),
    "check.json": ("check", "--json"),
    "check.sarif": ("check", "--format", "sarif"),
    "trace.jsonl": ("trace", "--json"),
    "summary.json": ("trace", "--summary", "--json"),
}
MASKED: Final = (
    (re.compile(r'("seconds": )[\d.e-]+'), r"\g<1>0"),
    (re.compile(r"after [\d.]+ s"), "after 0 s"),
    (re.compile(r'("version": )"[^"]*"'), r'\g<1>""'),
    (re.compile(r'"file://[^"]*/"'), '"file:///"'),
)


def written(kernel: Path, command: tuple[str, ...]) -> str:
    """Return what a command writes for a kernel, with what depends on the host masked."""
    name, *options = command
    stream = io.BytesIO()
    with (
        contextlib.redirect_stdout(io.TextIOWrapper(stream, encoding="utf-8", write_through=True)) as out,
        contextlib.chdir(kernel.parent),
    ):
        main([name, kernel.name, *options])
        out.flush()
        text = stream.getvalue().decode()
    for pattern, mask in MASKED:
        text = pattern.sub(mask, text)
    return text


def golden(kernel: Path, name: str) -> Path:
    return FOLDER / "outputs" / f"{kernel.stem}.{name}"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.stem)
def test_a_command_writes_what_it_always_wrote(
    kernel: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert written(kernel, COMMANDS[name]) == golden(kernel, name).read_text()


def test_there_are_goldens() -> None:
    assert len(KERNELS) == 3
    assert len(list((FOLDER / "outputs").iterdir())) == len(KERNELS) * len(COMMANDS)


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C.UTF-8"
    for each in KERNELS:
        for output, words in COMMANDS.items():
            golden(each, output).write_text(written(each, words))
