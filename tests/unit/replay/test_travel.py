from __future__ import annotations

import pytest

from emulator import boot
from emulator.errors import Cancelled
from emulator.replay import travel
from emulator.replay.moment import Moment
from emulator.replay.travel import Halt, Travel
from emulator.run.ending import Ending, How


@pytest.fixture
def journey(monkeypatch: pytest.MonkeyPatch) -> Travel:
    """A run of some 100,000 instructions, with checkpoints, at its start."""
    monkeypatch.setattr(travel, "_FIRST", 5_000)
    found = Travel(boot("firmware:demo"))
    assert found.forward() is Halt.END
    found.back_to(found.start)
    return found


def test_what_is_written_is_noted_over_checkpoints_which_stay(journey: Travel) -> None:
    kept = [each.moment for each in journey.checkpoints]
    assert len(kept) > 5
    memory = journey.machine.memory
    begin, end = Moment(7_000), Moment(kept[-1].instructions - 10)
    journey.go_to(begin)
    before = memory.read(0, len(memory))
    with journey.noting_writes() as pages:
        assert journey.pass_to(end) is Halt.TARGET
    assert journey.moment == end
    assert all(before[page : page + 4096] == old for page, old in pages.items())
    after = memory.read(0, len(memory))
    changed = {at & -4096 for at in range(len(before)) if before[at] != after[at]}
    assert changed
    assert changed <= pages.keys()
    journey.pass_to(Moment(end.instructions + 1))
    assert [each.moment for each in journey.checkpoints] == kept


def test_a_move_that_is_cancelled_while_it_is_noted_leaves_an_exact_machine(journey: Travel) -> None:
    kept = [each.moment for each in journey.checkpoints]

    def cancelled() -> None:
        with journey.noting_writes():
            journey.pass_to(Moment(9_000))
            raise Cancelled

    with pytest.raises(Cancelled):
        cancelled()
    assert journey.moment == Moment(9_000)
    assert [each.moment for each in journey.checkpoints] == kept
    registers = journey.machine.registers()
    journey.go_to(Moment(20_000))
    journey.go_to(Moment(9_000))
    assert journey.machine.registers() == registers


def test_a_run_that_is_ended_somewhere_ends_there_from_then_on(journey: Travel) -> None:
    journey.go_to(Moment(9_000))
    journey.end_here(Ending(How.INTERRUPTED))
    journey.go_to(Moment(100))
    assert journey.forward() is Halt.END
    assert journey.moment == Moment(9_000, at_end=True)
    assert journey.ending is not None
    assert (journey.ending.how, journey.ending.instructions) == (How.INTERRUPTED, 9_000)
