"""The debugger: stops, moves in both directions, changes of the guest."""

from __future__ import annotations

import re
from itertools import pairwise
from threading import Timer
from typing import TYPE_CHECKING

import pytest

from emulator import debug
from emulator.debug import Moment, StopKind
from emulator.errors import Cancelled, GuestStopped
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.run.ending import How
from tests.helpers.debuggers import state_of
from tests.helpers.guest import FUNCTION, machine_of
from tests.helpers.variable_kernel import compile_variables
from tests.unit.machine.board.test_interrupts import IDT, ON_TICK, TIMER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.debug import Debugger, Stop

LOOP = FUNCTION + "1: incl %esi\n movl %esi, results\n cmpl $1000, %esi\n jne 1b\n exit 0\n"
ENDLESS = FUNCTION + "1: incl %esi\n jmp 1b\n"


def debugger_of(source: str) -> Debugger:
    return debug.Debugger(machine_of(source))


def test_it_stops_at_breakpoints_and_goes_back_to_them() -> None:
    with debug.debugger("firmware:overflow") as d:
        point = d.break_at("take")
        stops = [d.run() for _ in range(5)]
        assert [each.kind for each in stops] == [StopKind.BREAKPOINT] * 4 + [StopKind.ENDED]
        assert [each.point for each in stops] == [point] * 4 + [None]
        assert point.hits == 4
        assert stops[-1].ending is not None
        assert stops[-1].ending.exit_value == 0
        assert stops[-1].ending.instructions == stops[-1].moment.instructions == 24954
        assert stops[-1].moment.at_end
        assert d.run() == stops[-1]
        assert [d.back() for _ in range(4)] == stops[3::-1]
        start = d.back()
        assert (start.kind, start.moment) == (StopKind.START, Moment(0))
        assert d.run() == stops[0]
        point.remove()
        point.remove()
        assert d.run().kind is StopKind.ENDED


def test_a_line_of_the_source_is_a_place() -> None:
    with debug.debugger("firmware:overflow") as d:
        line = d.image.source_line(d.image.symbols["take"].address)
        assert line is not None
        name = line.file.rpartition("/")[2]
        assert d.break_at(f"{name}:{line.line}").addresses == d.break_at("take").addresses


def test_conditions_are_asked_in_both_directions() -> None:
    with debugger_of(LOOP) as d:
        d.step(4)
        point = d.break_at(d.machine.registers().eip, lambda d: d.machine.registers().esi % 100 == 0)
        point.enabled = False
        d.go_to(0)
        point.enabled = True
        found = [d.run().moment for _ in range(5)]
        assert [later.instructions - each.instructions for each, later in pairwise(found)] == [400] * 4
        assert [d.machine.registers().esi] == [500]
        assert [d.back().moment for _ in range(4)] == found[3::-1]
        assert point.hits == 5


def test_what_a_condition_raises_reaches_the_caller() -> None:
    def fail(_debugger: Debugger) -> bool:
        raise ZeroDivisionError

    with debugger_of(LOOP) as d:
        d.step(3)
        d.break_at(d.machine.registers().eip, fail)
        with pytest.raises(ZeroDivisionError):
            d.run()


@pytest.mark.parametrize("place", ["kmalloc+0", "kmalloc+3", "memset+0x26", "kmain+0x46"])
def test_a_run_that_is_cancelled_anywhere_stands_at_an_exact_moment(place: str) -> None:
    def cancel(d: Debugger) -> bool:
        d.cancel()  # in the middle of a block
        return False

    with debug.debugger("firmware:overflow") as d, debug.debugger("firmware:overflow") as other:
        point = d.break_at(place, cancel)
        stop = d.run()
        assert stop.kind is StopKind.CANCELLED
        assert stop.moment.instructions > 100
        other.go_to(stop.moment)
        assert state_of(d) == state_of(other)
        point.remove()
        d.machine.forget_stop()
        assert d.run() == other.run()
        assert state_of(d) == state_of(other)


