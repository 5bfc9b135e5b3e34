from __future__ import annotations

from emulator.guest.backtrace import call_stack
from tests.helpers.guest import FUNCTION, machine_of, symbol
from tests.helpers.timelines import call_number, timeline_of

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


def test_the_stack_is_known_at_every_instruction_of_a_function() -> None:
    machine = machine_of(NESTED)
    machine.cpu.set_registers(machine.cpu.registers()._replace(ebp=0))
    inner = symbol(machine, "inner")
    seen: set[int] = set()
    while len(seen) < INNER_SIZE - 1:
        machine.cpu.run(1)
        stack = call_stack(machine)
        if stack[0].function == "inner":
            seen.add(stack[0].offset)
            assert [frame.function for frame in stack] == ["inner", "outer", "_start"]
            assert stack[1].offset == 11
    assert seen == {0, 1, 3, 4, 5}
    assert inner


def test_the_frames_of_a_stack_lie_side_by_side() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to(timeline.calls.call(call_number(timeline, "kmalloc")).entered)
    stack = call_stack(timeline.machine)
    assert [frame.function for frame in stack] == ["kmalloc", "kmain", "_start"]
    assert stack[0].low == timeline.machine.cpu.registers().esp
    assert stack[0].high == stack[1].low
    assert stack[1].high == stack[2].low
    assert [str(frame) for frame in stack][1:] == ["kmain+0x3f overflow.c:20", "_start+0x33 entry.S:47"]


def test_a_damaged_stack_ends_the_walk() -> None:
    machine = machine_of("nop\n")
    for ebp in (0, 0xFFFF_FFF0, machine.cpu.registers().esp - 64, 0x7000_0000):
        machine.cpu.set_registers(machine.cpu.registers()._replace(ebp=ebp))
        assert len(call_stack(machine)) <= 2


def test_a_stack_that_leads_back_to_itself_ends() -> None:
    machine = machine_of("nop\n")
    registers = machine.cpu.registers()
    base = registers.esp
    machine.memory.store_u32(base, base + 8)
    machine.memory.store_u32(base + 4, registers.eip)
    machine.memory.store_u32(base + 8, base)
    machine.memory.store_u32(base + 12, registers.eip)
    machine.cpu.set_registers(registers._replace(ebp=base, eip=registers.eip + 1))
    assert len(call_stack(machine)) <= 64
