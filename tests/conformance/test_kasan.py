"""Bad accesses of kernels that were compiled with KASAN, a table of them, by each compiler: each is found, and none in their twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import pytest

from tests.helpers.bad_access_cases import CASES
from tests.helpers.case_kernels import ALLOCATORS, Case, build, cases_of
from tests.helpers.case_runs import Kernel, check
from tests.helpers.kasan_kernel import BUILDS, STUBS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

OUT, SCOPE = "out-of-bounds", "use-after-scope"
_LOCAL: Final = 'u8 local[20]; use(local); u8 *q = local; __asm__ volatile("" : "+r"(q));'
_STATIC: Final = 'static u8 table[20]; use(table); u8 *q = table; __asm__ volatile("" : "+r"(q));'


def _of_variables() -> Iterable[Case]:
    for where, start in (("stack", _LOCAL), ("global", _STATIC)):
        for bits in (8, 16, 32):
            at, size = f"*(volatile u{bits} *)", bits // 8
            yield Case(f"{where}_read_right_{bits}", OUT, f"{start} sink = {at}(q + @20@{20 - size}@);")
            yield Case(f"{where}_write_right_{bits}", OUT, f"{start} {at}(q + @20@{20 - size}@) = 1;")
            if size > 1:
                yield Case(
                    f"{where}_across_the_end_{bits}",
                    OUT,
                    f"{start} sink = {at}(q + @{21 - size}@{20 - size}@);",
                )
        yield Case(f"{where}_loop", OUT, f"{start} for (u32 i = 0; i @<=@<@ 20; i++) q[i] = 1;")
        yield Case(f"{where}_memset", OUT, f"{start} memset(q, 0, @21@20@);")
        yield Case(f"{where}_memcpy_from", OUT, f"{start} memcpy(buffer, q, @21@20@);")
        yield Case(f"{where}_memcpy_to", OUT, f"{start} memcpy(q, buffer, @21@20@);")
    for bits in (8, 16, 32):
        at = f"*(volatile u{bits} *)"
        yield Case(f"stack_read_left_{bits}", OUT, f"{_LOCAL} sink = {at}(q - @{bits // 8}@0@);")
        yield Case(f"stack_write_left_{bits}", OUT, f"{_LOCAL} {at}(q - @{bits // 8}@0@) = 1;")
    yield Case(
        "scope",
        SCOPE,
        "u8 *volatile q; { u8 local[20]; use(local); q = local; @@sink = q[3];@ } @sink = q[3];@@",
    )


VARIABLES: Final = tuple(_of_variables())
NAMES: Final = {"stack": "local", "global": "table", "scope": "local"}


def kernel_of(
    folder: Path,
    allocator: str,
    name: str,
    cases: tuple[Case, ...] = CASES,
    memory: Literal["fast", "ordinary"] = "fast",
) -> Kernel:
    chosen = BUILDS[name]
    path = build(
        folder,
        allocator,
        cases,
        chosen.compiler,
        "-O2",
        options=chosen.options(),
        libraries=[STUBS],
    )
    return Kernel(path, allocator, memory)


@pytest.mark.parametrize(
    ("allocator", "name"),
    [
        *(("heap", name) for name in BUILDS),
        ("litecore", "gcc-inline"),
        ("unseeded", "clang-inline"),
        ("slab", "gcc-outline"),
        ("pages", "clang-outline"),
    ],
)
def test_what_is_found_in_other_kernels_is_found_in_these(tmp_path: Path, allocator: str, name: str) -> None:
    kernel = kernel_of(tmp_path, allocator, name)
    check(kernel, cases_of(allocator, CASES), ALLOCATORS[allocator].kinds)


@pytest.mark.parametrize(
    ("name", "memory"), [*((name, "fast") for name in BUILDS), ("gcc-inline", "ordinary")]
)
def test_accesses_beside_variables_are_found_and_name_them(
    tmp_path: Path, name: str, memory: Literal["fast", "ordinary"]
) -> None:
    kernel = kernel_of(tmp_path, "heap", name, VARIABLES, memory)
    found = check(kernel, VARIABLES, {})
    named = {each: found[each][0].message.rpartition(", ")[2] for each in found}
    expected = {case.name: f" {NAMES[case.name.partition('_')[0]]} of 20 bytes" for case in VARIABLES}
    assert {each: text for each, text in named.items() if not text.endswith(expected[each])} == {}
