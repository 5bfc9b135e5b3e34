"""Running to an end, and calling functions of the guest from Python."""

from __future__ import annotations

from typing import Literal

import pytest

from emulator.errors import BudgetUsedUp, GuestException, GuestStopped, KernelMismatch, UnmappedAccess
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.address_map import CALLS_END
from emulator.machine.board.interrupts import INSTRUCTION_NS
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from kernel_model.memory import OutsideMemory
from tests.helpers.guest import machine_of, results_of, symbol

LIBRARY = """
        cli
        hlt
        .type   add_three, @function
add_three:
        movl    4(%esp), %eax
        addl    8(%esp), %eax
        addl    12(%esp), %eax
        ret
        .type   nested, @function
nested:                                 # f(n) = n + f(n - 1)
        movl    4(%esp), %eax
        testl   %eax, %eax
        jz      1f
        decl    %eax
        pushl   %eax
        call    nested
        addl    $4, %esp
        addl    4(%esp), %eax
1:      ret
        .type   clobber, @function
clobber:
        movl    $1, %ebx
        movl    $2, %ecx
        movl    $3, %edx
        movl    $4, %esi
        movl    $5, %edi
        movl    $6, %ebp
        std
        stc
        incl    counter
        movl    counter, %eax
        ret
        .type   halts, @function
halts:  hlt
        ret
        .type   exits, @function
exits:  exit    21
        ret
        .type   hangs, @function
hangs:  incl    %eax
        jmp     hangs
        .size   hangs, . - hangs
        .type   spins, @function
spins:  jmp     spins
        .type   faults, @function
faults: movl    0xe0000000, %eax
        ret
        .type   pops_its_caller, @function
pops_its_caller:
        addl    $4, %esp
        ret
        .type   talks, @function
talks:  movb    $0x21, %al
        outb    %al, $0xe9
        ret
        .data
counter: .long  0
        .text
"""


@pytest.fixture
def machine() -> Machine:
    return machine_of(LIBRARY)


def test_halt_ends_a_run(machine: Machine) -> None:
    outcome = machine.run()
    assert outcome.ending is Returned.HALTED
    assert outcome.exit_code is None
    assert outcome.exit_value is None
    assert machine.memory.load_u8(outcome.eip - 1) == 0xF4


def test_a_run_goes_on_after_a_halt() -> None:
    machine = machine_of("movl $1, %eax\n put eax\n hlt\n movl $2, %eax\n put eax\n hlt\n exit 9")
    assert machine.run().ending is Returned.HALTED
    assert results_of(machine, 2) == [1, 0]
    assert machine.run().ending is Returned.HALTED
    assert results_of(machine, 2) == [1, 2]
    outcome = machine.run()
    assert (outcome.ending, outcome.exit_code, outcome.exit_value) == (Returned.EXIT, 19, 9)


def test_a_run_goes_on_after_an_exit() -> None:
    machine = machine_of("exit 1\n jmp 1f\n1: movl $7, %ecx\n put ecx\n exit 2")
    assert machine.run().exit_value == 1
    assert machine.run().exit_value == 2
    assert results_of(machine, 1) == [7]


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_nothing_after_the_exit_is_executed(mmu: str) -> None:
    machine = machine_of("exit 1\n movl $7, %ecx\n put ecx\n exit 2", mmu=mmu)
    outcome = machine.run()
    assert outcome.exit_value == 1
    assert results_of(machine, 1) == [0]
    assert machine.memory.load_u8(outcome.eip) == 0xB9  # movl $7, %ecx


def test_arguments_are_pushed_from_right_to_left_and_eax_is_the_result(machine: Machine) -> None:
    assert machine.call("add_three", 1, 20, 300) == 321
    assert machine.call("add_three", -1, 0xFFFFFFFF, 1) == 0xFFFFFFFF
    assert machine.call("add_three", -5, 0, 0) == 0xFFFFFFFB


def test_a_function_can_be_called_by_its_address(machine: Machine) -> None:
    assert machine.call(symbol(machine, "add_three"), 2, 3, 4) == 9


@pytest.mark.parametrize("offset", [0, 4, 8, 12, 16, 20])
def test_what_is_pushed_may_lie_in_two_pages(machine: Machine, offset: int) -> None:
    machine.run()
    before = machine.registers()._replace(esp=0x300000 + offset)
    machine.cpu.set_registers(before)
    machine.memory.store_words(0x300000 + offset, (0xAAAA, 0xBBBB))
    assert machine.call("add_three", 1, 20, 300) == 321
    assert machine.registers() == before
    assert machine.memory.load_words(0x300000 + offset - 12, 5) == (1, 20, 300, 0xAAAA, 0xBBBB)


@pytest.mark.parametrize("others", [0, 13, 14, 100])
def test_there_may_be_many_arguments(machine: Machine, others: int) -> None:
    machine.run()
    esp = machine.registers().esp
    arguments = (1, 20, 300, *range(1000, 1000 + others))
    assert machine.call("add_three", *arguments) == 321
    assert machine.memory.load_words(esp - 4 * len(arguments), len(arguments)) == arguments


def test_a_stack_outside_of_memory_is_refused(machine: Machine) -> None:
    machine.run()
    machine.cpu.set_registers(machine.registers()._replace(esp=0x40000000))
    with pytest.raises(OutsideMemory):
        machine.call("add_three", 1, 2, 3)
    assert machine.registers().esp == 0x40000000


