"""The example of a stranger's kernel: its README's words and its workflow, step by step, in a copy of the folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "stranger"
ELLIPSIS = "..."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy that nothing has been built in."""
    copy = tmp_path / "stranger"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("*.elf", "__pycache__", ".pytest_cache"))
    return copy


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody would who has this Python's kmemu and pytest."""
    programs = folder.parent / "bin"
    programs.mkdir(exist_ok=True)
    for name, module in (("kmemu", "emulator.cli.main"), ("pytest", "pytest")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COLUMNS"))}
    environment = kept | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def steps(text: str) -> list[tuple[str, list[str]]]:
    """Return the commands of the console blocks, each with the lines that are shown below it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def assert_shown(shown: list[str], output: str) -> None:
    """Search for lines in the output, in order; "..." stands for anything in a line, or for any lines."""
    lines = iter(output.splitlines())
    for line in shown:
        if line != ELLIPSIS:
            pattern = re.compile(".*".join(map(re.escape, line.split(ELLIPSIS))))
            assert any(pattern.fullmatch(each) for each in lines), f"{line!r} is not in:\n{output}"


def test_the_readme_step_by_step(folder: Path) -> None:
    done = 0
    for command, shown in steps((folder / "README.md").read_text("utf-8")):
        result = run(command, folder)
        assert result.returncode == 0, f"{command}:\n{result.stdout}"
        assert_shown(shown, result.stdout)
        done += 1
    assert done == 8


def test_what_the_readme_quotes_is_in_the_files(folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    for language, name in (("toml", "stranger.toml"), ("ini", "pytest.ini")):
        quoted = text.partition(f"```{language}\n")[2].partition("```")[0]
        assert quoted
        assert quoted in (folder / name).read_text("utf-8")


def test_every_file_is_in_the_readme(folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    sources = {each.name for each in folder.iterdir() if each.is_file()} - {"README.md", ".gitignore"}
    assert {name for name in sources if not name.endswith(".h") and f"`{name}`" not in text} == set()


def test_the_workflow_runs_what_works(folder: Path) -> None:
    workflow = (folder / ".github" / "workflows" / "kmemu.yml").read_text("utf-8")
    install, *commands = re.findall(r"^ +run: (.*)$", workflow, re.MULTILINE)
    assert install == 'pip install "$KMEMU" pytest drgn'
    assert [command.split()[0] for command in commands] == ["make", "kmemu", "pytest"]
    for command in commands:
        result = run(command, folder)
        assert result.returncode == 0, f"{command}:\n{result.stdout}"


def test_the_kernel_shares_no_code_with_ours() -> None:
    for path in EXAMPLE.glob("*.[chS]"):
        assert "firmware" not in path.read_text("utf-8")
        assert "kmalloc" not in path.read_text("utf-8")
