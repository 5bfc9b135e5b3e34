"""Random programs of memory accesses end the same on all memories, with snapshots and writes of Python in between."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.memory_programs import FRAMES, Choice, program
from tests.helpers.three_memories import MEMORIES, OF_THE_CORE, compared, run, state_of, window_of

if TYPE_CHECKING:
    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.machine import Machine

number = st.integers(0, 0xFFFF)
choices = st.lists(st.tuples(st.integers(0, 11), number, number, number), min_size=5, max_size=60)


class Driven:
    """Runs from halt to halt; in between memory is written, and snapshots are taken and gone back to."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, machine: Machine) -> list[object]:
        rest, seen = random.Random(self.seed), list[object]()
        snapshots: list[Snapshot] = []
        for _ in range(8):
            state = state_of(machine)
            seen += [run(machine), hash(state["memory"]), state["registers"]]
            what = rest.randrange(5)
            if what == 0:
                machine.memory.write(FRAMES + rest.randrange(0x7000), rest.randbytes(rest.randrange(0x1800)))
            elif what == 1:
                snapshots.append(machine.snapshot())
            elif what == 2 and snapshots:
                snapshots[-1].reset()
            elif what == 3 and snapshots:
                snapshots.pop().discard()
        return seen


@settings(max_examples=30, deadline=None)
@given(choices, st.integers(0, 1 << 30))
def test_with_devices(chosen: list[Choice], seed: int) -> None:
    machine = compared(program(chosen), memories=OF_THE_CORE, drive=Driven(seed))
    assert sum(window_of(machine)) > 0


@settings(max_examples=30, deadline=None)
@given(choices)
def test_on_unicorns_own_mmu_too(chosen: list[Choice]) -> None:
    compared(program(chosen, devices=False), memories=MEMORIES)
