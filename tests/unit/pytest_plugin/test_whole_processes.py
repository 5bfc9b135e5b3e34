"""The plugin in processes of their own: as pytest finds it, with xdist, and in projects that do not use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a folder whose tests run in processes of their own, which find this package."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return pytester


def test_pytest_finds_the_plugin_and_workers_boot_for_themselves(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nkmemu_kernel = firmware:demo\nfilterwarnings = error")
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(12))
        def test_same_start(kernel, number):
            assert kernel.call("kmalloc", 64) == kernel.memory.load_u32(kernel.symbol("heap_start")) + 8

        @pytest.mark.kmem_no_leaks
        def test_leak(kernel, worker_id):
            assert worker_id.startswith("gw")
            kernel.call("kmalloc", 64)
        """
    )
    result = project.runpytest_subprocess("-n", "2", "--strict-markers")
    result.assert_outcomes(passed=12, failed=1)
    result.stdout.fnmatch_lines(["1 block allocated in this test and not freed, 64 bytes"])


def test_a_worker_that_dies_loses_its_test_only(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nkmemu_kernel = firmware:demo")
    project.makepyfile(
        """
        import os, signal, pytest

        @pytest.mark.parametrize("number", range(6))
        def test_it(kernel, number):
            if number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            assert kernel.call("kmalloc", 64)
        """
    )
    result = project.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["worker 'gw?' crashed while running *test_it?2?'"])


def test_a_project_that_does_not_use_it_imports_nothing_of_it(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_it():
            loaded = {name for name in sys.modules if name.split(".")[0] in ("emulator", "kernel_model", "numpy")}
            assert loaded == {"emulator", "emulator.testing"}
        """
    )
    project.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)


def test_the_markers_are_listed(project: pytest.Pytester) -> None:
    listed = project.runpytest_subprocess("--markers").stdout.str()
    assert (
        "@pytest.mark.kmem_limit(size, area=None): the most bytes that the test may take at a time" in listed
    )


def test_importing_the_plugin_imports_only_pytest() -> None:
    script = "import sys, pytest; import emulator; before = set(sys.modules); import emulator.testing; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['emulator.testing']"
