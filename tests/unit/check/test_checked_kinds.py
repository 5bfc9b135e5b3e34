"""The kinds of findings that "no findings" speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel, checked_kinds
from emulator.check.findings import Kind
from emulator.check.structures.kernel_checks import kernel_checks
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import known_profile, matching_profile
from emulator.profile.model import PAGES, Profile
from emulator.run.ending import Budget, Ending, How

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

ALWAYS = {
    *(Kind.DOUBLE_FREE, Kind.INVALID_FREE, Kind.OVERLAP, Kind.BAD_RESULT),
    *(Kind.DIED, Kind.FAILED, Kind.DIVERGENCE, Kind.WILD_ACCESS, Kind.STALE_TRANSLATION),
    Kind.NULL_ACCESS,
}
CALLS = {
    *(Kind.DOUBLE_FREE, Kind.INVALID_FREE, Kind.OVERLAP, Kind.BAD_RESULT, Kind.WILD_ACCESS),
    *(Kind.WRONG_SIZE, Kind.WRONG_POOL),
}
LOCKS = {Kind.LOCK_HELD, Kind.LOCK_TWICE}
ALLOC = TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0)


def kinds_of(profile: Profile, how: How = How.EXIT, *, is_rerun: bool = True) -> set[Kind]:
    """Return the kinds that are searched for in a kernel whose structures are not known."""
    return set(
        checked_kinds(profile, Ending(how), None, audited=False, is_rerun=is_rerun, has_sought_stale=True)
    )


def with_free(*parameters: str, pages: bool = False) -> Profile:
    free = TracedFunction("kfree", "heap", Role.FREE, parameters, Result.NONE)
    return Profile("mine", (ALLOC, free), {"heap": PAGES} if pages else {})


@pytest.mark.parametrize(
    ("profile", "more"),
    [
        (with_free("ptr"), set()),
        (with_free("ptr", "size"), {Kind.WRONG_SIZE}),
        (with_free("ptr", "order"), {Kind.WRONG_SIZE}),
        (with_free("ptr", "size", pages=True), set()),
        (with_free("ptr", "pool"), {Kind.WRONG_POOL}),
        (known_profile("btron"), {Kind.WRONG_SIZE, Kind.WRONG_POOL}),
        (known_profile("litecore"), set()),
    ],
)
def test_kinds_that_calls_show(profile: Profile, more: set[Kind]) -> None:
    assert kinds_of(profile) == ALWAYS | LOCKS | {Kind.LEAK} | more


@pytest.mark.parametrize(
    ("how", "by_itself"), [(How.EXIT, True), (How.HALTED, True), (How.BUDGET, False), (How.STOPPED, False)]
)
def test_only_who_ends_by_itself_has_leaks(how: How, *, by_itself: bool) -> None:
    at_end = {Kind.LEAK, Kind.LOCK_HELD} if by_itself else set()
    assert kinds_of(with_free("ptr"), how) == ALWAYS | {Kind.LOCK_TWICE} | at_end


def test_locks_need_a_second_run() -> None:
    assert kinds_of(with_free("ptr"), is_rerun=False) == ALWAYS | {Kind.LEAK}


@pytest.mark.parametrize(
    ("kernel", "kinds"),
    [
        ("demo", {Kind.CORRUPTION, Kind.BITMAP, Kind.RESERVED}),
        ("paging_demo", {Kind.CORRUPTION, Kind.BITMAP, Kind.RESERVED, Kind.MAPPING}),
        ("btron_demo", {Kind.CORRUPTION, Kind.REFCOUNT, Kind.RESERVED, Kind.DEADLOCK, Kind.MAPPING}),
    ],
)
def test_structures_that_are_known(kernel: str, kinds: set[Kind]) -> None:
    def new() -> Machine:
        return boot(f"firmware:{kernel}")

    machine = new()
    profile = matching_profile(machine.image)
    report = check_kernel(machine, profile, new_machine=new)
    unseen = {Kind.DIVERGENCE} | ({Kind.STALE_TRANSLATION} if kernel == "demo" else set())
    assert report.checked == (kinds_of(profile) | kinds) - unseen

    stopped = check_kernel(new(), profile, Budget(max_instructions=200), new_machine=new)
    left_out = {Kind.LEAK, Kind.LOCK_HELD, Kind.DEADLOCK, Kind.NULL_ACCESS, *CALLS, Kind.STALE_TRANSLATION}
    left_out |= {Kind.MAPPING} if kernel == "btron_demo" else set()  # interrupts are still off
    assert not stopped.calls
    assert stopped.checked == report.checked - left_out


def test_structures_that_are_being_changed_were_not_audited() -> None:
    machine = boot("firmware:demo")
    profile = matching_profile(machine.image)
    state = kernel_checks(machine, profile.name)
    assert state is not None
    run = Ending(How.EXIT, 0)
    whole = checked_kinds(profile, run, state, audited=True, is_rerun=True, has_sought_stale=True)
    assert checked_kinds(
        profile, run, state, audited=False, is_rerun=True, has_sought_stale=True
    ) == whole - {Kind.CORRUPTION}
