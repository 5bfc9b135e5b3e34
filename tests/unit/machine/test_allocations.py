"""Stopping at allocations, and leaving functions that were never executed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import attach_layers, boot
from emulator.hle.layers import Mode
from emulator.machine.execution import Returned
from emulator.machine.recording import RecordedFunction, Recording, record
from tests.helpers.guest import FUNCTION, machine_of, results_of, symbol
from tests.helpers.recorded import WholeRecording, held_calls
from tests.unit.machine.test_recording import MANY, ticking

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

NESTED = (
    FUNCTION
    + """
        movl    $3, %esi
1:      pushl   $8
        call    take
taken:  put     eax
        call    look
        call    take_page
        put     eax
        addl    $4, %esp
        decl    %esi
        jnz     1b
        exit    0
        function take
        pushl   %ebp
        movl    %esp, %ebp
        call    take_page
inside: addl    8(%ebp), %eax
        leave
        ret
        ends    take
        function take_page
        incl    pages
        movl    pages, %eax
        shll    $12, %eax
        ret
        ends    take_page
        function look
        ret
        ends    look
        .data
pages:  .long   0
        .text
"""
)
TAKING = (
    RecordedFunction("take", 1, takes=True),
    RecordedFunction("take_page", takes=True),
    RecordedFunction("look"),
)
ROWS = 32768
PLAIN = [0x1008, 0x2000, 0x3008, 0x4000, 0x5008, 0x6000]


@pytest.fixture(params=["fast", "reference"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return machine_of(NESTED, mmu=request.param)


def test_a_run_stops_in_front_of_an_allocation(machine: Machine) -> None:
    record(machine, TAKING)
    stops = []
    for n in (1, 1, 1, 3, 3):
        outcome = machine.run(stop_at_allocation=n)
        assert outcome.ending is Returned.EVENT
        assert machine.allocations.here == machine.allocations.count
        stops.append((outcome.eip, machine.allocations.here))
    take, take_page = symbol(machine, "take"), symbol(machine, "take_page")
    assert stops == [(take, 1), (take_page, 2), (take_page, 3), (take_page, 6), (take_page, 9)]
    assert machine.run(stop_at_allocation=1).ending is Returned.EXIT
    assert machine.allocations.here == 0
    assert results_of(machine, 6) == PLAIN


def test_a_function_is_left_without_being_executed(machine: Machine) -> None:
    recording = record(machine, TAKING)
    machine.run(stop_at_allocation=4)
    esp = machine.cpu.registers().esp
    machine.allocations.return_here(0xFFFFFFF6)
    registers = machine.cpu.registers()
    assert (registers.eip, registers.esp, registers.eax) == (symbol(machine, "taken"), esp + 4, 0xFFFFFFF6)
    assert machine.allocations.here == 0
    assert machine.run().ending is Returned.EXIT
    assert results_of(machine, 6) == [0x1008, 0x2000, 0xFFFFFFF6, 0x3000, 0x4008, 0x5000]
    call = next(call for call in held_calls(recording) if call.result == 0xFFFFFFF6)
    assert (call.entered, call.left, call.arguments) == (9, 10, (8,))
    assert call.time_ns == call.left_time_ns
    assert machine.allocations.count == 8


def test_a_call_inside_a_call_can_be_left(machine: Machine) -> None:
    recording = record(machine, TAKING)
    machine.run(stop_at_allocation=2)
    machine.allocations.return_here(0x7000)
    assert machine.cpu.registers().eip == symbol(machine, "inside")
    machine.run()
    assert results_of(machine, 2) == [0x7008, 0x1000]
    assert [(call.entered, call.left) for call in held_calls(recording)[:2]] == [(1, 4), (2, 3)]


def test_only_a_function_at_whose_entry_the_machine_stands_can_be_left(machine: Machine) -> None:
    refused = r"^the machine does not stand at the entry of a recorded function$"
    record(machine, TAKING)
    with pytest.raises(ValueError, match=refused):
        machine.allocations.return_here(0)
    machine.run(stop_at_allocation=2)
    machine.allocations.return_here(0)
    with pytest.raises(ValueError, match=refused):
        machine.allocations.return_here(0)
    machine.run(stop_at_event=4)  # after the ret of take
    with pytest.raises(ValueError, match=refused):
        machine.allocations.return_here(0)
    assert machine.run(stop_at_event=5).ending is Returned.EVENT  # the entry of look, which takes nothing
    assert machine.allocations.here == 0
    machine.allocations.return_here(0)
    assert machine.run().ending is Returned.EXIT


def test_an_event_that_is_passed_while_the_machine_stands_ends_no_run(machine: Machine) -> None:
    recording = record(machine, TAKING)
    machine.run(stop_at_allocation=2, stop_at_event=3)
    machine.allocations.return_here(0)
    assert recording.event_count == 3
    assert machine.run().ending is Returned.EXIT


def test_what_comes_first_ends_the_run(machine: Machine) -> None:
    recording = record(machine, TAKING)
    machine.run(stop_at_allocation=3, stop_at_event=3)
    assert (recording.event_count, machine.allocations.here) == (3, 0)
    machine.run(stop_at_allocation=1, stop_at_event=8)
    assert (recording.event_count, machine.allocations.here) == (7, 3)


def test_passed_stacks_are_not_counted(machine: Machine) -> None:
    recording = record(machine, TAKING)
    machine.run(stop_at_allocation=1)
    stack = held_calls(recording)[-1].stack
    machine.allocations.pass_stack(stack, yes=True)
    machine.run(stop_at_allocation=3)
    assert [call.function for call in held_calls(recording)] == [
        "take",
        "take_page",
        "look",
        "take_page",
        "take",
        "take_page",
    ]
    assert machine.allocations.here == 4
    machine.allocations.pass_stack(stack, yes=False)
    machine.run(stop_at_allocation=2)
    assert (machine.allocations.here, held_calls(recording)[-1].function) == (6, "take")


def test_a_snapshot_knows_where_the_machine_stands(machine: Machine) -> None:
    recording = record(machine, TAKING)
    machine.run(stop_at_allocation=4)
    results = []
    with machine.snapshot() as snapshot:
        for result in (0, 1, 2):
            machine.allocations.return_here(result)
            machine.run()
            results.append((results_of(machine, 6), recording.event_count))
            snapshot.reset()
            assert machine.allocations.here == machine.allocations.count == 4
        machine.run(stop_at_event=recording.event_count + 4)  # at the entry of look
        assert machine.allocations.here == 0
        snapshot.reset()
        assert machine.allocations.here == 4
    assert results == [([0x1008, 0x2000, n, 0x3000, 0x4008, 0x5000], 22) for n in range(3)]
    machine.run()
    assert results_of(machine, 6) == PLAIN


def test_stopping_at_every_allocation_changes_nothing() -> None:
    machine, straight = ticking(), ticking()
    functions = [RecordedFunction("work"), RecordedFunction("take", takes=True)]
    recording, other = record(machine, functions), record(straight, functions)
    straight.run()
    stops = 0
    while machine.run(stop_at_allocation=1).ending is Returned.EVENT:
        stops += 1
    assert stops == straight.allocations.count > 500
    assert held_calls(recording) == held_calls(other)
    assert machine.interrupts.now_ns() == straight.interrupts.now_ns()
    assert machine.memory.read(0, len(machine.memory)) == straight.memory.read(0, len(straight.memory))


def demo(mode: Mode) -> tuple[Machine, Recording]:
    machine = boot("firmware:demo")
    attach_layers(machine, {"heap": mode, "memmap": mode})
    functions = [
        RecordedFunction(name, 1, takes=name != "kfree") for name in ("kmalloc", "alloc_frames", "kfree")
    ]
    return machine, record(machine, functions)


def output_of_a_failure(mode: Mode, number: int) -> object:
    machine, recording = demo(mode)
    machine.run(stop_at_allocation=number)
    machine.allocations.return_here(0)
    call = held_calls(recording)[-1]
    assert (call.result, call.left) == (0, call.entered + 1)
    machine.run()
    return machine.output


@pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
def test_a_model_does_not_see_a_call_that_is_left(mode: Mode) -> None:
    for number in (2, 12):
        assert output_of_a_failure(mode, number) == output_of_a_failure(Mode.NATIVE, number)


@pytest.mark.parametrize("mode", Mode)
def test_stopping_at_a_model_changes_nothing(mode: Mode) -> None:
    straight, other = demo(mode)
    straight.run()
    machine, recording = demo(mode)
    for event in range(1, other.event_count + 1):
        assert machine.run(stop_at_event=event).ending is Returned.EVENT
        assert recording.event_count == event
    machine.run()
    assert machine.output == straight.output
    assert held_calls(recording) == held_calls(other)


@pytest.mark.parametrize("number", [ROWS - 1, ROWS, ROWS + 1, 2 * ROWS])
def test_the_newest_call_is_there_when_the_columns_are_full(number: int) -> None:
    machine = machine_of(FUNCTION + MANY)
    whole = WholeRecording(machine, [RecordedFunction("inner", takes=True)])
    machine.run(stop_at_allocation=number)
    assert held_calls(whole.recording)[-1].number == number
    machine.allocations.return_here(5)
    assert held_calls(whole.recording)[-1].result == 5
    machine.run()
    assert [call.number for call in whole.calls()] == list(range(1, 100_001))
    assert whole.calls()[number - 1].result == 5


def test_an_observer_answers_in_calls_from_python(machine: Machine) -> None:
    record(machine, TAKING)

    class Second:
        def next_after(self, number: int) -> int:
            return 2 if number < 2 else 0

        def answer(self, number: int) -> int | None:
            return 0xABC0 if number == 2 else None

    with machine.allocations.observe(Second()):
        assert machine.call("take", 8) == 0xABC8
        assert machine.call("take", 8) == 0x1008
