"""Every kind of finding has a kernel that provokes it, and a twin without the defect: none missed, no false alarm.

Where a finding has to point to is marked in the kernel's source, by a comment: ``finding: KIND``, or
``finding: KIND in FUNCTION`` where that is not in the scenario's own source.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from emulator import Mode, boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import OF_ACCESSES, OF_VALUES, Kind
from emulator.loader.builtin import DEFECTS, resolve
from emulator.loader.image import KernelImage
from emulator.profile.known import match, matching_profile
from emulator.profile.reader import read_profile
from emulator.run.ending import Budget, How

if TYPE_CHECKING:
    from emulator.check.check_report import CheckReport
    from emulator.check.findings import Finding
    from emulator.guest.symbolizer import Frame
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile

SCENARIOS: Final = Path(__file__).parents[2] / "firmware" / "scenarios"
EXPECTED: Final = {
    "bad_double_free": {Kind.DOUBLE_FREE},
    "bad_wild_free": {Kind.INVALID_FREE},
    "bad_inner_free": {Kind.INVALID_FREE},
    "bad_wild_access": {Kind.WILD_ACCESS},
    "bad_null_access": {Kind.NULL_ACCESS},
    "bad_overlap": {Kind.OVERLAP},
    "bad_align": {Kind.BAD_RESULT},
    "bad_place": {Kind.BAD_RESULT},
    "bad_pool": {Kind.WRONG_POOL},
    "bad_overflow": {Kind.CORRUPTION},
    "bad_late_write": {Kind.CORRUPTION},
    "bad_below_stack": set(),  # the same as the next one
    "bad_return": set(),  # with --sanitize: test_checked_accesses.py
    "bad_mapped_leak": {Kind.LEAK},
    "bad_mapped_free": {Kind.MAPPING},
    "bad_bitmap": {Kind.BITMAP},
    "bad_reserved": {Kind.RESERVED},
    "bad_leak": {Kind.LEAK},
    "bad_lock": {Kind.LOCK_HELD},
    "bad_lock_twice": {Kind.LOCK_TWICE},
    "bad_fit": {Kind.DIVERGENCE},
    "bad_divide": {Kind.DIED},
    "bad_exit": {Kind.FAILED},
    "bad_stale_tlb": {Kind.STALE_TRANSLATION},
    "btron_bad_size": {Kind.WRONG_SIZE},
    "btron_bad_round": {Kind.WRONG_SIZE},
    "btron_bad_refcount": {Kind.REFCOUNT},
    "btron_bad_null": {Kind.NULL_ACCESS, Kind.FAILED},
    "btron_bad_stack": {Kind.NULL_ACCESS, Kind.DIED},
    "vm_bad_table": {Kind.LEAK},
    "vm_bad_shared": {Kind.MAPPING},
    "vm_bad_writable": {Kind.MAPPING},
    "btron_bad_wait": {Kind.DEADLOCK},
}
ARENAS: Final = ("bad_wild_access", "bad_overlap", "bad_align", "bad_place", "bad_pool")
LOCKSTEP: Final = ("bad_fit",)
NEVER_ENDS: Final = "bad_lock_twice"
BUDGET: Final = Budget(max_instructions=3_000_000)

#: The lock itself is taken in a function that is inlined, so a line of its header is all that is known.
WITHOUT_LINE: Final = frozenset({Kind.LOCK_HELD, Kind.LOCK_TWICE})

_MARKER = re.compile(r"/\* finding: ([a-z-]+)(?: in (\w+))? \*/")
_FUNCTION = re.compile(r"^[a-z].*?(\w+)\([^;]*$")


class Where(NamedTuple):
    """What a finding says, as far as the sources can foretell it.

    Attributes:
        kind: Of the finding.
        function: In the scenario's own source; "": none is named.
        line: There; 0: none is named.
    """

    kind: str
    function: str
    line: int


def marked(name: str) -> list[Where]:
    """Return what the comments in a scenario's source foretell."""
    found, function = [], ""
    for line, text in enumerate((SCENARIOS / f"{name}.c").read_text().splitlines(), 1):
        begun = _FUNCTION.match(text)
        function = begun[1] if begun else function
        for kind, elsewhere in _MARKER.findall(text):
            if elsewhere:
                found.append(Where(kind, elsewhere, 0))
            elif Kind(kind) is Kind.FAILED:  # that is said of the whole run
                found.append(Where(kind, "", 0))
            else:
                found.append(Where(kind, function, 0 if Kind(kind) in WITHOUT_LINE else line))
    return sorted(found)


def pointed_to(finding: Finding, name: str) -> Where:
    """Return the main stack of a finding: the innermost line of the scenario's own source."""
    stack = _main_stack(finding)
    own = [frame for frame in stack if frame.file.endswith(f"scenarios/{name}.c")]
    if own and finding.kind not in WITHOUT_LINE:
        return Where(finding.kind.value, own[0].function, own[0].line)
    return Where(finding.kind.value, next((frame.function for frame in stack if not frame.inlined), ""), 0)


def _main_stack(finding: Finding) -> tuple[Frame, ...]:
    if finding.faulting_write is not None:
        return finding.faulting_write.backtrace
    if finding.kind is Kind.LEAK and finding.block is not None:
        return finding.block.allocated.backtrace
    return finding.call_site.backtrace if finding.call_site is not None else ()


def checked(kernel: str) -> CheckReport:
    def new_machine() -> Machine:
        layers = {"heap": Mode.LOCKSTEP} if kernel.removesuffix("_ok") in LOCKSTEP else {}
        return boot(f"firmware:{kernel}", layers=layers)

    return check_kernel(new_machine(), profile_of(kernel), BUDGET, new_machine=new_machine, walk_every=1)


def profile_of(kernel: str) -> Profile:
    image = KernelImage.read(resolve(f"firmware:{kernel}"))
    if kernel.removesuffix("_ok") in ARENAS:
        return match(read_profile(SCENARIOS / "arena.toml"), image)
    return matching_profile(image)


def test_no_kind_is_without_a_kernel_and_no_kernel_without_a_kind() -> None:
    assert list(EXPECTED) == list(DEFECTS)
    assert set().union(*EXPECTED.values()) == set(Kind) - {
        *(*OF_ACCESSES, *OF_VALUES)  # those: test_checked_accesses.py, test_uninitialised_uses.py
    }


@pytest.mark.parametrize("name", EXPECTED)
def test_the_defect_is_found_where_it_is(name: str) -> None:
    foretold = marked(name)
    assert {Kind(each.kind) for each in foretold} == EXPECTED[name]
    report = checked(name)
    assert sorted(pointed_to(finding, name) for finding in report.findings) == foretold


@pytest.mark.parametrize("name", EXPECTED)
def test_the_twin_is_clean(name: str) -> None:
    report = checked(f"{name}_ok")
    assert report.findings == ()
    assert (report.ending.how, report.ending.exit_value) == (How.EXIT, 0)
    assert report.calls


def test_a_kernel_that_never_ends_is_stopped_by_the_budget() -> None:
    assert checked(NEVER_ENDS).ending.how is How.BUDGET


@pytest.mark.parametrize(
    "name",
    [
        *("fragment", "exhaust", "stress", "btron_pools_wait", "btron_stress"),
        *("vm_demo", "vm_share", "vm_stack_growth", "vm_fault", "vm_churn"),
    ],
)
def test_a_kernel_that_does_nothing_wrong_is_clean(name: str) -> None:
    machine = boot(f"firmware:{name}", command_line="calls=3000")
    assert check_kernel(machine, profile_of(name), walk_every=200).findings == ()
