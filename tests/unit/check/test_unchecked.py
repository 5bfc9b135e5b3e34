"""What a check does not claim to have checked, because the run has shown nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from emulator import Mode, attach_layers, boot
from emulator.check.check_report import CheckReport
from emulator.check.checked_run import check_kernel
from emulator.check.findings import OF_ACCESSES, OF_VALUES, Finding, Kind
from emulator.check.unchecked import unchecked_kinds
from emulator.hle.layers import LockstepCalls
from emulator.machine.unanswered import Lack
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from emulator.run.ending import Ending, How
from tests.helpers.guest import FUNCTION, machine_of
from tests.helpers.tiny_litecore import RIGHT, tiny_litecore
from tests.helpers.traces import PROFILE, TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.machine import Machine

BASE = 0x200000
REPORT = CheckReport("k.elf", Ending(How.EXIT, 0), 0, 0, (), {})
OF_FREES = {Kind.DOUBLE_FREE, Kind.INVALID_FREE, Kind.WRONG_SIZE, Kind.WRONG_POOL}
OF_ALLOCATIONS = {Kind.OVERLAP, Kind.BAD_RESULT, Kind.LEAK}
OF_BLOCKS = {*OF_ACCESSES, *OF_VALUES} - {Kind.RETURN_WRITE, Kind.BELOW_STACK}
NOT_SHOWN = {Kind.DIVERGENCE, Kind.STALE_TRANSLATION, Kind.WRONG_SIZE, Kind.WRONG_POOL}


@pytest.fixture(scope="module")
def machine() -> Machine:
    return machine_of(FUNCTION + "hlt")


def unchecked(
    calls: TraceBuilder, folder: Path, machine: Machine, report: CheckReport = REPORT
) -> dict[Kind, str]:
    return unchecked_kinds(report, calls.trace(folder / "t"), machine)


def test_without_a_call_nothing_of_calls_is_checked(tmp_path: Path, machine: Machine) -> None:
    found = unchecked(TraceBuilder(), tmp_path, machine)
    assert set(found) == OF_FREES | OF_ALLOCATIONS | NOT_SHOWN | {Kind.WILD_ACCESS} | OF_BLOCKS
    assert found[Kind.DOUBLE_FREE] == "no call that frees was seen"
    assert found[Kind.LEAK] == "no call that allocates was seen"
    assert found[Kind.WILD_ACCESS] == "no call that allocates or frees was seen"


def test_who_never_frees_shows_no_wrong_free(tmp_path: Path, machine: Machine) -> None:
    found = unchecked(TraceBuilder().call("kmalloc", 24, result=BASE), tmp_path, machine)
    assert set(found) == OF_FREES | NOT_SHOWN | {Kind.USE_AFTER_FREE}
    assert found[Kind.USE_AFTER_FREE] == "no call that frees was seen"


def test_who_never_allocates_shows_no_leak(tmp_path: Path, machine: Machine) -> None:
    found = unchecked(TraceBuilder().call("kfree", BASE), tmp_path, machine)
    assert set(found) == OF_ALLOCATIONS | NOT_SHOWN | OF_BLOCKS
    assert found[Kind.OUT_OF_BOUNDS] == "no call that allocates was seen"


def test_blocks_without_a_size_cannot_be_seen_to_overlap(tmp_path: Path, machine: Machine) -> None:
    calls = TraceBuilder().call("kmalloc", 0, result=BASE).call("kfree", BASE)
    found = unchecked(calls, tmp_path, machine)
    assert set(found) == {Kind.OVERLAP, *NOT_SHOWN, *OF_BLOCKS}
    assert found[Kind.OVERLAP] == found[Kind.OUT_OF_BOUNDS] == "the size of no block is known"


@pytest.mark.parametrize(
    ("frees", "shown"),
    [
        (("kfree", BASE), set()),
        (("free_frames", 0x200, 1), set()),  # a part of a run may be given back
        (("rel_blk", 1, BASE), {Kind.WRONG_POOL}),
    ],
)
def test_sizes_and_pools_have_to_be_said(
    frees: tuple[str, int], shown: set[Kind], tmp_path: Path, machine: Machine
) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=BASE).call(*frees)
    assert set(unchecked(calls, tmp_path, machine)) == NOT_SHOWN - shown


def test_who_takes_ram_to_be_larger_follows_no_wild_pointer(tmp_path: Path, machine: Machine) -> None:
    lack = Lack(None, 0x500000, 1, 1, 0x100000, "", ram_end=0x500000)
    report = REPORT._replace(ending=Ending(How.EXIT, 0, lacks=(lack,)))
    calls = TraceBuilder().call("kmalloc", 24, result=BASE).call("kfree", BASE)
    found = unchecked(calls, tmp_path, machine, report)
    assert found[Kind.WILD_ACCESS] == "the kernel takes RAM to be larger than it is"


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        (None, "no layer ran in lockstep"),
        (LockstepCalls(0, 3), "no call in lockstep was compared"),
        (LockstepCalls(1, 0), None),
    ],
)
def test_models_have_to_be_compared(
    calls: LockstepCalls | None, why: str | None, tmp_path: Path, machine: Machine
) -> None:
    found = unchecked(TraceBuilder(), tmp_path, machine, REPORT._replace(lockstep=calls))
    assert found.get(Kind.DIVERGENCE) == why


def test_the_first_call_may_diverge(tmp_path: Path, machine: Machine) -> None:
    finding = Finding(Kind.DIVERGENCE, "", "a message", None)
    report = REPORT._replace(lockstep=LockstepCalls(), findings=(finding,))
    assert Kind.DIVERGENCE not in unchecked(TraceBuilder(), tmp_path, machine, report)


def test_what_profile_and_ending_do_not_allow_has_its_reason(tmp_path: Path, machine: Machine) -> None:
    report = REPORT._replace(checked=frozenset(Kind) - {Kind.LEAK, Kind.CORRUPTION, Kind.WRONG_SIZE})
    found = unchecked(TraceBuilder(), tmp_path, machine, report)
    assert found[Kind.LEAK] == "the run has not come to its end"
    assert found[Kind.CORRUPTION] == "no such structure is known, or was whole"
    assert found[Kind.WRONG_SIZE] == "no free of the profile has a size"


def test_accesses_of_what_copies_hand_out_are_not_checked(tmp_path: Path, machine: Machine) -> None:
    copy = TracedFunction("kmalloc.inlined", "heap", Role.OTHER, (), Result.NONE, copies=Role.ALLOC)
    calls = TraceBuilder(PROFILE.with_functions((*PROFILE.functions, copy)))
    calls.call("kmalloc", 24, result=BASE).call("kmalloc.inlined").call("kfree", BASE)
    why = "kmalloc is inlined: which blocks it handles there is not known"
    assert {unchecked(calls, tmp_path, machine)[kind] for kind in OF_BLOCKS} == {why}


@pytest.mark.parametrize(
    ("sanitized", "mmu", "why"),
    [
        (False, "fast", "accesses were not checked in this run"),
        (True, "reference", "with --memory reference nobody tells each access"),
        (True, "fast", "there were more bad accesses than are kept"),
    ],
)
def test_why_accesses_were_not_checked(
    tmp_path: Path,
    sanitized: bool,
    mmu: Literal["fast", "reference"],
    why: str,
) -> None:
    report = REPORT._replace(checked=frozenset(Kind) - set(OF_ACCESSES), sanitized=sanitized)
    calls = TraceBuilder().call("kmalloc", 24, result=BASE).call("kfree", BASE)
    found = unchecked(calls, tmp_path, boot("firmware:demo", mmu=mmu), report)
    scope = found.pop(Kind.USE_AFTER_SCOPE)
    assert {found[kind] for kind in OF_ACCESSES if kind in found} == {why}
    needs_kasan = sanitized and mmu == "fast"
    assert scope == ("the kernel was not compiled with KASAN" if needs_kasan else why)


@pytest.mark.parametrize(
    ("follows", "why"),
    [
        (False, "values that were never written were not followed in this run"),
        (True, "there were more bad accesses than are kept"),
    ],
)
def test_why_values_were_not_followed(tmp_path: Path, machine: Machine, *, follows: bool, why: str) -> None:
    checked = frozenset(Kind) - set(OF_VALUES)
    report = REPORT._replace(checked=checked, sanitized=True, uninitialised=follows)
    calls = TraceBuilder().call("kmalloc", 24, result=BASE).call("kfree", BASE)
    found = unchecked(calls, tmp_path, machine, report)
    assert {found[kind] for kind in OF_VALUES} == {why}


@pytest.mark.parametrize(
    ("kernel", "is_checked"), [("demo", False), ("paging_demo", True), ("btron_demo", True)]
)
def test_stale_translations_need_paging(kernel: str, *, is_checked: bool) -> None:
    machine = boot(f"firmware:{kernel}")
    report = check_kernel(machine, matching_profile(machine.image))
    assert (Kind.STALE_TRANSLATION in report.checked) == is_checked
    assert report.checked == frozenset(Kind) - report.unchecked.keys()


def test_a_run_without_calls_in_lockstep_compared_nothing() -> None:
    machine = tiny_litecore(RIGHT, "hlt")
    attach_layers(machine, {"memmap": Mode.LOCKSTEP})
    get = TracedFunction("alloc_frame", "frames", Role.ALLOC, (), Result.FRAME)
    report = check_kernel(machine, Profile("mine", (get,)))
    assert report.lockstep == LockstepCalls(0, 0)
    assert Kind.DIVERGENCE not in report.checked
