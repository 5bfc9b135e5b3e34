"""How a guest that goes wrong is reported: what, where, and with which facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.errors import BudgetUsedUp, GuestException, GuestStopped, UnmappedAccess
from emulator.machine.execution import Returned
from tests.helpers.guest import CODE, machine_of, symbol

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

NOWHERE = 0xE0000000


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stopped(machine: Machine) -> GuestStopped:
    with pytest.raises(GuestStopped) as caught:
        machine.run(timeout_s=10)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(f"EIP 0x{caught.value.eip:08x}")
    assert caught.value.eip == machine.cpu.registers().eip
    return caught.value


def unmapped(machine: Machine) -> UnmappedAccess:
    machine.unanswered.expected = frozenset()
    error = stopped(machine)
    assert isinstance(error, UnmappedAccess)
    return error


def exception(machine: Machine) -> GuestException:
    error = stopped(machine)
    assert isinstance(error, GuestException)
    return error


READS = {
    "movl 0xe0000123, %eax": 0xE0000123,
    "movl $0xe0000100, %ebx\n fault: movl 0x23(%ebx), %eax": 0xE0000123,
    "movl $0xe0000100, %ebx\n movl $8, %ecx\n fault: addl 3(%ebx,%ecx,4), %eax": 0xE0000123,
    "movl $0xe0000123, %esi\n fault: lodsb": 0xE0000123,
    "movl $0xe0000123, %esi\n movl $4, %ecx\n fault: rep movsb": 0xE0000123,
    "movl $0xe0000124, %esp\n fault: popl %eax": 0xE0000124,
    "movl $0xe0000124, %esp\n fault: ret": 0xE0000124,
    "movl $0xe0000123, %eax\n fault: cmpb $0, (%eax)": 0xE0000123,
    "movl $0xe0000123, %eax\n fault: jmp *(%eax)": 0xE0000123,
    "fault: lgdt 0xe0000123": 0xE0000123,
    "movl $-1, %eax\n fault: movb (%eax), %al": 0xFFFFFFFF,
    "fault: movl 0x00500000, %eax": 0x00500000,
}
WRITES = {
    "fault: movl %eax, 0xe0000123": 0xE0000123,
    "movl $0xe0000123, %edi\n fault: stosb": 0xE0000123,
    "movl $0xe0000123, %edi\n movl $9, %ecx\n fault: rep stosl": 0xE0000123,
    "movl $0xe0000128, %esp\n fault: pushl %eax": 0xE0000124,
    "movl $0xe0000128, %esp\n fault: call _start": 0xE0000124,
    "movl $0xe0000128, %esp\n fault: pushfl": 0xE0000124,
    "fault: movb $1, 0x00500000": 0x00500000,
}


def marked(source: str) -> str:
    return source if "fault:" in source else "fault: " + source


@pytest.mark.parametrize("source", READS)
def test_a_read_of_nothing_names_the_exact_address(source: str) -> None:
    machine = machine_of("nop\n" + marked(source))
    error = unmapped(machine)
    assert (error.access, f"0x{error.address:08x}") == ("read", f"0x{READS[source]:08x}")
    assert error.eip == symbol(machine, "fault")
    assert error.problem == f"read of unmapped physical memory 0x{READS[source]:08x}"


@pytest.mark.parametrize("source", WRITES)
def test_a_write_to_nothing_names_the_exact_address(source: str) -> None:
    machine = machine_of("nop\n" + marked(source))
    error = unmapped(machine)
    assert (error.access, f"0x{error.address:08x}") == ("write", f"0x{WRITES[source]:08x}")
    assert error.eip == symbol(machine, "fault")
    assert error.problem == f"write to unmapped physical memory 0x{WRITES[source]:08x}"


@pytest.mark.parametrize("source", [*READS, *WRITES])
def test_the_reference_mmu_knows_at_least_the_instruction(source: str) -> None:
    machine = machine_of("nop\n" + marked(source), mmu="reference")
    assert stopped(machine).eip == symbol(machine, "fault")


def test_registers_and_memory_stand_before_the_faulting_instruction() -> None:
    machine = machine_of("movl $1, %ebx\n incl %ebx\n pushl %ebx\n popl 0xe0000000\n movl $9, %ebx")
    unmapped(machine)
    registers = machine.cpu.registers()
    assert registers.ebx == 2
    assert machine.memory.load_u32(registers.esp) == 2


def test_an_access_across_the_end_of_ram_is_refused() -> None:
    machine = machine_of("fault: movl 0x004ffffe, %eax")
    error = unmapped(machine)
    assert error.address == 0x00500000
    assert error.eip == symbol(machine, "fault")


def test_a_store_across_the_end_of_ram_writes_nothing() -> None:
    machine = machine_of("movl $-1, 0x004ffffe")
    unmapped(machine)
    assert machine.memory.read(0x004FFFF0, 16) == bytes(16)


@pytest.mark.parametrize("target", [NOWHERE, 0x00500000, 0xFFFFFFF0])
def test_a_jump_to_nowhere_names_its_target(target: int) -> None:
    machine = machine_of(f"movl $0x{target:x}, %eax\n jmp *%eax")
    error = unmapped(machine)
    assert (error.access, error.address, error.eip) == ("fetch", target, target)
    assert str(error) == f"fetch from unmapped physical memory 0x{target:08x} at EIP 0x{target:08x}"


def test_running_off_the_end_of_ram_names_the_first_missing_byte() -> None:
    machine = machine_of("movl $0x004ffffc, %edi\n movl $0x90909090, (%edi)\n jmp *%edi")
    error = unmapped(machine)
    assert (error.access, error.address) == ("fetch", 0x00500000)
    assert 0x004FFFFC <= error.eip <= 0x00500000  # the block that runs into it


def test_an_instruction_cut_off_by_the_end_of_ram_names_the_missing_byte() -> None:
    machine = machine_of("movl $0x004fffff, %edi\n movb $0xb8, (%edi)\n jmp *%edi")
    error = unmapped(machine)
    assert (error.access, error.address, error.eip) == ("fetch", 0x00500000, 0x004FFFFF)


@pytest.mark.parametrize(
    ("instruction", "vector", "name"),
    [
        ("ud2", 6, "#UD invalid opcode"),
        (".byte 0x0f, 0xff, 0xff", 6, "#UD invalid opcode"),
        (".byte 0xf0, 0x90", 6, "#UD invalid opcode"),  # lock nop
        ("xorl %ecx, %ecx\n fault: divl %ecx", 0, "#DE divide error"),
        ("movl $-1, %edx\n movl $1, %ecx\n fault: divl %ecx", 0, "#DE divide error"),
        ("movl $0x80, %ecx\n fault: movl %ecx, %ds", 13, "#GP general protection"),
        ("fault: ljmp $0x88, $0", 13, "#GP general protection"),
        ("movl $0x18, %ecx\n fault: movl %ecx, %ss", 13, "#GP general protection"),
    ],
)
def test_a_fault_without_a_handler_is_a_triple_fault(
    instruction: str, vector: int, name: str, mmu: str
) -> None:
    machine = machine_of("nop\n" + marked(instruction), mmu=mmu)
    error = exception(machine)
    assert error.vector == vector
    assert error.eip == symbol(machine, "fault")
    assert error.problem == f"triple fault: {name} (no handler in the IDT)"


@pytest.mark.parametrize(
    ("instruction", "vector", "name"),
    [
        ("int3", 3, "#BP breakpoint"),
        ("int $0x80", 0x80, "interrupt 0x80"),
        ("int $3", 3, "#BP breakpoint"),
        ("movb $127, %al\n addb $1, %al\n into", 4, "#OF overflow"),
    ],
)
def test_a_software_interrupt_without_a_handler_is_a_triple_fault(
    instruction: str, vector: int, name: str, mmu: str
) -> None:
    machine = machine_of(instruction + "\n after: nop", mmu=mmu)
    error = exception(machine)
    assert error.vector == vector
    assert error.eip == symbol(machine, "after")
    assert error.problem == f"triple fault: {name} (no handler in the IDT)"


def test_the_message_names_function_file_and_line(mmu: str) -> None:
    machine = machine_of(
        "call broken\n .type broken, @function\nbroken: nop\n ud2\n .size broken, . - broken", mmu=mmu
    )
    error = exception(machine)
    assert error.location.startswith("broken+0x1 (")
    assert error.location.endswith(")")
    assert "guest.S:" in error.location
    assert str(error) == f"{error.problem} at {error.location}, EIP 0x{error.eip:08x}"


def test_executing_zeroes_ends_somewhere_with_an_error() -> None:
    """They are `add %al, (%eax)`, and run up to the end of RAM."""
    machine = machine_of("xorl %eax, %eax\n jmp 0x004f0000")
    error = unmapped(machine)
    assert (error.access, error.address) == ("fetch", 0x00500000)


def test_executing_garbage_ends_with_one_clear_line(mmu: str) -> None:
    for seed in range(20):
        garbage = bytes((seed * 7919 + i * i * 31 + i * 17) >> 3 & 0xFF for i in range(256))
        machine = machine_of("jmp 0x00200000", mmu=mmu)
        machine.memory.write(0x00200000, garbage)
        try:
            end = str(machine.run(timeout_s=0.2))
        except GuestStopped as error:
            end = str(error)
        assert "\n" not in end


def test_a_halt_loop_ends_at_the_first_halt(mmu: str) -> None:
    machine = machine_of("1: hlt\n jmp 1b", mmu=mmu)
    for _ in range(5):
        assert machine.run().ending is Returned.HALTED


def test_an_endless_loop_ends_with_its_budget_and_names_its_location(mmu: str) -> None:
    machine = machine_of("spin: incl %eax\n jmp spin\n .type spin, @function", mmu=mmu)
    with pytest.raises(BudgetUsedUp, match=r"^time budget used up at spin\+0x0 \(.*guest\.S:\d+\), EIP 0x"):
        machine.run(timeout_s=0.5)


def test_the_machine_can_be_reset_and_used_after_each_kind_of_error(mmu: str) -> None:
    source = """
        movl    selector, %eax
        cmpl    $0, %eax
        je      0f
        cmpl    $1, %eax
        je      1f
        cmpl    $2, %eax
        je      2f
        cmpl    $3, %eax
        je      3f
        exit    7
