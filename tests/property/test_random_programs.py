"""Random correct programs have no finding; with one mistake planted they have that one. The harness (`make fuzz`) runs a thousand of each kind."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.random_programs import KINDS, Kernel, Kind, compiled, correct, faulty, problems

NUMBERS = st.integers(0, 0xFFFF)
CHOICES = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=120)
QUICK = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@cache
def kernel(kind: Kind, build: tuple[str, ...]) -> Kernel:
    with tempfile.TemporaryDirectory() as folder:
        return compiled(kind, Path(folder), build)


BUILDS = {kind.name: kind.builds[index % 3 :: 3] for index, kind in enumerate(KINDS)}
"""Some for each kind, so that all are used; the harness uses all for all."""
KERNELS = [(kind, build) for kind in KINDS for build in BUILDS[kind.name]]


@pytest.mark.parametrize(
    ("kind", "build"), KERNELS, ids=[f"{kind.name}-{' '.join(build)}" for kind, build in KERNELS]
)
@given(choices=CHOICES)
@settings(QUICK, max_examples=3)
def test_a_correct_program_has_no_finding(
    kind: Kind, build: tuple[str, ...], choices: list[tuple[int, int, int, int]]
) -> None:
    program = correct(kind, choices)
    assert not list(problems(program, kernel(kind, build).run(program), build))


MISTAKES = [(kind, mistake) for kind in KINDS for mistake in kind.mistakes]


@pytest.mark.parametrize(
    ("kind", "mistake"), MISTAKES, ids=[f"{kind.name}-{mistake}" for kind, mistake in MISTAKES]
)
@given(choices=CHOICES, after=st.integers(0, 119))
@settings(QUICK, max_examples=2)
def test_a_mistake_is_found_and_nothing_else(
    kind: Kind, mistake: str, choices: list[tuple[int, int, int, int]], after: int
) -> None:
    start = [(0, 0, 2, 17), (0, 5, 2, 17)]  # a block in slot 0 that each mistake can be made with
    build = BUILDS[kind.name][kind.mistakes.index(mistake) % len(BUILDS[kind.name])]
    program = faulty(kind, start + choices, mistake, 2 + after)
    if program is None:
        program = faulty(kind, start, mistake, 2)
    assert program is not None
    assert not list(problems(program, kernel(kind, build).run(program), build, mistake))
