"""Random programs of memory accesses end the same on all memories, with snapshots and writes of Python in between."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.machine.recording import record
from tests.helpers.frame_allocator import ALLOCATOR, FUNCTIONS, ROLES
from tests.helpers.guest import FUNCTION
from tests.helpers.memory_programs import FRAMES, Choice, program
from tests.helpers.three_memories import MEMORIES, OF_THE_CORE, compared, is_window_used, run, state_of

if TYPE_CHECKING:
    from emulator.machine.core.handle import Mmu
    from emulator.machine.core.observed import BadAccess
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
            self.between(machine, rest)
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

    def between(self, machine: Machine, chosen: random.Random) -> None:
        """Do something else at a halt."""


@settings(max_examples=30, deadline=None)
@given(choices, st.integers(0, 1 << 30))
def test_with_devices(chosen: list[Choice], seed: int) -> None:
    machine = compared(program(chosen), memories=OF_THE_CORE, drive=Driven(seed))
    assert is_window_used(machine)


@settings(max_examples=30, deadline=None)
@given(choices)
def test_on_unicorns_own_mmu_too(chosen: list[Choice]) -> None:
    compared(program(chosen, devices=False), memories=MEMORIES)


# Of which the allocator hands out nothing before the first pause.
SEEDED = f"""
        pushl   $0x{FRAMES + 0x8000:x}
        pushl   $0x{FRAMES:x}
        call    seed
        addl    $8, %esp
"""


class Checked(Driven):
    """The same, while frames are handed out and given back; what was found is seen, too."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.found: dict[Mmu, tuple[BadAccess, ...]] = {}

    def __call__(self, machine: Machine) -> list[object]:
        record(machine, FUNCTIONS)
        with machine.observers.check_accesses(ROLES) as checked:
            seen = super().__call__(machine)
            found = checked.seen()
        assert not found.missed
        self.found[machine.mmu] = found.accesses
        return [seen, found.accesses]

    def between(self, machine: Machine, chosen: random.Random) -> None:
        for _ in range(chosen.randrange(12)):
            frame = FRAMES // 0x1000 + chosen.randrange(8)
            if chosen.randrange(3):
                machine.call(
                    "make",
                    frame,
                    chosen.choice((0x1000, 0x1000, 0x1000, 0x2000, chosen.randrange(1, 0x1000))),
                )
            else:
                machine.call("drop", frame)


@settings(max_examples=30, deadline=None)
@given(choices, st.integers(0, 1 << 30))
def test_checked_while_blocks_come_and_go(chosen: list[Choice], seed: int) -> None:
    compared(
        FUNCTION + ALLOCATOR + SEEDED + program(chosen, devices=False),
        memories=OF_THE_CORE,
        drive=Checked(seed),
    )
