"""Allocations that are made to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.errors import BudgetUsedUp
from emulator.hle.layers import Mode, attach_layers
from emulator.inject.policy import FaultInjector, InjectionPolicy
from emulator.machine.execution import Returned
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from emulator.trace.recording import record_calls
from tests.helpers.guest import FUNCTION, machine_of, results_of
from tests.helpers.recorded import held_calls

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording

NO_MEMORY = 0xFFFFFFF6
PROFILE = Profile(
    "mine",
    (
        TracedFunction("take", "heap", Role.ALLOC, ("size",), Result.POINTER, 0, places=("esp+4",)),
        TracedFunction("take_surely", "heap", Role.ALLOC, ("size",), Result.POINTER, places=("esp+4",)),
        TracedFunction("take_frame", "frames", Role.ALLOC, (), Result.FRAME, 0xFFFFFFFF),
        TracedFunction("take_blk", "pools", Role.ALLOC, ("out",), Result.ERROR, NO_MEMORY, places=("esp+4",)),
        TracedFunction("give", "heap", Role.FREE, ("ptr",), Result.ERROR, places=("esp+4",)),
    ),
)
TAKING = (
    FUNCTION
    + """
        movl    $2, %esi
1:      call    first
        call    second
        decl    %esi
        jnz     1b
        exit    0
        function first
        pushl   %ebp
        movl    %esp, %ebp
        pushl   $7
        call    take
        put     eax
        call    take_surely
        call    give
        leave
        ret
        ends    first
        function second
        pushl   %ebp
        movl    %esp, %ebp
        call    take_frame
        put     eax
        pushl   $word
        call    take_blk
        put     eax
        movl    word, %eax
        put     eax
        leave
        ret
        ends    second
        function take
        movl    $0x2000, %eax
        ret
        ends    take
        function take_surely
        movl    $0x3000, %eax
        ret
        ends    take_surely
        function take_frame
        movl    $4, %eax
        ret
        ends    take_frame
        function take_blk
        incl    word
        xorl    %eax, %eax
        ret
        ends    take_blk
        function give
        ret
        ends    give
        .data
word:   .long   0x5000
        .text
