"""Writes over return addresses, a table of them as compilers make their frames: each is found, and none in their twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.helpers.case_kernels import COMPILERS, build, cases_of
from tests.helpers.case_runs import Kernel, check
from tests.helpers.return_address_cases import CASES, PRELUDE

if TYPE_CHECKING:
    from pathlib import Path

RULES: Final = ("-fno-asynchronous-unwind-tables",)
"""For compilers: call frame information lies in .debug_frame, which no linker script leaves out."""
FRAME_POINTERS: Final = (*RULES, "-g0")
MODES: Final = [
    *((*each, RULES, False) for each in COMPILERS),
    *((*each, FRAME_POINTERS, False) for each in COMPILERS),
    ("gcc", "-O2", RULES, True),
]


@pytest.mark.parametrize(("compiler", "level", "options", "uninitialised"), MODES)
@pytest.mark.parametrize("allocator", ["heap", "litecore", "btron_mpl"])
def test_each_write_over_a_return_address_is_found_once_and_no_right_one(
    tmp_path: Path,
    allocator: str,
    compiler: str,
    level: str,
    options: tuple[str, ...],
    *,
    uninitialised: bool,
) -> None:
    file = build(tmp_path, allocator, CASES, compiler, level, prelude=PRELUDE, options=options)
    kernel = Kernel(file, allocator, "fast", uninitialised=uninitialised)
    check(kernel, cases_of(allocator, CASES), {})