def cancelling_at(d: Debugger, number: int) -> list[int]:
    """Cancel at the so manieth entry of kmalloc; return a list that grows by one at each."""
    entries: list[int] = []

    def entered(_kind: int, esp: int, _eax: int) -> int:
        entries.append(esp)
        if len(entries) == number:
            d.cancel()
        return 0

    symbol = d.machine.image.symbol("kmalloc")
    assert symbol is not None
    d.machine.observers.probe(symbol.address, entered)
    return entries


def test_a_trace_that_is_cancelled_while_calls_are_made_again_is_none() -> None:
    with debug.debugger("firmware:stress", command_line="calls=30000") as d:
        d.record()
        d.go_to(25_000_000)
        d.write_memory(
            len(d.machine.memory) - 4, b"\1"
        )  # from here on the run is another one than the one recorded
        cancelling_at(d, 3)
        with pytest.raises(Cancelled):
            d.trace()


def test_a_way_back_that_is_cancelled_at_its_end_says_so() -> None:
    entries: list[int] = []
    for number in (0, 1):
        with debug.debugger("firmware:overflow") as d:
            d.break_at("kmalloc+3")
            while d.run().kind is not StopKind.ENDED:
                pass
            entries = cancelling_at(d, number * len(entries))  # the last one is on the way to what was found
            assert d.back().kind is (StopKind.CANCELLED if number else StopKind.BREAKPOINT)
    assert entries


def test_steps_go_back_exactly() -> None:
    with debug.debugger("firmware:vm_fault") as d:
        d.stop_at_exceptions = True
        fault = d.run()
        assert (fault.kind, fault.moment.faults) == (StopKind.EXCEPTION, 1)
        d.step(3)
        d.step_back(10)
        states = []
        for _ in range(20):
            states.append(state_of(d))
            d.step()
        assert len({each[0] for each in states}) == 20
        assert fault.moment in [each[0] for each in states]
        for each in reversed(states):
            assert d.step_back().moment == each[0]
            assert state_of(d) == each
        d.stop_at_exceptions = False
        d.step(10)
        assert state_of(d) == states[10]
        d.step_back(7)
        assert state_of(d) == states[3]
        assert d.step_back(10**9).kind is StopKind.START
        assert d.back().kind is StopKind.START


def test_exceptions_are_found_backwards() -> None:
    with debug.debugger("firmware:vm_fault") as d:
        d.stop_at_exceptions = True
        found = []
        while (stop := d.run()).kind is StopKind.EXCEPTION:
            found.append(stop.moment)
        assert len(found) > 3
        assert [d.back().moment for _ in found] == found[::-1]
        assert d.back().kind is StopKind.START


def test_events_stop_in_both_directions() -> None:
    with debug.debugger("firmware:overflow") as d:
        d.break_at("alloc_block" if d.image.symbol("alloc_block") else "take")
        points = [d.break_event(number) for number in (3, 4, 8)]
        stops = []
        while (stop := d.run()).kind is not StopKind.ENDED:
            stops.append((stop, d.event))
        assert [(stop.point, event) for stop, event in stops if stop.kind is StopKind.EVENT] == [
            (point, point.event) for point in points
        ]
        for stop, event in reversed(stops):
            assert (d.back(), d.event) == (stop, event)
        for event in (9, 3, 4, 1, 0):
            stop = d.go_to_event(event)
            assert d.event == event
            here = state_of(d)
            d.run()
            d.go_to(stop.moment)
            assert state_of(d) == here


def test_without_a_profile_there_are_no_events() -> None:
    with debugger_of(LOOP) as d:
        assert d.event == 0
        with pytest.raises(
            ValueError, match=r"^there are no events: no profile says which functions allocate$"
        ):
            d.break_event(1)
        with pytest.raises(
            ValueError, match=r"^there are no events: no profile says which functions allocate$"
        ):
            d.go_to_event(1)
        d.step(3)
        assert d.go_to_event(0).kind is StopKind.START
        stop = d.record()
        assert (stop.kind, stop.moment) == (StopKind.ENDED, d.moment)
        with pytest.raises(
            ValueError, match=r"^no calls are recorded: no profile says which functions allocate$"
        ):
            d.trace()


