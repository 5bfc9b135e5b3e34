"""From a test to the kernel that it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from emulator.errors import EmulatorError
from emulator.pytest_plugin.checks import KernelChecks
from emulator.pytest_plugin.expectations import expectations_of
from emulator.pytest_plugin.kernel import Kernel
from emulator.pytest_plugin.settings import Mistake, settings_of

if TYPE_CHECKING:
    from emulator.pytest_plugin.machines import Machines
    from emulator.pytest_plugin.settings import Settings


def prepare(item: pytest.Item, base: Settings, machines: object) -> tuple[Kernel, KernelChecks]:
    """Return the kernel for a test, and what the test has to answer for. Whatever is wrong ends the test here."""
    try:
        expected = expectations_of(item)
        settings = settings_of(item, base)
        booted = cast("Machines", machines).booted(settings, recorded=expected.needs_calls)
        kernel = Kernel(booted)
        return kernel, KernelChecks(kernel, booted, expected)
    except (Mistake, EmulatorError) as error:
        problem = "\n".join([str(error), *getattr(error, "__notes__", [])])
    pytest.fail(problem, pytrace=False)  # outside, or pytest would report that other exception, too
