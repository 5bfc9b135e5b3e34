"""Recorded calls: arguments, results, nesting, stacks, whatever way the guest takes in and out of a function."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from emulator import attach_layers, boot
from emulator.errors import BudgetUsedUp, KernelMismatch, UnsupportedFunction
from emulator.hle.layers import Mode
from emulator.machine.core.observed import StepKind
from emulator.machine.execution import Returned
from emulator.machine.recording import FUNCTIONS_MAX, VALUES_MAX, RecordedFunction, record
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.run.recorded import record_trace
from emulator.trace.trace import Trace
from tests.helpers.guest import ADDING, FUNCTION, machine_of, symbol
from tests.helpers.recorded import WholeRecording, held_calls
from tests.unit.machine.board.test_interrupts import IDT, ON_TICK, TIMER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from emulator.machine.machine import Machine
    from emulator.trace.table import Call


@pytest.fixture(params=["fast", "reference"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return machine_of(ADDING, mmu=request.param)


def calls_of(source: str, functions: Sequence[str | RecordedFunction]) -> list[Call]:
    machine = machine_of(FUNCTION + source)
    whole = WholeRecording(machine, functions)
    machine.run(timeout_s=10)
    return whole.calls()


def shape(calls: list[Call]) -> list[tuple[str, int, int, int, int | None]]:
    """Function, parent, depth, entered, left."""
    return [(call.function, call.parent, call.depth, call.entered, call.left) for call in calls]


def test_a_call_keeps_its_arguments_and_its_result(machine: Machine) -> None:
    recording = record(machine, [RecordedFunction("add", 4)])
    machine.run()
    calls = held_calls(recording)
    assert [call.number for call in calls] == [1, 2, 3, 4, 5, 6]
    assert [call.arguments for call in calls] == [(n, 20, 30, 40) for n in range(6, 0, -1)]
    assert [call.result for call in calls] == [n + 20 for n in range(6, 0, -1)]
    assert [(call.entered, call.left) for call in calls] == [(n, n + 1) for n in range(1, 12, 2)]
    assert {recording.stack(call.stack) for call in calls} == {(symbol(machine, "returns"),)}
    assert recording.event_count == 12


def test_recording_does_not_change_what_the_guest_does(machine: Machine) -> None:
    plain = machine_of(ADDING, mmu=machine.mmu)
    plain.run()
    record(machine, [RecordedFunction("add", 1)])
    machine.run()
    assert machine.memory.read(0, len(machine.memory)) == plain.memory.read(0, len(plain.memory))
    assert machine.cpu.registers() == plain.cpu.registers()


def test_code_that_has_run_before_is_recorded_too(machine: Machine) -> None:
    assert machine.call("add", 1, 2) == 3
    recording = record(machine, [RecordedFunction("add", 2)])
    assert machine.call("add", 3, 4) == 7
    assert [call.arguments for call in held_calls(recording)] == [(3, 4)]


def test_a_new_recording_begins_at_one(machine: Machine) -> None:
    first = record(machine, [RecordedFunction("add", 2)])
    machine.call("add", 3, 4)
    first.close()
    machine.call("add", 4, 5)
    recording = record(machine, [RecordedFunction("add", 1)])
    machine.call("add", 5, 6)
    assert [(call.number, call.arguments) for call in held_calls(recording)] == [(1, (5,))]


def test_a_second_recording_at_once_is_refused(machine: Machine) -> None:
    recording = record(machine, [RecordedFunction("add", 2)])
    with pytest.raises(
        ValueError, match=r"^the machine's calls are recorded already: close that recording first$"
    ):
        record(machine, [RecordedFunction("add", 1)])
    machine.call("add", 3, 4)
    assert [call.arguments for call in held_calls(recording)] == [(3, 4)]


def test_a_closed_recording_ends_no_later_one(machine: Machine) -> None:
    first = record(machine, [RecordedFunction("add", 2)])
    first.close()
    second = record(machine, [RecordedFunction("add", 1)])
    first.close()
    machine.call("add", 5, 6)
    assert second.event_count == 2


def test_what_cannot_be_recorded_is_refused(machine: Machine) -> None:
    with pytest.raises(KernelMismatch, match=r"no function 'subtract'"):
        record(machine, [RecordedFunction("add"), RecordedFunction("subtract")])
    with pytest.raises(ValueError, match=r"^add: 9 arguments, not 0 to 8$"):
        record(machine, [RecordedFunction("add", VALUES_MAX + 1)])
    with pytest.raises(ValueError, match=r"^128 functions cannot be recorded at once, 127 can$"):
        record(machine, [RecordedFunction("add")] * (FUNCTIONS_MAX + 1))


def test_arguments_on_a_stack_that_crosses_a_page_are_read(machine: Machine) -> None:
    recording = record(machine, [RecordedFunction("add", 4)])
    registers = machine.cpu.registers()
    for esp in range(0x8FF0, 0x9010, 4):
        machine.cpu.set_registers(registers._replace(esp=esp))
        machine.call("add", 1, 2, 3, 4)
        assert held_calls(recording)[-1].arguments == (1, 2, 3, 4)


def test_a_stack_outside_ram_reads_as_zero() -> None:
    (call,) = calls_of(
        "movl $0xe0000000, %esp\n jmp nowhere\n function nowhere\n hlt\n ret\n ends nowhere",
        [RecordedFunction("nowhere", 2)],
    )
    assert (call.esp, call.arguments, call.left) == (0xE0000000, (0, 0), None)


def test_recursion() -> None:
    calls = calls_of(
        """
        pushl   $3
        call    down
        exit    0
        function down
        movl    4(%esp), %eax
        testl   %eax, %eax
        jz      1f
        decl    %eax
        pushl   %eax
        call    down
        addl    $4, %esp
        incl    %eax
