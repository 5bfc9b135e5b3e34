"""Moves by lines of the source and by calls."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from emulator import debug
from emulator.debug import Moment, StopKind
from emulator.debug.variables import Variables
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY
from tests.helpers.guest import FUNCTION, machine_of
from tests.helpers.inlining_kernel import compile_inlining
from tests.helpers.task_kernel import KERNEL as TASKS
from tests.helpers.variable_kernel import compile_variables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.debug import Debugger

TICKING = (
    FUNCTION
    + """
        movl    $1, %esi
        call    work
        exit    0
        function work
        incl    %esi
        int     $0x30
        incl    %esi
        ret
        ends    work
"""
)


def line(debugger: Debugger) -> int:
    found = debugger.image.source_line(debugger.machine.registers().eip)
    assert found is not None
    return found.line


def function(debugger: Debugger) -> str:
    found = debugger.image.function_at(debugger.machine.registers().eip)
    assert found is not None
    return found[0].name


def argument(debugger: Debugger) -> str:
    """Return the value of the first argument of the function."""
    return next(each.value.text() for each in Variables(debugger.machine).arguments(0))


def in_kmalloc() -> Debugger:
    debugger = debug.debugger("firmware:overflow")
    point = debugger.break_at("kmalloc")
    debugger.run()
    point.remove()
    return debugger


def test_lines_are_the_same_in_both_directions() -> None:
    with in_kmalloc() as d:
        stops = [(d.moment, line(d), function(d))]
        for _ in range(40):
            assert d.step_line().kind is StopKind.STEP
            stops.append((d.moment, line(d), function(d)))
        assert {"kmalloc", "take"} <= {each[2] for each in stops}
        assert all(before[1:] != after[1:] for before, after in pairwise(stops))
        for each in stops[-2::-1]:
            assert d.step_line_back().kind is StopKind.STEP
            assert (d.moment, line(d), function(d)) == each


@pytest.mark.parametrize("compiled", [compile_variables, compile_inlining])
@pytest.mark.parametrize(
    "way", [("gcc", "-O0"), ("gcc", "-O2"), ("clang", "-O0"), ("clang", "-O2")], ids=" ".join
)
def test_lines_of_optimised_code_are_the_same_in_both_directions(
    tmp_path: Path, compiled: Callable[..., Path], way: tuple[str, ...]
) -> None:
    with debug.debugger(str(compiled(tmp_path, way[0], "-g", *way[1:]))) as d:
        point = d.break_at("kmain")
        d.run()
        point.remove()
        stops = [d.moment]
        while len(stops) < 40 and d.step_line().kind is StopKind.STEP:
            stops.append(d.moment)
        assert len(stops) == 40
        for each in stops[-2:0:-1]:
            assert d.step_line_back().moment == each


def test_a_function_is_stepped_into_behind_its_prologue(tmp_path: Path) -> None:
    with debug.debugger(str(compile_variables(tmp_path, "gcc", "-O0", "-mregparm=3"))) as d:
        d.break_at("kmain")
        d.run()
        while function(d) == "kmain":
            d.step_line()
        assert function(d) == "leaf"
        assert argument(d) == "3"
        d.step_line_back()
        assert function(d) == "kmain"


def test_the_beginning_of_a_line_is_found_behind_a_long_loop(tmp_path: Path) -> None:
    """The loop of one line has 40 times more instructions than are looked at first."""
    source = """volatile int x;
        void kmain(void) { x = 1;
            for (int i = 0; i < 6000; i++) x += i;
            x = 2; for (;;) ; }"""
    with debug.debugger(str(compile_kernel(tmp_path, source, ["-g", "-O0"], entry=ENTRY))) as d:
        loop, after = d.break_at("kernel.c:3"), d.break_at("kernel.c:4")
        begin = d.run().moment
        loop.remove()
        assert d.run().point is after
        assert d.moment.instructions - begin.instructions > 40_000
        assert d.next_line_back().moment == begin


def test_calls_are_stepped_over_in_both_directions() -> None:
    with in_kmalloc() as d:
        stops = [d.moment]
        for _ in range(8):
            d.next_line()
            assert function(d) == "kmalloc"
            stops.append(d.moment)
        for each in stops[-2::-1]:
            assert d.next_line_back().moment == each


def test_a_function_is_left_and_its_call_gone_back_to() -> None:
    with in_kmalloc() as d:
        d.break_at("take")
        entered = d.run().moment
        returned = d.finish()
        assert (returned.kind, function(d)) == (StopKind.STEP, "kmalloc")
        d.step_back(3)
        called = d.finish_back()
        assert (called.kind, function(d)) == (StopKind.STEP, "kmalloc")
        assert called.moment == Moment(entered.instructions - 1)
        assert d.next_line().kind is StopKind.BREAKPOINT


def test_handlers_of_interrupts_are_run_through() -> None:
    """The machine's ticks come every 100,000 instructions in a loop of one line."""
    with debug.debugger("firmware:btron_stress") as d:
        d.go_to(20_047_000)
        esp = d.machine.registers().esp
        d.stop_at_exceptions = False
        interrupted = 0
        with d.machine.stops.trail(1 << 12) as trail:
            d.go_to(20_050_000)
            interrupted = sum(each.is_handler for each in trail())
        assert interrupted
        d.go_to(20_047_000)
        while d.moment.instructions < 20_050_000:
            assert d.next_line().kind is StopKind.STEP
            assert function(d) != "timer_entry"
            assert abs(d.machine.registers().esp - esp) < 4096


