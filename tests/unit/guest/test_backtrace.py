from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot, debug
from emulator.errors import BudgetUsedUp
from emulator.guest.backtrace import StackFrame, backtrace
from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from emulator.run.recorded import record_trace
from emulator.trace.trace import Trace
from tests.helpers.call_stack_kernels import WAYS, compile_with
from tests.helpers.guest import FUNCTION, machine_of, symbol
from tests.helpers.timelines import call_number, timeline_of
from tests.unit.loader.elf_builder import BASE, FUNC, Elf, Load, Sym, build_elf
from tests.unit.machine.board.test_interrupts import IDT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CALL, RET = 0xE8, 0xC3

NESTED = (
    FUNCTION
    + """
        call    outer
        exit    0
        function outer
        pushl   %ebp
        movl    %esp, %ebp
        subl    $8, %esp
        call    inner
        leave
        ret
        ends    outer
        function inner
        pushl   %ebp
        movl    %esp, %ebp
        nop
        popl    %ebp
        ret
        ends    inner
"""
)
INNER_SIZE = 6  # push, mov (2 bytes), nop, pop, ret: one instruction each
# A handler in assembly that calls a function, as it has interrupted a function without call frame information.
INTERRUPTED = """
        lidt    idtr
        gate    0x30, handler
        xorl    %ebp, %ebp
        call    busy
        exit    0
        function handler
        pushl   %eax
        call    take
        popl    %eax
        iret
        ends    handler
        function busy
        pushl   %ebp
        movl    %esp, %ebp
        subl    $64, %esp
        int     $0x30
        leave
        ret
        ends    busy
        function take
        pushl   %ebp
        movl    %esp, %ebp
        leave
        ret
        ends    take
"""


def runs_on(machine: Machine, instructions: int) -> bool:
    """Execute so many instructions; return whether the run goes on."""
    try:
        machine.run(max_instructions=instructions)
    except BudgetUsedUp:
        return True
    return False


def names(levels: Iterable[StackFrame]) -> list[str]:
    return [level.frame.function for level in levels]


def test_the_stack_is_known_at_every_instruction_of_a_function() -> None:
    machine = machine_of(NESTED)
    machine.cpu.set_registers(machine.cpu.registers()._replace(ebp=0))
    inner = symbol(machine, "inner")
    found: set[int] = set()
    while len(found) < INNER_SIZE - 1:
        machine.cpu.run(1)
        stack = backtrace(machine)
        if stack[0].frame.function == "inner":
            found.add(stack[0].frame.offset)
            assert names(stack) == ["inner", "outer", "_start"]
            assert stack[1].frame.offset == 11
    assert found == {0, 1, 3, 4, 5}
    assert inner


def test_the_frames_of_a_stack_lie_side_by_side() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to(timeline.calls.call(call_number(timeline, "kmalloc")).entered)
    stack = backtrace(timeline.machine)
    assert names(stack) == ["kmalloc", "kmain", "_start"]
    assert stack[0].low == timeline.machine.cpu.registers().esp
    assert stack[0].high == stack[1].low
    assert stack[1].high == stack[2].low
    assert [str(level.frame) for level in stack][1:] == ["kmain+0x3f overflow.c:20", "_start+0x33 entry.S:47"]


def test_a_damaged_stack_ends_the_unwinding() -> None:
    machine = machine_of("nop\n")
    for ebp in (0, 0xFFFF_FFF0, machine.cpu.registers().esp - 64, 0x7000_0000):
        machine.cpu.set_registers(machine.cpu.registers()._replace(ebp=ebp))
        assert len(backtrace(machine)) <= 2


def test_a_stack_that_leads_back_to_itself_ends() -> None:
    machine = machine_of("nop\n")
    registers = machine.cpu.registers()
    base = registers.esp
    machine.memory.store_u32(base, base + 8)
    machine.memory.store_u32(base + 4, registers.eip)
    machine.memory.store_u32(base + 8, base)
    machine.memory.store_u32(base + 12, registers.eip)
    machine.cpu.set_registers(registers._replace(ebp=base, eip=registers.eip + 1))
    assert len(backtrace(machine)) <= 64


@pytest.mark.parametrize("way", WAYS)
def test_the_backtrace_is_whole_at_every_instruction_of_compiled_code(way: str, tmp_path: Path) -> None:
    machine = Machine(compile_with(way, tmp_path))
    runs_on(machine, 2)  # until there is a stack
    return_addresses: list[int] = []
    for _ in range(400):
        registers = machine.cpu.registers()
        levels = backtrace(machine)
        assert [level.frame.address for level in levels] == [registers.eip, *reversed(return_addresses)]
        assert [level.low for level in levels] == [registers.esp, *(level.high for level in levels[:-1])]
        code = machine.read_linear(registers.eip, 1)[0]
        runs_on(machine, 1)
        if code == CALL:
            return_addresses.append(registers.eip + 5)
        elif code == RET:
            assert machine.cpu.registers().eip == return_addresses.pop()


def test_the_backtrace_in_a_handler_goes_on_in_what_it_has_interrupted() -> None:
    machine = machine_of(FUNCTION + IDT + INTERRUPTED)
    record(machine, [RecordedFunction("take")])  # interrupts are noted from now on
    found = set()
    while runs_on(machine, 1):
        found.add(tuple(names(backtrace(machine))))
    below = ("busy", "_start")
    assert found == {("handler", *below), ("take", "handler", *below), below, ("_start",)}


@pytest.mark.parametrize("kernel", ["overflow", "demo", "btron_demo", "bad_double_free"])
def test_a_machine_shows_the_backtrace_that_a_trace_has_at_every_event(kernel: str, tmp_path: Path) -> None:
    timeline = timeline_of(kernel)
    recorded = boot(f"firmware:{kernel}")
    with record_trace(recorded, tmp_path / "run.kmt"):
        recorded.run()
    trace = Trace.read(tmp_path / "run.kmt")
    assert len(trace) == len(timeline.calls)
    for call in trace:
        callers = trace.frames(call.stack)
        timeline.go_to(call.entered)
        here, *around = (level.frame for level in backtrace(timeline.machine))
        assert (here.function, here.offset, *around) == (call.function, 0, *callers)
        if call.left is not None:
            timeline.go_to(call.left)
            here, *around = (level.frame for level in backtrace(timeline.machine))
            assert (here.address, *around) == (callers[0].address, *callers[1:])


def test_code_may_end_after_a_call_of_what_does_not_return(tmp_path: Path) -> None:
    """No call frame information says anything here, and the return address is not in any segment."""
    stop = b"\x55\x89\xe5\xe7\xf4\xf4"  # push ebp; mov ebp, esp; out 0xf4, eax; hlt
    start = b"\xbc\x00\x00\x20\x00\xe8" + (-len(stop) - 10).to_bytes(
        4, "little", signed=True
    )  # mov esp; call
    symbols = [Sym("stop", BASE, len(stop), FUNC), Sym("start", BASE + len(stop), len(start), FUNC)]
    path = tmp_path / "kernel.elf"
    path.write_bytes(build_elf(Elf([Load(BASE, stop + start)], symbols=symbols, entry=BASE + len(stop))))
    with debug.debugger(str(path)) as d:
        d.step(2)
        for _ in range(3):
            assert [level.frame.function for level in backtrace(d.machine)] == ["stop", "start"]
            d.step()