1:      ret
        ends    down
        """,
        ["down"],
    )
    assert shape(calls) == [
        ("down", 0, 0, 1, 8),
        ("down", 1, 1, 2, 7),
        ("down", 2, 2, 3, 6),
        ("down", 3, 3, 4, 5),
    ]
    assert [call.result for call in calls] == [3, 2, 1, 0]


def test_a_function_left_by_a_jump_ends_with_the_one_jumped_to() -> None:
    calls = calls_of(
        """
        call    front
        call    back
        exit    0
        function front
        cmpl    $1, %ebx
        jne     back
        ret
        ends    front
        function back
        movl    $7, %eax
        jmp     unknown
        ends    back
        function unknown
        incl    %eax
        ret
        ends    unknown
        """,
        ["front", "back"],
    )
    assert shape(calls) == [("front", 0, 0, 1, 4), ("back", 1, 1, 2, 3), ("back", 0, 0, 5, 6)]
    assert [call.result for call in calls] == [8, 8, 8]


def test_functions_that_never_return_stay_open() -> None:
    calls = calls_of(
        """
        call    last
        function last
        call    inner
        exit    0
        ends    last
        function inner
        ret
        ends    inner
        """,
        ["last", "inner"],
    )
    assert shape(calls) == [("last", 0, 0, 1, None), ("inner", 1, 1, 2, 3)]
    assert (calls[0].result, calls[0].left_time_ns) == (None, None)


def test_a_jump_out_of_a_function_abandons_it() -> None:
    calls = calls_of(
        """
        movl    $3, %ecx
again:  movl    $stack, %esp
        pushl   %ecx
        call    escape
escaped:
        popl    %ecx
        loop    again
        movl    $stack, %esp
        call    other
        exit    0
        function escape
        movl    $stack - 4, %esp
        jmp     escaped
        ret
        ends    escape
        function other
        ret
        ends    other
        """,
        ["escape", "other"],
    )
    assert shape(calls) == [
        ("escape", 0, 0, 1, None),
        ("escape", 0, 0, 2, None),
        ("escape", 0, 0, 3, None),
        ("other", 0, 0, 4, 5),
    ]


TASKS = """
        .bss
        .balign 4096
        .skip   4096
stack_b:
        .data
esp_b:  .long   stack_b - 8
        .text
        movl    $task_b, stack_b - 4
        movl    $0, stack_b - 8
        xorl    %ebp, %ebp
        call    wait
        call    wait
        exit    0
task_b: pushl   %ebp
        movl    %esp, %ebp
1:      call    take
        call    switch
        jmp     1b
        function wait
        pushl   %ebp
        movl    %esp, %ebp
        call    switch
        call    take
        leave
        ret
        ends    wait
        function take
        ret
        ends    take
switch: pushl   %ebp
        xchgl   %esp, esp_b
        popl    %ebp
        ret
