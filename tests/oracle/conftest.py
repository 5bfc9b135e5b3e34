"""The self-tests of the PC, which these tests run here and in QEMU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).parents[2] / "firmware"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the self-tests, each process of the tests with its own."""
    build = tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [shutil.which("make") or "make", "-s", "-C", str(FIRMWARE), f"BUILD={build}", "devices"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return build / "devices"
