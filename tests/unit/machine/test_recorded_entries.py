"""Functions that are entered at several addresses, with values in registers, constants, and computed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.loader.functions.entries import Entry
from emulator.loader.functions.locations import (
    Computed,
    InRegister,
    IsConstant,
    Location,
    NotKnown,
    OnStack,
    Operation,
)
from emulator.machine.recording import ENTRIES_MAX, OPERATIONS_MAX, VALUES_MAX, RecordedFunction, record
from tests.helpers.guest import FUNCTION, machine_of, symbol
from tests.helpers.recorded import WholeRecording, held_calls

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from emulator.trace.table import Call

SOURCE = """
        movl    $0x11, %eax
        movl    $0x22, %ecx
        movl    $0x33, %edx
        movl    $0x44, %ebx
        movl    $0x66, %ebp
        movl    $0x77, %esi
        movl    $0x88, %edi
        pushl   $0x0a0b0c0d
        pushl   $words
        call    take
        call    copy
        exit    0
        function take
        movl    $0x5000, %eax
        addl    $4, words
        ret
        ends    take
        function copy
        ret
        ends    copy
words:  .long   0x12345678, 0x9abcdef0
"""


def entry(machine: Machine, name: str, *values: Location, block: Computed | None = None) -> Entry:
    start = symbol(machine, name)
    return Entry(start, start + 1, values, block)


def calls(machine: Machine, *entries: Entry, count: int) -> list[Call]:
    recording = record(machine, [RecordedFunction("take", count, entries=entries)])
    machine.run(timeout_s=10)
    return held_calls(recording)


@pytest.fixture
def machine() -> Machine:
    return machine_of(FUNCTION + SOURCE)


def test_registers(machine: Machine) -> None:
    some, others = ("eax", "ecx", "edx", "ebx"), ("ebp", "esi", "edi")
    first = entry(machine, "take", *map(InRegister, some))
    second = entry(machine, "copy", *map(InRegister, others))
    found = [call.arguments for call in calls(machine, first, second, count=4)]
    assert found == [(0x11, 0x22, 0x33, 0x44), (0x66, 0x77, 0x88, 0)]


def test_words_of_the_stack_at_any_offset(machine: Machine) -> None:
    (call,) = calls(machine, entry(machine, "take", *map(OnStack, (8, 4, 10, 0))), count=4)
    assert call.arguments == (0x0A0B0C0D, symbol(machine, "words"), call.arguments[2], call.arguments[3])
    assert call.arguments[2] & 0xFFFF == 0x0A0B


def test_constants_and_what_is_not_known(machine: Machine) -> None:
    (call,) = calls(machine, entry(machine, "take", IsConstant(0xFFFFFFFE), NotKnown("removed")), count=2)
    assert call.arguments == (0xFFFFFFFE, 0)


def computation(*operations: tuple[Operation, int]) -> Computed:
    return Computed(operations)


@pytest.mark.parametrize(
    ("operation", "left", "right", "value"),
    [
        (Operation.ADD, 0xFFFFFFFF, 2, 1),
        (Operation.SUBTRACT, 1, 2, 0xFFFFFFFF),
        (Operation.MULTIPLY, 0x10001, 0x10001, 0x20001),
        (Operation.DIVIDE, 17, 5, 3),
        (Operation.DIVIDE, 17, 0, 0),
        (Operation.AND, 6, 3, 2),
        (Operation.OR, 6, 3, 7),
        (Operation.SHIFT_LEFT, 3, 31, 0x80000000),
        (Operation.SHIFT_LEFT, 3, 32, 0),
        (Operation.SHIFT_RIGHT, 0x80000000, 31, 1),
        (Operation.SHIFT_RIGHT, 3, 33, 0),
        (Operation.EQUAL, 3, 3, 1),
        (Operation.EQUAL, 3, 4, 0),
        (Operation.DIFFERENT, 3, 3, 0),
        (Operation.DIFFERENT, 3, 4, 1),
        (Operation.LESS, 3, 4, 1),
        (Operation.LESS, 0xFFFFFFFF, 4, 0),
    ],
)
def test_operations(machine: Machine, operation: Operation, left: int, right: int, value: int) -> None:
    computed = computation((Operation.PUSH, left), (Operation.PUSH, right), (operation, 0))
    (call,) = calls(machine, entry(machine, "take", computed), count=1)
    assert call.arguments == (value,)


@pytest.mark.parametrize(
    ("load", "value"),
    [(Operation.LOAD8, 0xF0), (Operation.LOAD16, 0xDEF0), (Operation.LOAD32, 0x9ABCDEF0)],
)
def test_loads_from_where_an_argument_points(machine: Machine, load: Operation, value: int) -> None:
    computed = computation((Operation.VALUE, 0), (Operation.PUSH, 4), (Operation.ADD, 0), (load, 0))
    (call,) = calls(machine, entry(machine, "take", OnStack(4), computed), count=2)
    assert call.arguments[1] == value


def test_an_address_outside_memory_reads_as_zero(machine: Machine) -> None:
    computed = computation((Operation.PUSH, 0xE0000000), (Operation.LOAD32, 0))
    (call,) = calls(machine, entry(machine, "take", computed), count=1)
    assert call.arguments == (0,)


def test_the_block_is_computed_at_the_return(machine: Machine) -> None:
    """From the arguments as they were at the entry, memory as it is then, and the result."""
    block = computation(
        (Operation.VALUE, 0), (Operation.LOAD32, 0), (Operation.RESULT, 0), (Operation.ADD, 0)
    )
    recording = record(
        machine,
        [
            RecordedFunction(
                "take", 1, out=0, takes=True, entries=(entry(machine, "take", OnStack(4), block=block),)
            )
        ],
    )
    machine.run(timeout_s=10)
    (call,) = held_calls(recording)
    assert (call.result, call.out) == (0x5000, 0x1234567C + 0x5000)


def test_entries_of_one_function_are_its_calls(machine: Machine) -> None:
    found = calls(
        machine, entry(machine, "take", OnStack(8)), entry(machine, "copy", InRegister("ecx")), count=1
    )
    assert [(call.function, call.arguments) for call in found] == [("take", (0x0A0B0C0D,)), ("take", (0x22,))]


PIECES = """
        pushl   $1
        call    whole
        call    piece
        call    wrapper
        exit    0
        function whole
        testl   %esp, %esp
        jnz     piece
        ret
        ends    whole
        function caller
        call    piece
        ret
        ends    caller
        function wrapper
        call    whole2
        ret
        ends    wrapper
        function whole2
        call    piece
        ret
        ends    whole2
        function piece
        ret
        ends    piece