0:      ud2
1:      movl    0xe0000000, %eax
2:      xorl    %ecx, %ecx
        divl    %ecx
3:      int     $0x80
        .data
        .globl  selector
selector: .long 0
        .text
    """
    machine = machine_of(source, mmu=mmu)
    machine.unanswered.expected = frozenset()
    snapshot = machine.snapshot()
    for number in [0, 1, 2, 3, 0, 0, 2, 2, 2, 2, 1, 3]:
        machine.memory.store_u32(symbol(machine, "selector"), number)
        error = stopped(machine)
        assert isinstance(error, GuestException) is (number != 1)
        snapshot.reset()
    machine.memory.store_u32(symbol(machine, "selector"), 4)
    assert machine.run().exit_value == 7


def test_contributory_faults_one_after_another_are_each_reported_as_what_they_are() -> None:
    """Unicorn never forgets the last exception, so that a second #DE would be a #DF; see docs/architecture.md, fact 6."""
    machine = machine_of("xorl %ecx, %ecx\n1: divl %ecx\n jmp 1b")
    for _ in range(4):
        assert exception(machine).vector == 0


@pytest.mark.parametrize("address", [CODE + 1, CODE + 2])
def test_a_jump_into_the_middle_of_an_instruction_is_no_error_of_the_machine(address: int) -> None:
    machine = machine_of("movl $0x90f4f490, %eax\n hlt")
    machine.cpu.set_registers(
        machine.cpu.registers()._replace(eip=machine.image.physical_entry + 5 + address - CODE)
    )
    assert machine.run().ending is Returned.HALTED