"""


def test_calls_of_two_tasks_do_not_nest_in_each_other() -> None:
    calls = calls_of(TASKS, ["wait", "take"])
    assert shape(calls) == [
        ("wait", 0, 0, 1, 6),  # wait of the first task, in the middle of which
        ("take", 0, 0, 2, 3),  # the second task takes
        ("take", 1, 1, 4, 5),
        ("wait", 0, 0, 7, 12),
        ("take", 0, 0, 8, 9),
        ("take", 4, 1, 10, 11),
    ]


TICKING_ALLOCATOR = (
    IDT
    + """
        movl    $stack, %esp
        lidt    idtr
"""
    + TIMER
    + """
        xorl    %ebp, %ebp
        sti
        call    work
        exit    0
        function work
        pushl   %ebp
        movl    %esp, %ebp
        movl    $500, %ecx
1:      call    take
        loop    1b
        leave
        ret
        ends    work
        function take
        pushl   %ebp
        movl    %esp, %ebp
        movl    $100, %eax
1:      decl    %eax
        jnz     1b
        leave
        ret
        ends    take
"""
    + ON_TICK.replace("incl    ticks", "call take\n incl ticks")
)


def ticking() -> Machine:
    """Return a machine whose timer ticks every few hundred instructions."""
    machine = machine_of(FUNCTION + TICKING_ALLOCATOR)
    machine.interrupts.instruction_ns = 1300
    return machine


def test_a_call_in_an_interrupt_is_no_part_of_what_was_interrupted() -> None:
    machine = ticking()
    whole = WholeRecording(machine, ["work", "take"])
    machine.run(timeout_s=10)
    calls = whole.calls()
    inner = [call for call in calls[1:] if call.parent != 1]
    assert len(calls) == 501 + machine.memory.load_u32(symbol(machine, "ticks"))
    assert len(inner) == len(calls) - 501 > 1
    assert {(call.parent, call.depth) for call in inner} == {(0, 0)}
    assert any(
        outer.entered < call.entered < (call.left or 0) < (outer.left or 0)
        for call in inner
        for outer in calls[1:]
        if outer.parent == 1
    )


def test_every_block_of_an_interrupted_allocator_is_one(tmp_path: Path) -> None:
    machine = ticking()
    take = TracedFunction("take", "heap", Role.ALLOC, (), Result.POINTER, None)
    with record_trace(machine, tmp_path / "t", Profile("mine", (take,))):
        machine.run(timeout_s=10)
    trace = Trace.read(tmp_path / "t")
    assert len(trace) == len(trace.blocks("heap").born) > 501


def test_the_stack_of_a_call_in_an_interrupt_goes_on_with_what_was_interrupted() -> None:
    machine = ticking()
    whole = WholeRecording(machine, ["take"])
    machine.run(timeout_s=10)
    inner = next(call for call in whole.calls() if len(whole.recording.stack(call.stack)) > 2)
    names = []
    for frame in whole.recording.stack(inner.stack):
        found = machine.image.function_at(frame - 1)
        names.append(found[0].name if found else "?")
    assert names in (["on_tick", "take", "work", "_start"], ["on_tick", "take", "_start"])


def test_the_word_an_out_parameter_points_to_is_read_at_the_return() -> None:
    calls = calls_of(
        """
        pushl   $5
        pushl   $results
        call    give
        exit    0
        function give
        movl    4(%esp), %edx
        movl    $0x1234, (%edx)
        xorl    %eax, %eax
        ret
        ends    give
        """,
        [RecordedFunction("give", 2, 0)],
    )
    assert [(call.result, call.out, call.arguments[1]) for call in calls] == [(0, 0x1234, 5)]


MANY = """
        call    outer
        exit    0
        function outer
        movl    $100000, %ecx
1:      call    inner
        loop    1b
        movl    $9, %eax
        ret
        ends    outer
        function inner
        movl    %ecx, %eax
        ret
        ends    inner