"""
)
GOOD = [0x2000, 4, 0, 0x5001, 0x2000, 4, 0, 0x5002]


@pytest.fixture
def machine() -> Machine:
    return machine_of(TAKING)


def failing(machine: Machine, injection: InjectionPolicy) -> tuple[FaultInjector, Recording]:
    recording = record_calls(machine, PROFILE)
    return FaultInjector(recording, PROFILE, injection), recording


@pytest.mark.parametrize(
    ("injection", "results", "failed"),
    [
        (InjectionPolicy(nth=1), [0, 4, 0, 0x5001, 0x2000, 4, 0, 0x5002], ["take"]),
        (InjectionPolicy(nth=2), [0x2000, 0xFFFFFFFF, 0, 0x5001, 0x2000, 4, 0, 0x5002], ["take_frame"]),
        (InjectionPolicy(nth=3), [0x2000, 4, NO_MEMORY, 0x5000, 0x2000, 4, 0, 0x5001], ["take_blk"]),
        (InjectionPolicy(nth=6), [0x2000, 4, 0, 0x5001, 0x2000, 4, NO_MEMORY, 0x5001], ["take_blk"]),
        (InjectionPolicy(nth=7), GOOD, []),
        (
            InjectionPolicy(every=2),
            [0x2000, 0xFFFFFFFF, 0, 0x5001, 0, 4, NO_MEMORY, 0x5001],
            ["take_frame", "take", "take_blk"],
        ),
        (
            InjectionPolicy(caller="sec*"),
            [0x2000, 0xFFFFFFFF, NO_MEMORY, 0x5000] * 2,
            ["take_frame", "take_blk"] * 2,
        ),
        (InjectionPolicy(caller="take"), GOOD, []),
    ],
)
def test_the_chosen_allocations_fail(
    machine: Machine, injection: InjectionPolicy, results: list[int], failed: list[str]
) -> None:
    failures, _ = failing(machine, injection)
    assert machine.run().ending is Returned.EXIT
    assert results_of(machine, 8) == results
    assert [each.call_site.function for each in failures.calls] == failed


def test_a_failed_call_says_what_it_was_and_where(machine: Machine) -> None:
    failures, recording = failing(machine, InjectionPolicy(nth=4))
    machine.run()
    (failed,) = failures.calls
    assert (failed.call_site.call, failed.call_site.function, failed.arguments) == (6, "take", (7,))
    assert failed.result == 0
    assert [frame.function for frame in failed.call_site.backtrace] == ["first", "_start"]
    call = held_calls(recording)[5]
    assert (call.entered, call.left, call.result) == (failed.call_site.event, failed.call_site.event + 1, 0)


def test_a_run_can_be_stopped_at_each_event_of_a_call_that_fails(machine: Machine) -> None:
    straight = machine_of(TAKING)
    _, other = failing(straight, InjectionPolicy(every=1))
    straight.run()
    failures, recording = failing(machine, InjectionPolicy(every=1))
    for event in range(1, other.event_count + 1):
        assert machine.run(stop_at_event=event).ending is Returned.EVENT
        assert recording.event_count == event
    assert machine.run().ending is Returned.EXIT
    assert held_calls(recording) == held_calls(other)
    assert len(failures.calls) == 6
    assert results_of(machine, 8) == results_of(straight, 8)


def test_a_run_can_be_stopped_at_an_allocation_that_fails(machine: Machine) -> None:
    failing(machine, InjectionPolicy(every=1))
    machine.run(stop_at_allocation=2)
    assert machine.allocations.here == 2
    machine.run(stop_at_allocation=2)
    assert machine.allocations.here == 4
    machine.run()
    assert results_of(machine, 2) == [0, 0xFFFFFFFF]


def test_the_same_calls_fail_again_after_a_reset(machine: Machine) -> None:
    failures, recording = failing(machine, InjectionPolicy(caller="second"))
    machine.run(stop_at_event=3)
    snapshot = machine.snapshot()
    machine.run()
    before, calls = failures.calls, held_calls(recording)
    snapshot.reset()
    machine.run()
    assert failures.calls == before
    assert held_calls(recording) == calls


def test_a_budget_counts_over_all_failures(machine: Machine) -> None:
    failing(machine, InjectionPolicy(every=1))
    with pytest.raises(BudgetUsedUp, match=r"^budget of 40 instructions used up "):
        machine.run(max_instructions=40)
    assert results_of(machine, 3) == [0, 0xFFFFFFFF, NO_MEMORY]
    assert results_of(machine, 5)[4] == 0
    assert machine.run(max_instructions=100).ending is Returned.EXIT


@pytest.mark.parametrize("mode", Mode)
def test_failures_do_not_depend_on_who_allocates(mode: Mode) -> None:
    def run(mode: Mode) -> tuple[list[tuple[object, ...]], object]:
        machine = boot("firmware:demo")
        attach_layers(machine, {"heap": mode, "memmap": mode})
        profile = matching_profile(machine.image)
        recording = record_calls(machine, profile)
        failures = FaultInjector(recording, profile, InjectionPolicy(every=3))
        machine.run()
        return [
            (each.call_site.call, each.arguments, each.call_site.backtrace) for each in failures.calls
        ], machine.output

    native = run(Mode.NATIVE)
    assert len(native[0]) > 2
    assert run(mode) == native


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "an injection is one of nth, every and caller"),
        ({"nth": 1, "caller": "f"}, "an injection is one of nth, every and caller"),
        ({"nth": 0}, "allocations are numbered from 1"),
        ({"every": -1}, "allocations are numbered from 1"),
    ],
)
def test_what_is_no_injection(arguments: dict[str, int], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        InjectionPolicy(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("injection", "text"),
    [
        (InjectionPolicy(nth=3), "allocation 3"),
        (InjectionPolicy(every=3), "every allocation number 3"),
        (InjectionPolicy(caller="kma*"), "allocations below kma*"),
    ],
)
def test_in_words(injection: InjectionPolicy, text: str) -> None:
    assert str(injection) == text


def test_an_allocation_has_to_fail_once() -> None:
    assert [InjectionPolicy(nth=3).next_after(number) for number in range(5)] == [3, 3, 3, 0, 0]
    assert [InjectionPolicy(every=2).next_after(number) for number in range(5)] == [2, 2, 4, 4, 6]
