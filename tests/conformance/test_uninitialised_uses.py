"""Uses of values that were never written, a table of them on several allocators, as compilers make them: each is found, and none in their twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from tests.helpers.case_kernels import ALLOCATORS, COMPILERS, build, cases_of
from tests.helpers.case_runs import Kernel, check
from tests.helpers.uninitialised_cases import CASES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("compiler", "level", "memory"), [*((*each, "fast") for each in COMPILERS), ("gcc", "-O2", "ordinary")]
)
@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_each_use_of_what_was_never_written_is_found_once_and_no_right_one(
    tmp_path: Path, allocator: str, compiler: str, level: str, memory: Literal["fast", "ordinary"]
) -> None:
    kernel = Kernel(build(tmp_path, allocator, CASES, compiler, level), allocator, memory, uninitialised=True)
    check(kernel, cases_of(allocator, CASES), {})