"""


def test_a_call_returns_after_its_row_was_handed_over() -> None:
    calls = calls_of(MANY, ["outer", "inner"])
    assert len(calls) == 100_001
    assert (calls[0].left, calls[0].result) == (200_002, 9)
    assert [call.result for call in calls[1:]] == list(range(100_000, 0, -1))
    assert [call.entered for call in calls[1:]] == list(range(2, 200_002, 2))
    assert {call.parent for call in calls[1:]} == {1}


def test_without_a_taker_the_newest_calls_remain() -> None:
    machine = machine_of(FUNCTION + MANY)
    recording = record(machine, [RecordedFunction("outer"), RecordedFunction("inner")])
    machine.run()
    calls = held_calls(recording)
    assert calls[-1].number == 100_001
    assert calls[0].number == 100_001 - 100_001 % 32768 + 1
    assert recording.event_count == 200_002


def test_an_error_in_the_taker_ends_the_run() -> None:
    machine = machine_of(FUNCTION + MANY)

    def refuse(_rows: object) -> None:
        raise OSError("disk full")

    record(machine, [RecordedFunction("inner")], refuse)
    with pytest.raises(OSError, match="disk full"):
        machine.run()


def test_a_modelled_function_is_recorded_as_its_native_twin() -> None:
    names = ["kmalloc", "kfree", "alloc_frame", "free_frame", "alloc_frames", "free_frames"]

    def recorded(mode: Mode) -> list[tuple[object, ...]]:
        machine = boot("firmware:demo")
        attach_layers(machine, {"heap": mode, "memmap": mode})
        whole = WholeRecording(machine, names)
        machine.run()
        return [  # what kfree leaves in EAX is no result
            (call.function, call.arguments[:1], call.function != "kfree" and call.result, stack)
            for call, stack in whole.with_stacks()
        ]

    native = recorded(Mode.NATIVE)
    assert len(native) > 50
    assert recorded(Mode.MODEL) == native
    assert recorded(Mode.LOCKSTEP) == native


def test_going_back_to_a_snapshot_takes_back_the_calls() -> None:
    machine = machine_of(FUNCTION + MANY.replace("100000", "5"))
    recording = record(machine, [RecordedFunction("outer"), RecordedFunction("inner")])
    machine.run(stop_at_event=4)
    snapshot = machine.snapshot()
    machine.run()
    whole = held_calls(recording)
    snapshot.reset()
    assert recording.event_count == 4
    assert [call.number for call in held_calls(recording)] == [1, 2, 3]
    assert [call.left for call in held_calls(recording)] == [None, 3, None]
    machine.run()
    assert held_calls(recording) == whole


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_a_run_stops_at_the_function_or_after_its_call(mmu: str) -> None:
    machine = machine_of(ADDING, mmu=mmu)
    recording = record(machine, [RecordedFunction("add", 1)])
    outcome = machine.run(stop_at_event=3)
    assert outcome.ending is Returned.EVENT
    assert outcome.eip == symbol(machine, "add")
    outcome = machine.run(stop_at_event=4)
    assert outcome.eip == symbol(machine, "returns")
    assert machine.cpu.registers().eax == 25
    assert machine.run().ending is Returned.EXIT
    assert recording.event_count == 12


def test_stopping_at_every_event_changes_nothing() -> None:
    machine, straight = ticking(), ticking()
    recording = record(machine, [RecordedFunction("work"), RecordedFunction("take")])
    other = record(straight, [RecordedFunction("work"), RecordedFunction("take")])
    straight.run()
    for event in range(1, other.event_count + 1):
        assert machine.run(stop_at_event=event).ending is Returned.EVENT
        assert recording.event_count == event
    machine.run()
    assert held_calls(recording) == held_calls(other)
    assert machine.interrupts.now_ns() == straight.interrupts.now_ns()
    assert machine.memory.read(0, len(machine.memory)) == straight.memory.read(0, len(straight.memory))


def test_a_modelled_function_has_an_exit_after_a_stop_at_its_entry() -> None:
    machine, straight = boot("firmware:overflow"), boot("firmware:overflow")
    functions = [RecordedFunction("kmalloc", 1), RecordedFunction("kfree", 1)]
    attach_layers(machine, {"heap": Mode.MODEL})
    attach_layers(straight, {"heap": Mode.MODEL})
    recording, other = record(machine, functions), record(straight, functions)
    straight.run()
    assert other.event_count == 14
    for event in range(1, 15):
        assert machine.run(stop_at_event=event).ending is Returned.EVENT
        assert recording.event_count == event
    machine.run()
    assert held_calls(recording) == held_calls(other)


WRITES = """
        movl    $1, 0x300000
        call    writer
        movl    $3, 0x300004
        movb    $4, 0x2ffffc
        exit    0
        function writer
        pushl   %ebp
        movl    %esp, %ebp
        movl    $0x2fffff, %edi
write:  movl    $0x11223344, (%edi)
behind: leave
        ret
        ends    writer
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_the_last_write_to_a_word_is_kept(mmu: str) -> None:
    machine = machine_of(FUNCTION + WRITES, mmu=mmu)
    record(machine, [RecordedFunction("writer")])
    watchpoint = machine.observers.watch(0x300000, 4)
    machine.run()
    write = watchpoint.last_write()
    assert write is not None
    assert (write.eip, write.event) == (symbol(machine, "write"), 1)
    assert (write.before, write.after) == (1, 0x112233)
    assert str(machine.image.location(write.callers[0] - 1)).startswith("_start+")


