"""How a run ended, as facts."""

from __future__ import annotations

import pytest

from emulator.errors import EmulatorError
from emulator.run.ending import Ending, How


def test_only_some_kernels_end_a_run_by_themselves() -> None:
    assert [how for how in How if Ending(how).by_itself] == [How.EXIT, How.RESET, How.OFF, How.HALTED]


@pytest.mark.parametrize(
    ("ending", "failed"),
    [
        (Ending(How.EXIT, 0), False),
        (Ending(How.EXIT, 3), True),
        (Ending(How.HALTED), False),
        (Ending(How.RESET), True),
        (Ending(How.OFF), False),
        (Ending(How.BUDGET), False),
        (Ending(How.STOPPED), True),
        (Ending(How.NOT_EMULATED), True),
        (Ending(How.DIVERGED), True),
        (Ending(How.INTERRUPTED), False),
    ],
)
def test_a_kernel_fails_that_cannot_go_on_or_says_so(ending: Ending, *, failed: bool) -> None:
    assert ending.failed is failed


def test_the_exit_code_is_what_qemu_would_exit_with() -> None:
    assert [Ending(How.EXIT, value).exit_code for value in (0, 3)] == [1, 7]
    assert Ending(How.HALTED).exit_code is None


def test_a_problem_is_one_line() -> None:
    assert Ending(How.DIVERGED, error=EmulatorError("one\ntwo")).problem == "one"
    assert Ending(How.EXIT, 3).problem == Ending(How.INTERRUPTED, error=KeyboardInterrupt()).problem == ""


def test_a_signal_is_known_by_its_name_and_ctrl_c_has_none() -> None:
    assert Ending(How.INTERRUPTED, error=KeyboardInterrupt("SIGTERM")).signal == "SIGTERM"
    assert Ending(How.INTERRUPTED, error=KeyboardInterrupt()).signal == ""
    assert Ending(How.STOPPED, error=EmulatorError("SIGTERM")).signal == ""
