"""Processes for mutants: each is a copy of the one that has collected the tests."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


class FirstFailure:
    """Plugin for pytest that notes the first test that fails.

    Attributes:
        failed: Its id; "" for none.
    """

    failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the test if it fails."""
        if report.failed and not self.failed:
            self.failed = report.nodeid


def fork() -> int:
    """Return 0 in the copy, else its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of numpy are idle
        return os.fork()


def silence_output() -> None:
    """Let what this process and its children print go nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