def test_a_word_that_nobody_writes_has_no_last_write() -> None:
    machine = machine_of(FUNCTION + WRITES)
    watchpoint = machine.observers.watch(0x300008, 4)
    machine.run()
    assert watchpoint.last_write() is None
    assert watchpoint.changes() is None


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_writes_that_change_a_word_are_kept(mmu: str) -> None:
    source = """
        movl    $0, 0x300000
first:  movl    $7, 0x300000
last:   movl    $8, 0x300000
        movl    $8, 0x300000
        exit    0
"""
    machine = machine_of(source, mmu=mmu)
    watchpoint = machine.observers.watch(0x300000, 4)
    machine.run()
    changes = watchpoint.changes()
    assert changes is not None
    assert [(each.eip, each.before, each.after, each.writes) for each in changes] == [
        (symbol(machine, "first"), 0, 7, 2),
        (symbol(machine, "last"), 7, 8, 3),
    ]
    assert machine.observers.watch(0x300000, 4).changes() is None


def test_open_calls_are_counted() -> None:
    machine = machine_of(FUNCTION + WRITES)
    record(machine, [RecordedFunction("writer")])
    assert machine.calls.open_calls == 0
    machine.run(stop_at_event=1)
    assert machine.calls.open_calls == 1
    machine.run(stop_at_event=2)
    assert machine.calls.open_calls == 0


STEPS = """
        pushl   $5
        call    work
behind: exit    0
        function work
        movl    4(%esp), %eax
        addl    %eax, 0x300000
        movb    $7, 0x300002
        ret
        ends    work
"""


def test_the_steps_of_a_call_are_its_instructions_with_what_they_load_and_store() -> None:
    machine = machine_of(FUNCTION + STEPS)
    machine.memory.store_u32(0x300000, 0x100)
    record(machine, [RecordedFunction("work", 1)])
    machine.run(stop_at_event=1)
    esp = machine.cpu.registers().esp
    with machine.observers.log_steps(100) as log:
        machine.run(stop_at_event=2)
        steps = log.steps()
    instructions = [step for step in steps if step.kind is StepKind.INSTRUCTION]
    start = symbol(machine, "work")
    assert [(step.address - start, step.size) for step in instructions] == [(0, 4), (4, 6), (10, 7), (17, 1)]
    assert [tuple(step) for step in steps if step.kind is not StepKind.INSTRUCTION] == [
        (StepKind.LOAD, esp + 4, 4, 5),
        (StepKind.LOAD, 0x300000, 4, 0x100),
        (StepKind.STORE, 0x300000, 4, 0x105),
        (StepKind.STORE, 0x300002, 1, 7),
        (StepKind.LOAD, esp, 4, symbol(machine, "behind")),
    ]
    assert machine.run().ending is Returned.EXIT


def test_no_more_steps_are_kept_than_asked_for() -> None:
    machine = machine_of(FUNCTION + STEPS)
    log = machine.observers.log_steps(3)
    machine.run()
    assert len(log.steps()) == 3


COMES_BACK = """
        movl    $3, %ecx
1:      movl    %ecx, %ebx
        call    front
        loop    1b
        exit    0
        function front
        decl    %ebx
        jmp     back
        ends    front
        function back
        nop
        {way}
        ret
        ends    back
"""


@pytest.mark.parametrize("way", ["testl %ebx, %ebx\n jnz front", "testl %ebx, %ebx\n jz 1f\n jmp front\n1:"])
def test_jumps_that_come_back_to_a_function_are_calls_in_it(way: str) -> None:
    calls = calls_of(COMES_BACK.format(way=way), ["front", "back"])
    assert shape(calls) == [
        *[
            ("front", 0, 0, 1, 12),
            ("back", 1, 1, 2, 11),
            ("front", 2, 2, 3, 10),
            ("back", 3, 3, 4, 9),
            ("front", 4, 4, 5, 8),
            ("back", 5, 5, 6, 7),
        ],
        *[("front", 0, 0, 13, 20), ("back", 7, 1, 14, 19), ("front", 8, 2, 15, 18), ("back", 9, 3, 16, 17)],
        *[("front", 0, 0, 21, 24), ("back", 11, 1, 22, 23)],
    ]


