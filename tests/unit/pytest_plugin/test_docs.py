"""The example in docs/pytest.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.pytest_plugin.conftest import OPTIONS

if TYPE_CHECKING:
    import pytest

DOCS = Path(__file__).parents[3] / "docs" / "pytest.md"


def test_the_example_passes(pytester: pytest.Pytester) -> None:
    files = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert [name for name, _text in files] == ["pytest.ini", "test_kernel.py"]
    for name, text in files:
        (pytester.path / name).write_text(text)
    pytester.runpytest_inprocess(*OPTIONS).assert_outcomes(passed=5)
