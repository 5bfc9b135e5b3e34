"""Going to events of a run without knowing it beforehand."""

from __future__ import annotations

import pytest

from emulator.errors import BudgetUsedUp, HostError
from emulator.machine.machine import Machine
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.replay.engine import Position, Replay, Rerun
from emulator.run.ending import Budget
from emulator.trace.recording import record_calls
from tests.helpers.guest import FUNCTION, machine_of

TAKE = Profile("test", (TracedFunction("take", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),))
THREE_CALLS = (
    FUNCTION
    + """
        movl    $1, %esi
1:      call    take
        incl    %esi
        cmpl    $4, %esi
        jne     1b
        exit    0
        function take
        ret
        ends    take
"""
)
ENDLESS = FUNCTION + "1: call take\n incl %esi\n jmp 1b\n function take\n ret\n ends take\n"


def replay_of(source: str, budget: Budget = Budget()) -> Replay:  # noqa: B008 - a value
    return Replay(record_calls(machine_of(source), TAKE), TAKE, budget)


def test_without_a_checkpoint_it_only_goes_forwards() -> None:
    replay = replay_of(THREE_CALLS)
    assert replay.go_to(3)
    assert (replay.position, replay.reached, replay.machine.registers().esi) == (Position(3), 3, 2)
    assert not replay.go_to(2)
    assert replay.position == Position(3)
    assert replay.go_to(6)


def test_an_event_that_does_not_come_leaves_it_at_the_end() -> None:
    replay = replay_of(THREE_CALLS)
    assert not replay.go_to(7)
    assert replay.position == Position(6, at_end=True)
    assert not replay.go_to(7)
    assert not replay.go_to(6)  # there is no way back
    replay.run_to_end()
    assert replay.position == Position(6, at_end=True)


def test_it_goes_back_to_the_checkpoint() -> None:
    replay = replay_of(THREE_CALLS)
    replay.go_to(2)
    replay.keep()
    replay.run_to_end()
    assert replay.go_to(3)
    assert replay.machine.registers().esi == 2
    replay.back()
    assert replay.position == Position(2)
    assert not replay.go_to(1)


def test_only_the_newest_checkpoint_is_kept() -> None:
    replay = replay_of(THREE_CALLS)
    replay.keep()
    replay.go_to(3)
    replay.keep()
    assert not replay.go_to(2)
    replay.run_to_end()
    replay.back()
    assert (replay.position, replay.machine.registers().esi) == (Position(3), 2)


def test_a_budget_ends_it_at_the_same_instruction_whichever_way_it_went() -> None:
    straight = machine_of(ENDLESS)
    with pytest.raises(BudgetUsedUp):
        straight.run(max_instructions=1000)
    replay = replay_of(ENDLESS, Budget(1000))
    replay.keep()
    for event in (100, 20, 300):
        replay.go_to(event)
        replay.keep()
    replay.run_to_end()
    assert replay.machine.registers() == straight.registers()
    assert replay.position == Position(replay.reached, at_end=True)
    assert not replay.go_to(2000)
    assert replay.machine.registers() == straight.registers()


def test_time_is_a_budget_too(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0, 9.0])
    monkeypatch.setattr("emulator.replay.engine.monotonic", lambda: next(clock))
    replay = replay_of(THREE_CALLS, Budget(timeout_s=5))
    assert (replay.seconds_left, replay.seconds_left) == (2.0, 0.0)
    assert replay_of(THREE_CALLS).seconds_left is None


def test_what_the_host_lacks_is_no_end_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = replay_of(THREE_CALLS)
    replay.go_to(2)
    replay.keep()

    def fail(*_: object, **__: object) -> None:
        raise HostError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(Machine, "run", fail)
        with pytest.raises(HostError):
            replay.go_to(4)
    assert replay.position == Position(2)
    assert replay.go_to(4)


def test_a_rerun_makes_a_machine_each_time() -> None:
    rerun = Rerun(lambda: machine_of(ENDLESS), TAKE, 1000)
    first, second = rerun.replay(), rerun.replay()
    assert first.machine is not second.machine
    for each in (first, second):
        each.run_to_end()
    assert first.position == second.position
