"""Bad accesses, a table of them on several allocators, as compilers make them: each is found, and none in their twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import OF_ACCESSES, OF_VALUES
from emulator.loader.builtin import DEFECTS, KERNELS
from emulator.profile.known import matching_profile
from emulator.run.ending import Budget
from tests.helpers.bad_access_cases import CASES
from tests.helpers.case_kernels import ALLOCATORS, COMPILERS, build, cases_of
from tests.helpers.case_runs import Kernel, check, memories

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("compiler", "level"), COMPILERS)
@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_each_bad_access_is_found_once_and_no_right_one(
    tmp_path: Path, allocator: str, compiler: str, level: str
) -> None:
    file = build(tmp_path, allocator, CASES, compiler, level)
    for memory in memories(compiler, level):
        kernel = Kernel(file, allocator, memory)
        check(kernel, cases_of(allocator, CASES), ALLOCATORS[allocator].kinds)


BAD: Final = {
    "use_after_free": ["memcpy", "kmain"],
    "overflow": ["memset"],
    "bad_overflow": ["copy_name"],
    "bad_late_write": ["tick"],
    "bad_return": ["append"],
    "bad_below_stack": ["flags_now"],
}
"""Functions of built-in kernels that access what is in no block or lies below ESP, or write over a return address."""
LONG: Final = ("stress", "btron_stress", "vm_churn")


@pytest.mark.parametrize(
    "name", [*sorted(set(KERNELS) - set(LONG)), *DEFECTS, *(f"{name}_ok" for name in DEFECTS)]
)
def test_built_in_kernels_access_their_blocks_only_and_use_what_they_have_written(name: str) -> None:
    machine = boot(f"firmware:{name}")
    profile = matching_profile(machine.image)
    report = check_kernel(
        machine, profile, Budget(max_instructions=3_000_000), sanitize=True, uninitialised=True
    )
    found = [
        each.call_site.function
        for each in report.findings
        if each.kind in (*OF_ACCESSES, *OF_VALUES) and each.call_site
    ]
    assert found == BAD.get(name, [])
