"""Travel over a run is exact: every place looks as it does in a run that goes straight there."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.machine.consoles import Console
from emulator.replay.changes import changes_of_last_call
from tests.helpers.timelines import timeline_of

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from emulator.replay.timeline import Timeline

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
    """The states behind all events, met one after the other without any way back."""
    timeline = timeline_of(kernel)
    machine = timeline_of(kernel, record=False).machine
    states = [state(machine)]
    for event in range(1, timeline.event_count + 1):
        machine.run(stop_at_event=event)
        states.append(state(machine))
    return states


@cache
def recorded(kernel: str) -> Timeline:
    return timeline_of(kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_place_is_as_in_a_straight_run(kernel: str, data: st.DataObject) -> None:
    timeline, states = recorded(kernel), straight(kernel)
    events = st.integers(0, timeline.event_count)
    for event in data.draw(st.lists(events, min_size=1, max_size=6)):
        timeline.go_to(event)
        assert state(timeline.machine) == states[event]
        if data.draw(st.booleans()):
            changes_of_last_call(timeline)
            assert state(timeline.machine) == states[event]


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_end_is_as_in_a_straight_run(kernel: str) -> None:
    timeline = timeline_of(kernel)
    machine = timeline_of(kernel, record=False).machine
    machine.run()
    timeline.go_to(timeline.event_count // 2)
    timeline.run_to_end()
    assert state(timeline.machine)[:3] == state(machine)[:3]