def test_back_from_the_first_line_is_the_start() -> None:
    with debug.debugger("firmware:overflow") as d:
        d.step_line()
        while d.step_line_back().kind is StopKind.STEP:
            pass
        assert d.moment == Moment(0)


def test_where_nobody_has_called_there_is_nothing_to_go_back_to() -> None:
    with debug.Debugger(machine_of(TICKING)) as d:
        with pytest.raises(ValueError, match=r"^who called the function at EIP is not known$"):
            d.finish()
        with pytest.raises(ValueError, match=r"^who called the function at EIP is not known$"):
            d.finish_back()


LONG = (
    FUNCTION
    + """
        movl    $1, %esi
        call    work
        incl    %esi
        exit    0
        function work
        movl    $200000, %ecx
1:      loop    1b
        ret
        ends    work
"""
)


def test_a_call_that_took_long_is_stepped_over_backwards() -> None:
    with debug.Debugger(machine_of(LONG)) as d:
        d.step(2)
        call = d.moment, line(d)
        d.next_line()
        assert (d.moment.instructions > 200_000, line(d)) == (True, call[1] + 1)
        assert d.next_line_back().kind is StopKind.STEP
        assert (d.moment, line(d)) == call


def test_a_line_before_that_is_not_known_is_refused() -> None:
    source = LONG.replace("call    work", "pushl $back\n jmp inside").replace(
        "incl", ".globl back\nback: incl"
    )
    source = source.replace(
        "        movl    $200000", "nop\ninside: movl    $200000"
    )  # the function is not entered
    with debug.Debugger(machine_of(source)) as d:
        d.run_to(d.image.symbols["back"].address)
        here = d.moment
        assert here.instructions > 200_000
        with pytest.raises(
            ValueError, match=r"^where the line before begins is not known: not in the last 65536 "
        ):
            d.next_line_back()
        assert d.moment == here


@pytest.mark.parametrize(
    "move",
    [
        debug.Debugger.step_line,
        debug.Debugger.next_line,
        debug.Debugger.step_line_back,
        debug.Debugger.next_line_back,
    ],
)
def test_without_source_lines_there_are_no_steps_by_lines(
    tmp_path: Path, move: Callable[[Debugger], object]
) -> None:
    with debug.debugger(str(compile_variables(tmp_path, "gcc", "-g0"))) as d:
        d.step(20)
        here = d.moment
        with pytest.raises(ValueError, match=r"^the kernel's file has no source lines: "):
            move(d)
        assert d.moment == here


def test_a_line_that_switches_tasks_is_stepped_over_in_its_task(tmp_path: Path) -> None:
    with debug.debugger(str(compile_kernel(tmp_path, TASKS, ["-g", "-O0"]))) as d:
        place = d.break_at("kernel.c:13")
        assert [(d.run().kind, argument(d)) for _ in range(3)][1:] == [
            (StopKind.BREAKPOINT, "1"),
            (StopKind.BREAKPOINT, "0"),
        ]
        place.remove()
        assert d.next_line().kind is StopKind.STEP
        assert (line(d), argument(d)) == (14, "0")
        assert d.next_line_back().kind is StopKind.STEP
        assert (line(d), argument(d)) == (13, "0")
