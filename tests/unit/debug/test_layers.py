"""Kernels whose layers run as models, or in lockstep with them, are debugged as others are: forwards, backwards, under watch, and asked who wrote."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Literal

import pytest

from emulator import debug
from emulator.debug import Debugger, Moment, StopKind
from emulator.hle.layers import LockstepCalls, lockstep_calls
from emulator.replay import travel
from tests.helpers.debuggers import state_of

if TYPE_CHECKING:
    from emulator.debug import Stop

KERNELS = {
    "demo": (("memmap", "heap"), "heap_free_list", "kmalloc"),
    "btron_demo": (("kmem", "pools"), "kmem_free_list", "kmem_alloc"),
}
Engine = Literal["native", "model", "lockstep"]
each_kernel = pytest.mark.parametrize("kernel", KERNELS)
each_engine = pytest.mark.parametrize("engine", ["model", "lockstep"])


@pytest.fixture(autouse=True)
def _many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "_FIRST", 3000)


def debugger(kernel: str, engine: Engine) -> Debugger:
    return debug.debugger(f"firmware:{kernel}", layers=dict.fromkeys(KERNELS[kernel][0], engine))


def state(d: Debugger) -> tuple[object, ...]:
    return (*state_of(d), lockstep_calls(d.machine))


def stops_of(d: Debugger) -> list[tuple[Stop, tuple[object, ...]]]:
    """Run to the end, and return where that stops."""
    stops = []
    while (stop := d.run()).kind is not StopKind.ENDED:
        stops.append((stop, state(d)))
    assert stop.ending is not None
    assert stop.ending.error is None
    return stops


@each_kernel
@each_engine
def test_any_moment_and_event_is_gone_to(kernel: str, engine: Engine) -> None:
    random = Random(kernel)
    with debugger(kernel, engine) as d, debugger(kernel, engine) as straight:
        end = d.run().moment.instructions
        at_end = state(d)
        moments = {}
        for each in sorted(random.sample(range(end), 8)):
            straight.go_to(each)
            moments[each] = state(straight)
        events = {}
        straight.go_to(0)
        for each in sorted(random.sample(range(1, d.event + 1), 8)):
            straight.go_to_event(each)
            events[each] = state(straight)
        for _ in range(25):
            moment, event = random.choice(list(moments)), random.choice(list(events))
            d.go_to(moment)
            assert state(d) == moments[moment]
            d.go_to_event(event)
            assert state(d) == events[event]
            d.step_back(random.randrange(1, 100))
        d.run()
        assert state(d) == at_end


@each_kernel
@each_engine
def test_stops_are_the_same_in_both_directions(kernel: str, engine: Engine) -> None:
    _, word, function = KERNELS[kernel]
    with debugger(kernel, engine) as d, debugger(kernel, engine) as undisturbed:
        undisturbed.run()
        d.watch(d.image.physical(d.image.symbols[word].address), 4, physical=True)
        d.break_at(function)
        stops = stops_of(d)
        assert {each.kind for each, _ in stops} == {StopKind.WATCHPOINT, StopKind.BREAKPOINT}
        assert state(d) == state(undisturbed)
        for stop, then in reversed(stops):
            assert d.back() == stop
            assert state(d) == then
        assert d.back().kind is StopKind.START


@each_kernel
@each_engine
def test_who_wrote_last_is_what_a_watchpoint_has_seen(kernel: str, engine: Engine) -> None:
    random = Random(kernel)
    with debugger(kernel, engine) as d:
        word = d.image.physical(d.image.symbols[KERNELS[kernel][1]].address)
        point = d.watch(word, 4, physical=True)
        stops = [stop for stop, _ in stops_of(d)]
        point.remove()
        end = d.moment.instructions
        by_models = 0
        for _ in range(25):
            d.go_to(random.randrange(end))
            here = state(d)
            write = d.who(word, 4, physical=True)
            assert state(d) == here
            before = [each for each in stops if each.moment <= d.moment]
            assert (write is None) == (not before)
            if write is None:
                continue
            access = before[-1].access
            assert access is not None
            assert write.moment < before[-1].moment
            assert write.after == access.after
            d.go_to(write.moment)
            by_models += not write.text
            assert d.event + (engine == "model" and not write.text) >= write.event >= d.event
        assert bool(by_models) == (engine == "model")


@each_kernel
@each_engine
def test_steps_back_and_forth_end_where_they_began(kernel: str, engine: Engine) -> None:
    random = Random(kernel)
    with debugger(kernel, engine) as d:
        end = d.run().moment.instructions
        for _ in range(15):
            d.go_to(random.randrange(300, end))
            here, count = state(d), random.randrange(1, 200)
            d.step_back(count)
            d.step(count)
            assert state(d) == here


def test_a_call_in_lockstep_that_somebody_changes_is_given_up() -> None:
    with debugger("demo", "lockstep") as d:
        point = d.break_at("kmalloc+0x10")
        for _ in range(3):
            d.run()
        point.remove()
        block = int.from_bytes(d.machine.read_linear(d.image.symbols["heap_free_list"].address, 4), "little")
        size = d.machine.read_linear(block, 4)
        d.write_memory(block, b"\x40\0\0\0")
        d.step(2)
        d.write_memory(block, size)
        stop = d.run()
        assert stop.ending is not None
        assert stop.ending.error is None
        calls = lockstep_calls(d.machine)
        d.go_to(Moment(0))
        assert lockstep_calls(d.machine) == LockstepCalls()
        d.run()
        assert lockstep_calls(d.machine) == calls
        assert calls is not None
        assert calls.given_up == 1
