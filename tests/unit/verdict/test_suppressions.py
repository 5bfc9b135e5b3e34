"""Findings that are suppressed."""

from __future__ import annotations

import pytest

from emulator.profile.suppressions import parse_suppression
from emulator.verdict.suppressions import suppress
from tests.helpers.check_examples import CORRUPTION, DIED, DOUBLE_FREE, LEAK, report


@pytest.mark.parametrize(
    ("lines", "left", "counts"),
    [
        (["double-free:kmain"], (LEAK, CORRUPTION), [2]),
        (["leak:kmain"], (DOUBLE_FREE, CORRUPTION, DOUBLE_FREE), [1]),  # the allocation's backtrace
        (["leak:serve", "leak:kmalloc"], (DOUBLE_FREE, LEAK, CORRUPTION, DOUBLE_FREE), [0, 0]),
        (["heap-corruption:string.c"], (DOUBLE_FREE, LEAK, DOUBLE_FREE), [1]),  # the faulting write's
        (["heap-corruption:kmain"], (DOUBLE_FREE, LEAK, DOUBLE_FREE), [1]),
        (["*:serve", "*:start"], (), [1, 3]),  # the first one that matches counts
    ],
)
def test_what_is_left(lines: list[str], left: tuple[object, ...], counts: list[int]) -> None:
    made = report(DOUBLE_FREE, LEAK, CORRUPTION, DOUBLE_FREE)
    found = suppress(made, [parse_suppression(line) for line in lines])
    assert (found.findings, found.suppressed) == (left, dict(zip(lines, counts, strict=True)))


def test_what_has_no_backtrace_is_suppressed_by_its_kind() -> None:
    assert suppress(report(DIED), [parse_suppression("kernel-died:kmain")]).findings == (DIED,)
    assert suppress(report(DIED), [parse_suppression("kernel-died:*")]).findings == ()
