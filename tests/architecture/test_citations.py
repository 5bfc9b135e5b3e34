"""What comments and documents cite is there: sections of the specification, decisions, files and modules of the project."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SPECIFICATION = ROOT / "docs" / "spec" / "memory-subsystems.md"
SUFFIXES = {".py", ".c", ".h", ".S", ".ld", ".md", ".toml", ".js", ".in"}
NOT_OURS = (
    "emulator/native/_core.c",
    "emulator/report/html/vendor/",
    "firmware/build/",
    "tests/data/",
    "tests/architecture/test_citations.py",
    "CHANGELOG.md",
)
ROOMS = ("emulator", "kernel_model", "firmware", "tests", "docs", "benchmarks", "examples")

SECTION = re.compile(
    r"(?<!Multiboot )\b(?:spec|specification)\b,? \(?(\d\.\d(?:(?:, | and | to |, and )\d\.\d)*)",
    re.IGNORECASE,
)
FACT = re.compile(r"architecture\.md, fact (\d+)")
DECISION = re.compile(r"\bdecisions? (\d{1,4})\b")
TARGET = re.compile(r"`make ([a-z-]+)")
OPTION = re.compile(r"`(?:kmemu [^`\n]*)?(--[a-z][a-z-]+)")
PATH = re.compile(
    rf"(?<![\w/.-])((?:{'|'.join(ROOMS)}|design|shared)/[\w./-]*\.(?:py|c|h|S|md|js|toml|html|css))\b"
)
LINKED = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[\w-]*)?\)")
MODULE = re.compile(r"`+((?:emulator|kernel_model)(?:\.\w+)+)`+")


class Citation(NamedTuple):
    """Something cited, and where."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


@cache
def sources() -> tuple[tuple[str, str], ...]:
    """Name and text of every file of the project that may cite."""
    paths = [path for path in ROOT.glob("*.*") if path.is_file()]
    paths += [path for room in ROOMS for path in (ROOT / room).rglob("*.*") if path.is_file()]
    names = [(str(path.relative_to(ROOT)), path) for path in sorted(paths) if path.suffix in SUFFIXES]
    return tuple((name, path.read_text()) for name, path in names if not name.startswith(NOT_OURS))


def citations(pattern: re.Pattern[str], suffixes: tuple[str, ...] = ()) -> list[Citation]:
    """Return everything that *pattern* finds, in files with one of *suffixes*, or in all."""
    return [
        Citation(name, text.count("\n", 0, found.start()) + 1, found.group(1))
        for name, text in sources()
        if not suffixes or name.endswith(suffixes)
        for found in pattern.finditer(text)
    ]


def sections(text: str) -> list[str]:
    """Return the sections that a citation names: "1.2 and 1.3" is two, "2.2 to 2.4" three.

    >>> sections("1.2 to 1.4 and 2.1")
    ['1.2', '1.3', '1.4', '2.1']
    """
    named: list[str] = []
    for joint, part, number in re.findall(r"(to )?(\d)\.(\d)", text):
        first = int(named[-1].split(".")[1]) + 1 if joint else int(number)
        named += [f"{part}.{each}" for each in range(first, int(number) + 1)]
    return named


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name in one, or an attribute of that."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.util.find_spec(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        if found is not None:
            value: object = importlib.import_module(".".join(parts[:end]))
            for name in parts[end:]:
                if not hasattr(value, name):
                    return False
                value = getattr(value, name)
            return True
    return False


def test_cited_sections_of_the_specification_are_there() -> None:
    written = set(re.findall(r"^### (\d\.\d) ", SPECIFICATION.read_text(), re.MULTILINE))
    cited = citations(SECTION)
    assert len(cited) > 25
    missing = [cite for cite in cited for section in sections(cite.what) if section not in written]
    assert not missing, "\n".join(map(str, missing))


def test_cited_decisions_are_there() -> None:
    written = {path.name[:4] for path in (ROOT / "docs" / "decisions").glob("*.md")}
    cited = citations(DECISION)
    assert cited
    missing = [cite for cite in cited if cite.what.zfill(4) not in written]
    assert not missing, "\n".join(map(str, missing))


def test_cited_facts_are_there() -> None:
    facts = (ROOT / "docs" / "architecture.md").read_text().partition("## Facts")[2].partition("\n## ")[0]
    written = set(re.findall(r"^(\d+)\. ", facts, re.MULTILINE))
    cited = citations(FACT)
    assert cited
    missing = [cite for cite in cited if cite.what not in written]
    assert not missing, "\n".join(map(str, missing))


def test_cited_files_are_there() -> None:
    cited = citations(PATH)
    assert len(cited) > 40
    missing = [cite for cite in cited if not (ROOT / cite.what).exists() and "NAME" not in cite.what]
    assert not missing, "\n".join(map(str, missing))


def test_links_of_documents_lead_somewhere() -> None:
    cited = citations(LINKED, (".md",))
    assert len(cited) > 20
    missing = [cite for cite in cited if not ((ROOT / cite.file).parent / cite.what).exists()]
    assert not missing, "\n".join(map(str, missing))


def test_cited_targets_of_make_are_there() -> None:
    written = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    cited = citations(TARGET, (".md",))
    assert len(cited) > 10
    missing = [cite for cite in cited if cite.what not in written]
    assert not missing, "\n".join(map(str, missing))


def test_cited_options_are_there() -> None:
    """Of any command; those of tools that `make` runs stand in their own sources."""
    tools = (
        (ROOT / "tests").rglob("*.py"),
        (ROOT / "emulator" / "cli").rglob("*.py"),
        (ROOT / "benchmarks").rglob("*.py"),
    )
    written = {
        option
        for paths in tools
        for path in paths
        for option in re.findall(r'"(--[a-z-]+)"', path.read_text())
    }
    cited = citations(OPTION, (".md",))
    assert len(cited) > 50
    missing = [cite for cite in cited if cite.what not in written]
    assert not missing, "\n".join(map(str, missing))


def test_cited_modules_are_there() -> None:
    cited = citations(MODULE)
    assert len(cited) > 20
    missing = [cite for cite in cited if not resolves(cite.what)]
    assert not missing, "\n".join(map(str, missing))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2", ["1.2"]),
        ("1.2 and 1.4", ["1.2", "1.4"]),
        ("2.2 to 2.4", ["2.2", "2.3", "2.4"]),
        ("1.1, 1.3 to 1.5", ["1.1", "1.3", "1.4", "1.5"]),
    ],
)
def test_several_sections_are_distinguished(text: str, expected: list[str]) -> None:
    assert sections(text) == expected