def test_a_call_may_pause_on_the_way(machine: Machine) -> None:
    machine.run()
    reached = []
    machine.pause_after(50, lambda: reached.append(machine.registers().ecx))
    assert machine.call("nested", 100) == 5050
    assert len(reached) == 1
    assert machine.call("nested", 100) == 5050
    assert len(reached) == 1


def test_a_stop_in_a_call_is_said(machine: Machine) -> None:
    machine.run()

    def stop(_kind: int, _esp: int, eax: int) -> int:
        machine.stop()
        return eax

    with (
        machine.observers.probe(symbol(machine, "add_three"), stop),
        pytest.raises(GuestStopped, match=r"^add_three did not return: the kernel was stopped"),
    ):
        machine.call("add_three", 1, 2, 3)
    assert machine.call("add_three", 1, 2, 3) == 6


def test_an_error_that_came_between_two_runs_is_raised_by_the_call(machine: Machine) -> None:
    machine.stop(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        machine.call("add_three", 1, 2, 3)
    assert machine.registers().eip in {end + 1 for end in CALLS_END}
    assert machine.call("add_three", 1, 2, 3) == 6


@pytest.mark.parametrize("budget", [None, 1000])
def test_a_call_takes_time(machine: Machine, budget: int | None) -> None:
    before = machine.interrupts.now_ns()
    assert machine.call("add_three", 1, 2, 3, max_instructions=budget) == 6
    assert machine.interrupts.now_ns() - before == 5 * INSTRUCTION_NS


def test_functions_of_the_guest_call_each_other(machine: Machine) -> None:
    assert machine.call("nested", 100) == 5050


def test_registers_are_as_before_after_a_call_and_memory_is_not(machine: Machine) -> None:
    machine.run()
    before = machine.cpu.registers()
    assert machine.call("clobber") == 1
    assert machine.cpu.registers() == before
    assert machine.call("clobber") == 2
    assert machine.cpu.registers() == before


def test_thousands_of_calls_leave_the_stack_where_it_was(machine: Machine) -> None:
    machine.run()
    esp = machine.cpu.registers().esp
    assert sum(machine.call("add_three", i, 0, 0) for i in range(3000)) == 3000 * 2999 // 2
    assert machine.cpu.registers().esp == esp


def test_calls_before_the_kernel_has_a_stack_work() -> None:
    assert machine_of(LIBRARY).call("add_three", 1, 2, 3) == 6


def test_output_of_a_called_function_is_collected(machine: Machine) -> None:
    machine.call("talks")
    assert bytes(machine.output[Console.DEBUG]) == b"!"


def test_calls_work_between_the_runs_of_a_kernel() -> None:
    machine = machine_of("movl $42, %ebx\n hlt\n put ebx\n exit 0\n" + LIBRARY)
    machine.run()
    assert machine.call("add_three", 1, 1, 1) == 3
    machine.run()
    assert results_of(machine, 1) == [42]


def test_an_unknown_function_is_named(machine: Machine) -> None:
    with pytest.raises(
        KernelMismatch, match=r"^guest\.elf: no function 'kmaloc' in its symbol table$"
    ) as caught:
        machine.call("kmaloc", 1)
    assert (caught.value.path, caught.value.names) == ("guest.elf", ("kmaloc",))


@pytest.mark.parametrize(("function", "how"), [("halts", "halted"), ("exits", "exited")])
def test_a_function_that_ends_the_run_did_not_return(machine: Machine, function: str, how: str) -> None:
    with pytest.raises(
        GuestStopped, match=rf"^{function} did not return: the kernel {how} at {function}\+0x"
    ):
        machine.call(function)
    assert machine.image.function_at(machine.cpu.registers().eip) is not None


def test_a_function_that_never_returns_uses_up_its_seconds(machine: Machine) -> None:
    with pytest.raises(BudgetUsedUp, match=r"^time budget used up at hangs\+0x0"):
        machine.call("hangs", timeout_s=0.05)
    assert machine.call("add_three", 1, 2, 3) == 6


def test_a_function_that_ends_in_a_loop_for_ever(machine: Machine) -> None:
    with pytest.raises(
        GuestStopped, match=r"^spins did not return: the kernel halted in an endless loop at spins\+0x0"
    ):
        machine.call("spins", timeout_s=20)
    assert machine.call("add_three", 1, 2, 3) == 6


def test_a_function_that_faults_says_where(machine: Machine) -> None:
    with pytest.raises(UnmappedAccess) as caught:
        machine.call("faults")
    assert caught.value.eip == symbol(machine, "faults")
    assert caught.value.address == 0xE0000000


def test_a_function_that_loses_its_return_address_is_not_taken_for_returned(machine: Machine) -> None:
    with pytest.raises((GuestException, GuestStopped)):
        machine.call("pops_its_caller", 0x00000010)


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_the_kernels_allocator_is_callable(mmu: Literal["fast", "reference"]) -> None:
    machine = Machine(KernelImage.read(resolve("firmware:demo")), mmu=mmu)
    machine.run()
    first, second = machine.call("kmalloc", 100), machine.call("kmalloc", 64)
    assert second == first + 104 + 8
    assert machine.memory.load_words(first - 8, 2) == (104, 1)
    machine.call("kfree", first)
    assert machine.memory.load_words(first - 8, 2) == (104, 0)
    assert machine.call("kmalloc", 104) == first