def test_accesses_are_not_checked_without_a_profile(tmp_path: Path) -> None:
    kernel = str(compile_variables(tmp_path, "gcc", "-O0"))
    text = f"^accesses are checked by what a profile says of allocators: no built-in profile fits; kmemu init {re.escape(kernel)} writes one$"
    with pytest.raises(ValueError, match=text):
        debug.debugger(kernel, sanitize=True)


@pytest.mark.parametrize("number", [-1, 1 << 32, 10**40])
def test_numbers_that_no_run_has_are_refused(number: int) -> None:
    with debug.debugger("firmware:overflow") as d:
        for move in (d.go_to_event, d.break_event):
            with pytest.raises(ValueError, match=rf"^{number} is no number of an event$"):
                move(number)
        assert d.go_to_event((1 << 32) - 1).kind is StopKind.ENDED
        with pytest.raises(ValueError, match=r"^there is no moment "):
            d.go_to(number << 31)
        assert d.go_to(1 << 62).kind is StopKind.ENDED


def test_more_bytes_than_there_is_ram_are_refused_at_once() -> None:
    with debug.debugger("firmware:overflow") as d:
        for move in (d.watch, d.who):
            with pytest.raises(
                ValueError, match=r"^there is no RAM for 1267650600228229401496703205376 bytes$"
            ):
                move(0x100000, 1 << 100)


@pytest.mark.parametrize("kernel", ["overflow", "bad_below_stack"])
def test_findings_stop_in_front_of_the_access_and_are_found_backwards(kernel: str) -> None:
    with debug.debugger(f"firmware:{kernel}", sanitize=True) as d:
        found = []
        while (stop := d.run()).kind is StopKind.FINDING:
            found.append(stop)
        assert found
        assert all(each.finding is not None for each in found)
        backwards = [d.back() for _ in found]
        assert [each.moment for each in backwards] == [each.moment for each in found[::-1]]
        assert [each.finding for each in backwards] == [each.finding for each in found[::-1]]
        d.stop_at_findings = False
        assert d.run().kind is StopKind.ENDED


@pytest.mark.parametrize("kernel", ["overflow", "bad_below_stack"])
@pytest.mark.parametrize("way", [debug.Debugger.run, debug.Debugger.back])
def test_findings_are_known_in_a_run_that_is_changed_after_it_was_recorded(
    kernel: str, way: Callable[[Debugger], Stop]
) -> None:
    with debug.debugger(f"firmware:{kernel}", sanitize=True) as d:
        found = d.run()
        assert found.kind is StopKind.FINDING
        d.record()
        d.go_to(100)
        d.write_register("edi", d.machine.registers().edi)
        if way is debug.Debugger.back:
            d.go_to(found.moment.instructions + 100)
        stop = way(d)
        assert (stop.kind, stop.moment, stop.finding) == (found.kind, found.moment, found.finding)


def test_a_change_belongs_to_the_run() -> None:
    with debugger_of(LOOP) as d:
        d.go_to(101)
        d.write_register("esi", 900)
        changed = state_of(d)
        d.go_to(150)
        later = state_of(d)
        d.go_to(50)
        d.go_to(150)
        assert state_of(d) == later
        d.go_to(101)
        assert state_of(d) == changed
        end = d.run()
        assert end.moment.instructions < 1000
        d.go_to(101)
        d.write_memory(0x200000, b"abc")
        d.go_to(120)
        d.go_to(60)
        d.write_memory(0x200000, b"xyz", physical=True)  # it drops what was changed later
        d.go_to(101)
        assert d.machine.registers().esi != 900
        assert d.machine.memory.read(0x200000, 3) == b"xyz"
        assert d.run().moment.instructions > 3000


def test_changed_code_is_executed() -> None:
    with debugger_of(ENDLESS) as d:
        d.step(10)
        code = d.machine.registers().eip
        d.write_memory(code, b"\xcc")
        d.write_memory(code, b"\xf4")  # hlt, with interrupts off
        stop = d.run()
        assert stop.ending is not None
        assert stop.ending.how is How.HALTED
        with pytest.raises(ValueError, match=r"^the run has ended"):
            d.write_register("eax", 0)
        d.back()
        d.go_to(5)
        assert d.machine.memory.read(code, 1) != b"\xf4"


