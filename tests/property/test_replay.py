"""Travel over a run is exact: at every event all is as in a run that goes straight there."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from emulator import boot
from emulator.machine.consoles import Console
from emulator.replay import travel
from emulator.replay.engine import Position, Rerun
from tests.helpers.timelines import timeline_of

if TYPE_CHECKING:
    from emulator.debug.timeline import Timeline
    from emulator.machine.machine import Machine

KERNELS = ("demo", "use_after_free", "fragment", "btron_demo", "btron_pools_wait")


def state(machine: Machine) -> tuple[object, ...]:
    return (
        hash(machine.memory.read(0, len(machine.memory))),
        machine.cpu.registers(),
        [bytes(machine.output[console]) for console in Console],
        machine.interrupts.now_ns(),
    )


@cache
def straight(kernel: str) -> list[tuple[object, ...]]:
    """The states after all events, met one after the other without any way back."""
    timeline = timeline_of(kernel)
    machine = timeline_of(kernel, record=False).machine
    states = [state(machine)]
    for event in range(1, timeline.event_count + 1):
        machine.run(stop_at_event=event)
        states.append(state(machine))
    return states


@cache
def recorded(kernel: str) -> Timeline:
    """A timeline with checkpoints, as long runs have them; calls go on over some."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(travel, "_FIRST", 5_000)
        return timeline_of(kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_event_is_as_in_a_straight_run(kernel: str, data: st.DataObject) -> None:
    timeline, states = recorded(kernel), straight(kernel)
    events = st.integers(0, timeline.event_count)
    for event in data.draw(st.lists(events, min_size=1, max_size=6)):
        timeline.go_to(event)
        assert state(timeline.machine) == states[event]
        if data.draw(st.booleans()):
            timeline.changes()
            assert state(timeline.machine) == states[event]
        if event < timeline.event_count and data.draw(st.booleans()):
            move = data.draw(st.sampled_from([timeline.debugger.step, timeline.debugger.next_line]))
            timeline.step(move)
            assert timeline.is_stepped_to
            timeline.changes()


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_end_is_as_in_a_straight_run(kernel: str) -> None:
    timeline = timeline_of(kernel)
    machine = timeline_of(kernel, record=False).machine
    machine.run()
    timeline.go_to(timeline.event_count // 2)
    timeline.go_to_end()
    assert state(timeline.machine)[:3] == state(machine)[:3]


class Travel(RuleBasedStateMachine):
    """A replay that keeps its checkpoint where it likes."""

    kernel: str

    def __init__(self) -> None:
        super().__init__()
        self.states = straight(self.kernel)
        self.replay = Rerun(lambda: boot(f"firmware:{self.kernel}"), recorded(self.kernel).profile).replay()
        self.kept: int | None = None

    @rule(data=st.data())
    def go_to(self, data: st.DataObject) -> None:
        event = data.draw(st.integers(0, len(self.states) - 1))
        is_back = self.replay.position.at_end or event < self.replay.position.event
        is_reached = not is_back or (self.kept is not None and self.kept <= event)
        assert self.replay.go_to(event) == is_reached

    @rule()
    def keep(self) -> None:
        if not self.replay.position.at_end:
            self.replay.keep()
            self.kept = self.replay.position.event

    @precondition(lambda self: self.kept is not None)
    @rule()
    def back(self) -> None:
        self.replay.back()
        assert self.replay.position == Position(self.kept or 0)

    @rule()
    def run_to_end(self) -> None:
        self.replay.run_to_end()
        assert self.replay.position == Position(len(self.states) - 1, at_end=True)

    @invariant()
    def all_is_as_in_a_straight_run(self) -> None:
        if not self.replay.position.at_end:
            assert state(self.replay.machine) == self.states[self.replay.position.event]


@pytest.mark.parametrize("kernel", ["use_after_free", "btron_pools_wait"])
def test_checkpoints_change_nothing(kernel: str) -> None:
    machine = type("Travel", (Travel,), {"kernel": kernel})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=12, stateful_step_count=12, deadline=None)
    )
