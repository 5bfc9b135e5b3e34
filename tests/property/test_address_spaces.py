"""Address spaces of random page tables: the model against the machine's own translation."""

from __future__ import annotations

import random
from bisect import bisect_right
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.machine.address_map import MIB, VGA_START
from kernel_model.page_tables import Problem
from tests.helpers.page_tables import DIRECTORY, paged_machine
from tests.unit.machine.core.test_pae import NX_ON, pae_machine

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

PAGE = 0x1000
FORMATS = ("two levels", "two levels without PSE", "three levels", "three levels with NX")
SPOTS = (
    0,
    VGA_START,
    MIB - PAGE,
    DIRECTORY,
    *range(DIRECTORY + PAGE, DIRECTORY + 9 * PAGE, PAGE),
    0x0050_0000,
)


@cache
def machine_with(name: str) -> Machine:
    """Return a machine that has switched paging on and stopped; its tables are free to be overwritten."""
    if name.startswith("two"):
        machine, _ = paged_machine("exit 0", pse="without" not in name)
    else:
        machine, _ = pae_machine("exit 0", before=NX_ON if "NX" in name else "")
    machine.run()
    return machine


def random_tables(machine: Machine, numbers: random.Random, *, wide: bool, density: float = 0.9) -> list[int]:
    """Fill the directories and some tables with random entries; return linear addresses that go through them."""
    count = 512 if wide else 1024

    def entry() -> int:
        address = numbers.choice((*SPOTS, numbers.randrange(1 << 20) * PAGE))
        flags = numbers.getrandbits(12) | numbers.choice((0, 1, 1))
        flags |= numbers.choice((0, 0, 0, 1 << 21, numbers.getrandbits(9) << 13))
        if wide:
            flags |= numbers.choice((0, 0, 0, 0, 1 << 63, 1 << numbers.randrange(32, 63)))
        return address | flags if numbers.random() < density else 0

    size = 8 if wide else 4
    for table in range(DIRECTORY, DIRECTORY + 9 * PAGE, PAGE):
        machine.memory.write(table, b"".join(entry().to_bytes(size, "little") for _ in range(count)))
    if wide:
        for quarter in range(4):
            first = numbers.choice((DIRECTORY + (1 + quarter) * PAGE | 1,) * 4 + (entry(),))
            machine.memory.write(DIRECTORY + 8 * quarter, first.to_bytes(8, "little"))
    return [numbers.getrandbits(32) for _ in range(1000)]


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_the_model_and_the_machine_agree(name: str, seed: int) -> None:
    machine = machine_with(name)
    addresses = random_tables(machine, random.Random(seed), wide=name.startswith("three"))
    space = machine.address_space()
    unread = [
        range(each.start, each.end)
        for each in space.problems()
        if each.problem in {Problem.NOT_RAM, Problem.OUTSIDE}
    ]
    found = space.translate_all(addresses)
    for linear, physical in zip(addresses, found, strict=True):
        if any(linear in each for each in unread):
            assert physical is None, hex(linear)
        else:
            assert physical == machine.translate(linear), hex(linear)
    for linear, physical in zip(addresses, found, strict=True):
        mapping = space.mapping(linear)
        assert (mapping is None) == (physical is None)
        if mapping is not None:
            assert physical == mapping.physical + linear - mapping.linear


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_ranges_hold_what_is_mapped_and_nothing_else(name: str, seed: int) -> None:
    machine = machine_with(name)
    addresses = random_tables(machine, random.Random(seed), wide=name.startswith("three"), density=0.1)
    space = machine.address_space()
    ranges = [*space.ranges(contiguous=True)]
    assert all(one.end <= other.start for one, other in pairwise(ranges))
    starts = [each.start for each in ranges]
    for linear in addresses[:500]:
        at = bisect_right(starts, linear) - 1
        inside = ranges[at] if at >= 0 and linear < ranges[at].end else None
        mapping = space.mapping(linear)
        assert (inside is None) == (mapping is None)
        if inside is not None and mapping is not None:
            assert inside.physical is not None
            assert inside.physical + linear - inside.start == space.translate(linear)
            assert inside[3:] == (mapping.writable, mapping.user, mapping.no_execute, mapping.size)