def test_what_cannot_be_changed_is_refused() -> None:
    with debugger_of(LOOP) as d:
        with pytest.raises(ValueError, match=r"^'cr3' is no register that can be set"):
            d.write_register("cr3", 0)
        with pytest.raises(ValueError, match=r"^0x100000000 does not fit into a register of 32 bits$"):
            d.write_register("eax", 1 << 32)
        with pytest.raises(ValueError, match=r"^there is no RAM at 0xfffffffc$"):
            d.write_memory(0xFFFFFFFC, b"1234", physical=True)


def test_the_budget_ends_the_run() -> None:
    from emulator.run.ending import Budget

    with debug.Debugger(machine_of(ENDLESS), budget=Budget(12345)) as d:
        stop = d.run()
        assert (stop.kind, stop.moment) == (StopKind.ENDED, Moment(12345, at_end=True))
        assert stop.ending is not None
        assert stop.ending.how is How.BUDGET
        d.step_back()
        assert d.moment == Moment(12344)
        assert d.step().kind is StopKind.ENDED


def test_a_triple_fault_ends_the_run() -> None:
    with debug.debugger("firmware:btron_bad_stack") as d:
        stop = d.run()
        assert stop.ending is not None
        assert isinstance(stop.ending.error, GuestStopped)
        assert d.step_back().kind is StopKind.STEP
        assert d.run().moment == stop.moment


def test_another_thread_may_cancel() -> None:
    with debugger_of(ENDLESS) as d:
        timer = Timer(0.1, d.cancel)
        timer.start()
        stop = d.run()
        timer.join()
        assert (stop.kind, stop.ending) == (StopKind.CANCELLED, None)
        here = state_of(d)
        d.go_to(1000)
        d.go_to(stop.moment)
        assert state_of(d) == here


def test_a_change_in_front_of_a_call_that_is_recorded_stops_nothing_later() -> None:
    with debug.debugger("firmware:demo") as d:
        end = d.run().moment
        d.go_to_event(9)
        while not d.moment.entered:
            d.go_to_event(d.event + 1)
        here, word = d.moment, len(d.machine.memory) - 4
        d.write_memory(word, b"\1")
        assert d.go_to_event(20).kind is StopKind.EVENT
        assert d.event == 20
        d.go_to(0)
        assert d.go_to(here).moment == here
        assert d.trace().calls  # which needs the way here once more
        d.go_to(0)
        assert d.go_to(end).moment == end
        assert d.machine.memory.read(word, 1) == b"\1"


RETURNS = f"""{FUNCTION}{IDT}
        lidt    idtr
        {TIMER.replace("0xa9", "3").replace("0x40, 0x04", "0x40, 0")}
        sti
        movl    $800, %esi
1:      pushl   $8
        call    take
        addl    $4, %esp
        decl    %esi
        jne     1b
        cli
        exit    0
{ON_TICK}
        function take
        movl    $0x200000, %eax
        ret
        ends    take
"""
"""Some ticks of its timer come before the instruction that a call returns to."""


def test_where_a_call_has_returned_the_interrupt_that_comes_next_has_been_taken() -> None:
    profile = Profile("test", (TracedFunction("take", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),))
    with debug.Debugger(machine_of(RETURNS), profile) as d:
        start, at_handler = d.moment, 0
        for number in range(2, 1600, 2):
            d.go_to_event(number)
            if d.machine.registers().eip == d.image.symbols["on_tick"].address:
                at_handler += 1
                moment, state = d.moment, state_of(d)
                d.go_to(start)
                d.go_to(moment)
                assert state_of(d) == state
        assert at_handler


def test_a_change_behind_a_checkpoint_of_the_same_moment_is_done_again() -> None:
    with debug.debugger("firmware:demo") as d:
        first = len(d.machine.memory) - 8
        second = first + 4
        d.go_to(5000)
        d.write_memory(first, b"\1")
        d.who(second)  # keeps a checkpoint here
        d.write_memory(second, b"\2")
        d.step_back(100)
        assert (d.machine.memory.read(first, 1), d.machine.memory.read(second, 1)) == (b"\0", b"\0")
        d.step(200)  # past the checkpoint
        assert (d.machine.memory.read(first, 1), d.machine.memory.read(second, 1)) == (b"\1", b"\2")
