"""Projects that test a kernel with the plugin, each in a folder of its own."""

from __future__ import annotations

import re
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Protocol

import pytest
from _pytest.pytester import SysModulesSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPTIONS = (
    *("--strict-markers", "--strict-config"),
    *("-p", "no:cacheprovider"),
    *("-p", "no:hypothesispytest"),  # it takes a second
)


@pytest.fixture(autouse=True)
def _libraries_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let pytester forget after a run what the project has, and nothing else.

    Some libraries cannot be imported twice by a process. The others would stay in memory once for each run, and take time.
    """
    projects = str(tmp_path.parent)

    def is_library(name: str) -> bool:
        return not str(getattr(sys.modules[name], "__file__", None)).startswith(projects)

    monkeypatch.setattr(
        "_pytest.pytester.SysModulesSnapshot",
        lambda preserve: SysModulesSnapshot(is_library),  # noqa: ARG005 - its name
    )


class Run(Protocol):
    """Runs a project's tests: its code and, by name, its configuration and pytest's own options."""

    def __call__(self, code: str, *options: str, **configuration: str) -> pytest.RunResult: ...


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Return what runs a test file in this process; warnings are errors there, but for a configuration that says otherwise."""

    def run(code: str, *options: str, **configuration: str) -> pytest.RunResult:
        settings = {"kmemu_kernel": "firmware:demo", "filterwarnings": "error"} | configuration
        lines = [f"{name} = {value}" for name, value in settings.items() if value]
        pytester.makeini("\n".join(["[pytest]", *lines]))
        pytester.makepyfile("import pytest\n" + dedent(code))
        return pytester.runpytest_inprocess(*OPTIONS, *options)

    return run


@pytest.fixture
def failure(run: Run) -> Callable[..., list[str]]:
    """Return what runs a file with one test, which fails, and returns what pytest says about it, line by line."""

    def failure(code: str, *options: str, **configuration: str) -> list[str]:
        result = run(code, *options, **configuration)
        outcomes = result.parseoutcomes()
        assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 1, outcomes
        assert "passed" not in outcomes
        return report_of(result)

    return failure


def report_of(result: pytest.RunResult) -> list[str]:
    """Return the lines of the one report between its title and the summary."""
    lines = result.outlines
    titles = [index for index, line in enumerate(lines) if re.match(r"__+ .* __+$", line)]
    assert len(titles) == 1, result.stdout.str()
    end = next(index for index, line in enumerate(lines) if "short test summary" in line)
    return lines[titles[0] + 1 : end]
