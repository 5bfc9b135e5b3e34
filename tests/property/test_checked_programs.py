"""Random programs on many kinds of allocators: the core follows the same blocks as the analysis of a trace, and finds no access of a correct one."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.errors import GuestStopped
from emulator.loader.image import KernelImage
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.history import area_history
from emulator.trace.checking import check_accesses
from emulator.trace.recording import CallLog
from tests.helpers.random_programs import KINDS, Kernel, Kind, compiled, correct, faulty, machine_with

if TYPE_CHECKING:
    from emulator.machine.core.observed import AllocatedBlock, BadAccess
    from emulator.trace.blocks.blocks import Blocks
    from tests.helpers.random_programs import Program

NUMBERS = st.integers(0, 0xFFFF)
CHOICES = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=120)
QUICK = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
START = [(0, 0, 2, 17), (0, 5, 2, 17)]  # a block in slot 0 that each mistake can be made with


@cache
def kernel(kind: Kind) -> Kernel:
    with tempfile.TemporaryDirectory() as folder:
        return compiled(kind, Path(folder), kind.builds[KINDS.index(kind) % len(kind.builds)])


def of_trace(area: int, blocks: Blocks) -> set[tuple[int, ...]]:
    columns = (blocks.address, blocks.size, blocks.born, blocks.born_call, blocks.died, blocks.died_call)
    return {(area, *row) for row in zip(*(column.tolist() for column in columns), strict=True)}


def of_core(each: AllocatedBlock) -> tuple[int, ...]:
    died = NEVER if each.died is None else each.died
    return each.area, each.start, each.size, each.born, each.birth, died, each.death or 0


def found(kind: Kind, program: Program, *, uninitialised: bool = False) -> tuple[BadAccess, ...]:
    """Run a program, compare its blocks, and return the bad accesses, and uses of what was never written."""
    data, profile = kernel(kind).data, kernel(kind).profile
    machine = machine_with(KernelImage(data, f"{kind.name}.elf"), program)
    log = CallLog(machine, profile)
    with check_accesses(machine, profile, uninitialised=uninitialised) as checked:
        with suppress(GuestStopped):
            machine.run(max_instructions=10_000_000)
        blocks = [*checked.live_blocks(), *checked.dead_blocks()]
    calls = log.calls()
    expected = [
        of_trace(number, area_history(calls, area).blocks) for number, area in enumerate(profile.areas)
    ]
    assert set(map(of_core, blocks)) == set().union(*expected)
    return checked.seen().accesses


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
@given(choices=CHOICES)
@settings(QUICK, max_examples=5)
def test_a_correct_program_has_no_bad_access(kind: Kind, choices: list[tuple[int, int, int, int]]) -> None:
    assert found(kind, correct(kind, choices)) == ()
    assert found(kind, correct(kind, choices), uninitialised=True) == ()


MISTAKES = [(kind, mistake) for kind in KINDS for mistake in kind.mistakes]


@pytest.mark.parametrize(
    ("kind", "mistake"), MISTAKES, ids=[f"{kind.name}-{mistake}" for kind, mistake in MISTAKES]
)
@given(choices=CHOICES, after=st.integers(0, 119))
@settings(QUICK, max_examples=1)
def test_blocks_are_followed_where_mistakes_are_made(
    kind: Kind, mistake: str, choices: list[tuple[int, int, int, int]], after: int
) -> None:
    program = faulty(kind, START + choices, mistake, 2 + after) or faulty(kind, START, mistake, 2)
    assert program is not None
    found(kind, program)
