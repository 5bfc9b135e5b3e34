"""Lockstep empties the engine's TLB at each call: the guest's CPU has forgotten nothing by that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.profile.known import known_profile

if TYPE_CHECKING:
    from emulator.check.check_report import CheckReport


def checked(kernel: str, mode: str) -> CheckReport:
    machine = boot(kernel, layers={"paging": mode, "memmap": mode})  # type: ignore[dict-item] # one of the modes
    return check_kernel(machine, known_profile("litecore"))


@pytest.mark.parametrize("mode", ["native", "lockstep"])
def test_stale_ones_are_found_and_used_all_the_same(mode: str) -> None:
    report = checked("firmware:bad_stale_tlb", mode)
    assert [each.kind for each in report.findings] == [Kind.STALE_TRANSLATION]
    assert report.lockstep is None or report.lockstep.compared > 0


@pytest.mark.parametrize("mode", ["native", "lockstep"])
def test_there_are_none_in_a_right_kernel(mode: str) -> None:
    assert checked("firmware:bad_stale_tlb_ok", mode).findings == ()