def test_a_jump_is_remembered_by_snapshots() -> None:
    source = COMES_BACK.format(way="testl %ebx, %ebx\n jnz front")
    machine = machine_of(FUNCTION + source)
    recording = record(machine, [RecordedFunction("front"), RecordedFunction("back")])
    exited = False
    while not exited:
        with machine.snapshot() as snapshot:
            for _ in range(4):
                with suppress(BudgetUsedUp):
                    machine.run(max_instructions=1)
            snapshot.reset()
        with suppress(BudgetUsedUp):
            exited = machine.run(max_instructions=1).ending is Returned.EXIT
    assert shape(held_calls(recording)) == shape(calls_of(source, ["front", "back"]))


def test_a_function_that_was_left_is_called_anew_although_it_can_be_jumped_to() -> None:
    calls = calls_of(
        """
        movl    $3, %ecx
        movl    $1, %ebx
again:  movl    $stack, %esp
        pushl   %ecx
        call    escape
escaped:
        popl    %ecx
        loop    again
        movl    $stack, %esp
        pushl   $0
        pushl   $0            # where the return address lay
        movl    $back, %eax
        movl    $-8, %ebx
        call    *%eax
        exit    0
        function escape
        jmp     back
        ends    escape
        function back
        decl    %ebx
        je      2f
        cmpl    $-9, %ebx
        je      1f
        jmp     *out
1:      call    take
        ret
2:      jmp     escape
        ends    back
        function take
        ret
        ends    take
        .data
out:    .long   leave
        .text
leave:  movl    $stack - 4, %esp
        jmp     escaped
        """,
        ["escape", "take"],
    )
    assert shape(calls) == [
        *[("escape", 0, 0, 1, None), ("escape", 1, 1, 2, None)],
        *[("escape", 0, 0, 3, None), ("escape", 0, 0, 4, None)],
        ("take", 0, 0, 5, 6),
    ]


def test_a_stack_below_that_of_another_task_has_not_grown_out_of_it() -> None:
    """There are no frame pointers; both tasks are in `wait`, of which that on the stack further up was entered last."""
    calls = calls_of(
        """
        .bss
        .balign 4096
        .skip   256
stack_a:
        .skip   256
stack_b:
        .data
other:  .long   stack_b - 8
        .text
        movl    $stack_a, %esp
        movl    $-1, %ebp
        movl    $task_b, stack_b - 8
        call    wait
        call    helper
        exit    0
task_b: call    wait
        function wait
        nop
        call    switch
        call    take
        ret
        ends    wait
        function helper
        call    take
        ret
        ends    helper
        function take
        ret
        ends    take
        function switch
        xchgl   %esp, other
        ret
        ends    switch
        """,
        ["wait", "take"],
    )
    assert shape(calls) == [
        ("wait", 0, 0, 1, 5),
        ("wait", 0, 0, 2, None),
        ("take", 1, 1, 3, 4),
        ("take", 0, 0, 6, 7),
    ]


def test_the_frames_of_any_number_of_functions_without_frame_pointers_are_skipped() -> None:
    calls = calls_of(
        """
        movl    $-1, %ebp
        call    outer
        exit    0
        function outer
        subl    $256, %esp
        movl    $middle, %eax
        call    *%eax
        addl    $256, %esp
        ret
        ends    outer
        function middle
        pushl   $before       # what a call of another function would have left
        pushl   $0
        jmp     last
        ends    middle
        function last
        call    take
before: addl    $8, %esp
        ret
        ends    last
        function take
        ret
        ends    take
        """,
        ["outer", "take"],
    )
    assert shape(calls) == [("outer", 0, 0, 1, 4), ("take", 1, 1, 2, 3)]


@pytest.mark.parametrize("address", [0x80105A90, 0x004FFFFF, 0xFFFFFFFF])
def test_a_function_that_no_memory_backs_cannot_be_watched(address: int) -> None:
    ghost = f".globl ghost\n .type ghost, @function\n .set ghost, 0x{address:x}\n exit 0"
    message = rf"^cannot watch ghost: its symbol at 0x{address:08x} covers no code$"
    with pytest.raises(UnsupportedFunction, match=message):
        record(machine_of(ghost), [RecordedFunction("ghost")])


def test_there_is_a_function_to_record() -> None:
    with pytest.raises(ValueError, match=r"^there is no function to record$"):
        record(machine_of(ADDING), [])