FAR = """
        .data
far:    .long   0
        .word   0x99
        .text
"""
LEAVING = {
    "ljmp $0x99, $0x1000": 13,
    "lcall $0x99, $0x1000": 13,
    "ljmp *far": 13,
    "lcall *far": 13,
    "sysret": 6,
    "pushl $2\n pushl $0x99\n pushl $0\n fault: iret": 13,
    "pushl $0x99\n pushl $0\n fault: lret": 13,
}


@pytest.mark.parametrize("code", LEAVING)
def test_a_jump_to_another_segment_fails_where_it_stands(code: str, mmu: str) -> None:
    """It ends a block, of which EIP is known only by where in the translated code the CPU was."""
    body = code if "fault:" in code else f"fault: {code}"
    machine = machine_of(FAR + "movl $7, %ebx\n pushl %ebx\n movl (%esp), %esi\n" + body, mmu=mmu)
    error = exception(machine)
    assert (error.vector, error.eip) == (LEAVING[code], symbol(machine, "fault"))
    assert error.instructions == 4 + code.count("pushl")


def test_an_iret_without_a_stack_fails_where_it_stands() -> None:
    machine = machine_of("movl $7, %ebx\n pushl %ebx\n movl $0xe0000000, %esp\n fault: iret")
    assert unmapped(machine).eip == symbol(machine, "fault")
