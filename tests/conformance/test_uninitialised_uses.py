"""Uses of values that were never written, a table of them on several allocators, as compilers make them: each is found, and none in their twins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.case_kernels import ALLOCATORS, COMPILERS, build, cases_of
from tests.helpers.case_runs import Kernel, check, memories
from tests.helpers.uninitialised_cases import CASES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("compiler", "level"), COMPILERS)
@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_each_use_of_what_was_never_written_is_found_once_and_no_right_one(
    tmp_path: Path, allocator: str, compiler: str, level: str
) -> None:
    file = build(tmp_path, allocator, CASES, compiler, level)
    for memory in memories(compiler, level):
        kernel = Kernel(file, allocator, memory, uninitialised=True)
        check(kernel, cases_of(allocator, CASES), {})
