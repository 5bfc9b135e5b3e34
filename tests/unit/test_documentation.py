"""The commands in README and docs show what the documents show, as far as that is stable.

Addresses, times, sizes and lines of source change with the built-in kernels; the words, the order and the counts do not.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

from emulator.cli.main import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/inspect.md", "docs/trace.md", "docs/fault_injection.md")
BLOCK = re.compile(r"```(?:console|text)\n(.*?)```", re.DOTALL)
FOREIGN = ("kernel.elf", ".kmt", ".core", "pip ", "old.", "new.")  # files that are the reader's
DUMP_ROW = re.compile(r"^[ >]?0x[0-9a-f]{8}:? \S.*$|^ *\^+$|^\|.*|^a cell is .*")
CHANGING = re.compile(
    r"0x[0-9a-f]+|\d+(\.\d+)? ([KMG]iB|B|s|instructions)\b|[\w./]+\.[cS]:\d+|\d+, \d+ of them functions|[0-9,.]+ %|id [0-9a-f]{12}"
)


def examples() -> Iterator[tuple[str, str, list[str]]]:
    """Yield document, command, and the lines that it shows there."""
    for document in DOCUMENTS:
        for block in BLOCK.findall((ROOT / document).read_text()):
            for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, shown = example.partition("\n")
                command = command.partition("  #")[0].strip()
                if (
                    command.startswith("kmemu ")
                    and shown.strip()
                    and not any(word in command for word in FOREIGN)
                ):
                    yield document, command, shown.rstrip().split("\n")


def stable(line: str) -> str:
    """Return a line without what changes with the kernels; "" for a row of a hex dump."""
    return "" if DUMP_ROW.match(line) else " ".join(CHANGING.sub("*", line).split())


@pytest.mark.parametrize(("document", "command", "shown"), list(examples()))
def test_a_command_shows_what_the_document_says(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    document: str,
    command: str,
    shown: list[str],
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    main(shlex.split(command)[1:])
    captured = capsys.readouterr()
    lines = iter([stable(line) for line in (captured.out + captured.err).split("\n")])
    gap = False
    for line in shown:
        if line.strip() == "...":
            gap = True
            continue
        wanted = stable(line.removesuffix("…"))
        is_cut = line.endswith("…")  # as on a terminal
        found = next(lines, "(no more)")
        while gap and found not in (wanted, "(no more)"):
            found = next(lines, "(no more)")
        gap = False
        assert found == wanted or (is_cut and found.startswith(wanted[: wanted.rindex(" ")])), document


def test_there_are_such_examples() -> None:
    assert len(list(examples())) >= 7
