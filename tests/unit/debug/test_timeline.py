from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from emulator import attach_layers, boot
from emulator.debug import StopKind
from emulator.errors import Cancelled
from emulator.guest.stack import dead_stack
from emulator.hle.layers import Mode
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from emulator.replay import travel
from emulator.run.ending import Budget, How
from tests.helpers.debuggers import state_of
from tests.helpers.guest import FUNCTION, machine_of
from tests.helpers.timelines import timeline_of, timeline_on
from tests.unit.machine.board.test_interrupts import IDT

if TYPE_CHECKING:
    from emulator.debug.timeline import Timeline
    from emulator.machine.machine import Machine

LOOPING = (
    FUNCTION
    + """
        movl    $1, %esi
1:      pushl   %esi
        call    take
        addl    $4, %esp
        incl    %esi
        jmp     1b
        function take
        movl    4(%esp), %eax
        ret
        ends    take
"""
)
TAKE = Profile("test", (TracedFunction("take", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),))


def test_a_recorded_timeline_stands_at_the_start() -> None:
    timeline = timeline_of("overflow")
    fresh = boot("firmware:overflow")
    assert (timeline.is_at_start, timeline.event, timeline.event_count, len(timeline.calls)) == (
        True,
        0,
        24,
        12,
    )
    assert timeline.machine.memory.read(0, 5 << 20) == fresh.memory.read(0, 5 << 20)
    assert timeline.machine.cpu.registers() == fresh.cpu.registers()
    assert (timeline.ending.how, timeline.ending.exit_value) == (How.EXIT, 0)


def test_calls_have_arguments_results_and_stacks() -> None:
    timeline = timeline_of("overflow")
    call = timeline.calls.call(5)
    assert call[:7] == (5, 0, 0, "kmalloc", (24,), 9, 10)
    assert call.result == 0x10B008
    assert [str(frame) for frame in timeline.frames(call.stack)] == [
        "kmain+0x3f overflow.c:20",
        "_start+0x33 entry.S:47",
    ]
    assert timeline.frames(0) == ()
    assert timeline.block_of(call) == 0x10B008
    assert timeline.block_of(timeline.calls.call(12)) is None
    assert [timeline.call_of(event) for event in (0, 9, 10, 25)] == [None, call, call, None]


def test_at_an_entry_the_machine_stands_at_the_function_and_after_an_exit_at_the_caller() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to(9)
    assert str(timeline.machine.image.location(timeline.machine.cpu.registers().eip)).startswith(
        "kmalloc+0x0"
    )
    timeline.go_to(10)
    registers = timeline.machine.cpu.registers()
    assert str(timeline.machine.image.location(registers.eip)).startswith("kmain+0x3f")
    assert registers.eax == 0x10B008


@pytest.mark.parametrize("event", [-1, 25])
def test_an_event_that_is_not_there_is_refused(event: int) -> None:
    timeline = timeline_of("overflow")
    with pytest.raises(ValueError, match=rf"^there is no event {event}: the run has events 0 to 24$"):
        timeline.go_to(event)


def test_the_end_can_be_reached_and_left() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to_end()
    assert (timeline.event, timeline.at_end, timeline.is_at_event()) == (24, True, False)
    end = timeline.machine.memory.read(0, 5 << 20)
    timeline.go_to(24)
    assert (timeline.event, timeline.at_end, timeline.is_at_event()) == (24, False, True)
    timeline.go_to_end()
    assert timeline.machine.memory.read(0, 5 << 20) == end


def test_a_fault_is_an_ending() -> None:
    machine = machine_of(FUNCTION + "call take\nmovl 0x70000000, %eax\nfunction take\nret\nends take\n")
    machine.unanswered.expected = frozenset()
    timeline = timeline_on(machine, TAKE)
    timeline.record()
    assert timeline.ending.failed
    assert timeline.ending.problem.startswith("read of unmapped physical memory 0x70000000 at _start+0xa")
    timeline.go_to_end()
    assert str(machine.image.location(machine.cpu.registers().eip)).startswith("_start+0x")
    assert timeline.machine.calls.event_count == 2


def test_a_run_that_a_budget_ends_has_the_events_so_far() -> None:
    machine = machine_of(LOOPING)
    timeline = timeline_on(machine, TAKE, Budget(1000))
    timeline.record()
    assert not timeline.ending.failed
    assert "1000 instructions" in timeline.ending.problem
    assert timeline.event_count == 2 * len(timeline.calls)
    timeline.go_to_end()
    assert (timeline.event, timeline.debugger.moment.instructions) == (timeline.event_count, 1000)
    assert timeline.calls.call(len(timeline.calls)).arguments == (len(timeline.calls),)


def cancel_after(timeline: Timeline, seconds: float, done: threading.Event) -> threading.Thread:
    def nag() -> None:
        time.sleep(seconds)
        while not done.wait(0.01):
            timeline.debugger.cancel()

    thread = threading.Thread(target=nag)
    thread.start()
    return thread


def test_a_recording_can_be_cancelled_and_keeps_what_it_has() -> None:
    timeline = timeline_on(machine_of(LOOPING), TAKE, Budget(timeout_s=20))
    done = threading.Event()
    thread = cancel_after(timeline, 0.1, done)
    timeline.record()
    done.set()
    thread.join()
    timeline.machine.forget_stop()
    assert timeline.ending.problem == "it was stopped by hand"
    assert timeline.event_count > 1000
    timeline.go_to(1001)
    assert timeline.machine.cpu.registers().esi == 501