"""


def test_a_piece_of_a_function_is_entered_by_others_only() -> None:
    """Its beginning may be in the callers; where it is not, its call has begun already."""
    machine = machine_of(FUNCTION + PIECES)
    image = machine.image

    def extent(name: str) -> range:
        found = image.symbols[name]
        return range(found.address, found.address + found.size)

    whole, piece = extent("whole"), extent("piece")
    entries = (
        Entry(whole.start, whole.stop, ()),
        Entry(piece.start, piece.stop, (), head=whole),
    )
    recording = record(machine, [RecordedFunction("whole", entries=entries), RecordedFunction("wrapper")])
    machine.run(timeout_s=10)
    found = held_calls(recording)
    assert [(call.function, call.parent, call.left is not None) for call in found] == [
        ("whole", 0, True),  # and goes on in the piece
        ("whole", 0, True),  # of which the caller has the beginning
        ("wrapper", 0, True),
        ("whole", 3, True),  # called by another function than the whole one
    ]


def test_what_cannot_be_recorded_is_refused(machine: Machine) -> None:
    with pytest.raises(ValueError, match=r"^take: 9 arguments, not 0 to 8$"):
        calls(machine, count=VALUES_MAX + 1)
    many = (entry(machine, "take"),) * (ENTRIES_MAX + 1)
    with pytest.raises(ValueError, match=r"^functions are entered at 1025 places, 1024 can be recorded$"):
        calls(machine, *many, count=0)
    long = computation(*[(Operation.PUSH, 1)] * OPERATIONS_MAX)
    with pytest.raises(ValueError, match=r"^the values of calls are computed in more than 4096 operations$"):
        calls(machine, entry(machine, "take", long), count=1)


def test_a_snapshot_keeps_what_open_calls_were_given(machine: Machine) -> None:
    """The block of a call that returns after a reset is computed from the arguments of its entry."""
    block = computation((Operation.VALUE, 0), (Operation.PUSH, 1), (Operation.ADD, 0))
    described = RecordedFunction(
        "take", 1, out=0, takes=True, entries=(entry(machine, "take", OnStack(8), block=block),)
    )
    recorded = WholeRecording(machine, [described])
    machine.run(stop_at_event=1, timeout_s=10)
    snapshot = machine.snapshot()
    machine.run(timeout_s=10)
    snapshot.reset()
    machine.run(timeout_s=10)
    assert [call.out for call in recorded.calls()] == [0x0A0B0C0E]


def test_an_access_that_nothing_answers_is_of_the_function_as_it_is_recorded() -> None:
    source = """
        call    take
        exit    0
        function take
        movl    0x40000010, %eax
        ret
        ends    take
    """
    machine = machine_of(FUNCTION + source)
    record(machine, [RecordedFunction("heap.c:take", entries=(entry(machine, "take"),))])
    machine.run(timeout_s=10)
    assert [lack.function for lack in machine.unanswered.lacks()] == ["heap.c:take"]