def test_a_journey_that_is_cancelled_ends_at_an_exact_moment() -> None:
    timeline, other = (timeline_on(machine_of(LOOPING), TAKE, Budget(7_999_999)) for _ in range(2))
    for each in (timeline, other):
        each.record()
    done = threading.Event()
    thread = cancel_after(timeline, 0.02, done)
    with pytest.raises(Cancelled):
        timeline.go_to(timeline.event_count)
    done.set()
    thread.join()
    timeline.machine.forget_stop()
    assert timeline.event < timeline.event_count
    other.debugger.go_to(timeline.debugger.moment)
    assert timeline.machine.cpu.registers() == other.machine.cpu.registers()
    assert timeline.machine.interrupts.now_ns() == other.machine.interrupts.now_ns()
    timeline.go_to(timeline.event_count)
    assert timeline.calls.call(len(timeline.calls)).arguments == (timeline.machine.cpu.registers().esi,)


def changed(machine: Machine) -> int:
    timeline = timeline_on(machine, matching_profile(machine.image))
    timeline.record()
    timeline.go_to(10)
    moment = timeline.debugger.moment
    changes = timeline.changes()
    assert (timeline.event, timeline.debugger.moment, timeline.is_at_event()) == (10, moment, True)
    return sum(len(change.after) for change in changes if change.address >= 0x10A000)


def test_what_a_call_changed_is_found_also_when_a_model_made_it() -> None:
    machine = boot("firmware:overflow")
    attach_layers(machine, {"heap": Mode.MODEL})
    assert changed(machine) == changed(boot("firmware:overflow")) == 6


def test_changes_are_those_of_all_memory_also_over_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "_FIRST", 500)
    timeline = timeline_of("demo")
    memory, size = timeline.machine.memory, len(timeline.machine.memory)
    calls = [each for each in timeline.calls if each.left][::9]
    for call in (*calls, *reversed(calls)):
        assert call.left is not None
        timeline.go_to(call.entered)
        before = memory.read(0, size)
        timeline.go_to(call.left)
        after = memory.read(0, size)
        dead = dead_stack(timeline.machine)
        differing = (
            [at for at in range(size) if before[at] != after[at] and at not in dead]
            if before != after
            else []
        )
        changed = [
            at for each in timeline.changes() for at in range(each.address, each.address + len(each.after))
        ]
        assert changed == differing
        assert memory.read(0, size) == after
        assert (timeline.event, timeline.is_at_event()) == (call.left, True)


def test_a_handler_that_begins_where_a_call_has_returned_is_not_at_its_event() -> None:
    source = """
        lidt    idtr
        gate    6, on_undefined
        call    take
        ud2
        exit    0
on_undefined:
        addl    $2, (%esp)
        iret
        function take
        ret
        ends    take
    """
    timeline = timeline_on(machine_of(FUNCTION + IDT + source), TAKE)
    timeline.record()
    timeline.go_to(2)
    returned = timeline.debugger.moment
    assert timeline.is_at_event()
    timeline.debugger.step()  # which faults
    handler = timeline.debugger.moment
    assert (handler.instructions, handler.faults, timeline.event) == (returned.instructions, 1, 2)
    assert not timeline.is_at_event()
    assert timeline.debugger.moment == handler


def test_a_step_has_changes_of_its_own() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to(10)
    esp = timeline.machine.registers().esp
    stop = timeline.step(timeline.debugger.step)  # mov dword ptr [esp], 0x28
    assert stop.kind is StopKind.STEP
    led = [timeline.is_stepped_to]
    [change] = timeline.changes()
    assert (change.address, change.after) == (esp, b"\x28")
    timeline.debugger.step()
    led.append(timeline.is_stepped_to)
    assert led == [True, False]
    assert timeline.changes() == []


def test_only_after_an_exit_there_are_changes() -> None:
    timeline = timeline_of("overflow")
    for event in (0, 9):
        timeline.go_to(event)
        assert timeline.changes() == []
    timeline.go_to_end()
    assert timeline.changes() == []


def test_calls_that_return_at_one_instruction_are_events_of_their_own() -> None:
    source = (
        "call front\nexit 0\nfunction front\njmp take\nends front\nfunction take\nincl %edi\nret\nends take\n"
    )
    front = TracedFunction("front", "heap", Role.OTHER, (), Result.VALUE)
    timeline = timeline_on(machine_of(FUNCTION + source), Profile("test", (front, TAKE.functions[0])))
    timeline.record()
    assert timeline.event_count == 4
    for event in (3, 4, 3, 2, 4):
        timeline.go_to(event)
        assert (timeline.event, timeline.is_at_event()) == (event, True)
        assert timeline.machine.cpu.registers().edi == (event > 2)


WAITING = (
    FUNCTION
    + """
        pushl   $1
        call    take
        movb    $0xff, %al
        outb    %al, $0x21
        sti
1:      pushl   %esi
        popl    %esi
        jmp     1b
        function take
        movl    4(%esp), %eax
        ret
        ends    take
"""
)


def test_a_run_may_end_where_the_kernel_only_waits_and_ends_there_ever_after() -> None:
    def recorded() -> Timeline:
        timeline = timeline_on(machine_of(WAITING), TAKE, Budget(max_instructions=400_000_000))
        timeline.record(until_idle=True)
        assert timeline.ending.how is How.IDLE
        assert timeline.event_count == 2
        return timeline

    timeline = recorded()
    debugger = timeline.debugger
    timeline.go_to_end()
    end, end_at = state_of(debugger), debugger.moment
    assert debugger.checkpoints.kept > 2, "it has been found in a run that goes on over checkpoints"
    for place in (end_at.instructions - 3, 0, 1000):
        debugger.go_to(place)
        stop = debugger.run()
        assert (stop.kind, stop.ending and stop.ending.how) == (StopKind.ENDED, How.IDLE)
        assert state_of(debugger) == end
    again = recorded()
    again.go_to_end()
    assert state_of(again.debugger) == end
