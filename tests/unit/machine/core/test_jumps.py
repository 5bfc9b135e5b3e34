"""Where an indirect jump or a return leads is kept for the next one (emulator/native/unicorn/jumps.c): what must make it forgotten.

Each guest jumps to one address often enough that it is kept, then something changes. On the reference MMU nothing is kept.
"""

from __future__ import annotations

from threading import Barrier, Thread
from typing import TYPE_CHECKING, Literal

import pytest

from emulator.errors import GuestException
from emulator.machine.recording import RecordedFunction, record
from emulator.native._core import lib
from tests.helpers.guest import FUNCTION, core_of, machine_of, results_of, symbol
from tests.helpers.page_tables import DIRECTORY, PAGE, P, U, W, paged_machine
from tests.helpers.rings import DESCRIPTORS, exceptions

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

Mmu = Literal["fast", "reference"]

#: Calls what EAX points to five times, which returns a number in EBX, and puts the last one.
CALL_OFTEN = """
        .macro  call_often
        movl    $5, %ecx
1:      call    *%eax
        loop    1b
        put     ebx
        .endm
"""
#: Two pages with a function at the same place.
TWO_PAGES = """
        .balign 4096
first:  movl    $1, %ebx
        ret
        .balign 4096
second: movl    $2, %ebx
        ret
        .balign 4096
"""


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> Mmu:
    found: Mmu = request.param
    return found


def run(source: str, mmu: Mmu, count: int) -> list[int]:
    machine = machine_of(CALL_OFTEN + source, mmu=mmu)
    assert machine.run(timeout_s=10).exit_code == 1
    return results_of(machine, count)


def test_they_are_kept_at_all() -> None:
    machine = machine_of(CALL_OFTEN + "movl $first, %eax\n call_often\n exit 0" + TWO_PAGES)
    machine.run()
    assert lib.kc_facts(core_of(machine).raw) & lib.KC_JUMPS_KEPT


def test_code_that_a_call_leads_to_is_written(mmu: Mmu) -> None:
    source = "movl $first, %eax\n" + "call_often\n incl first + 1\n" * 4 + "exit 0" + TWO_PAGES
    assert run(source, mmu, 4) == [1, 2, 3, 4]


def test_code_is_written_when_many_calls_led_elsewhere(mmu: Mmu) -> None:
    """More than are forgotten one by one."""
    source = """
        .macro  call_all
        xorl    %ebx, %ebx
        movl    $first, %eax
1:      call    *%eax
        addl    $16, %eax
        cmpl    $last, %eax
        jbe     1b
        put     ebx
        .endm
        call_all
        call_all
        incb    last + 2        # addl $1, %ebx
        call_all
        call_all
        exit    0
        .balign 4096
first:  .rept   250
        addl    $1, %ebx
        ret
        .balign 16
        .endr
        .set    last, . - 16
        .balign 4096
    """
    assert run(source, mmu, 4) == [250, 250, 251, 251]


def test_code_that_a_return_leads_to_is_written(mmu: Mmu) -> None:
    source = """
        movl    $8, %ecx
1:      call    next
2:      movl    $7, %ebx
        put     ebx
        incl    2b + 1
        loop    1b
        exit    0
next:   ret
    """
    assert run(source, mmu, 8) == list(range(7, 15))


def test_code_drops_itself_and_is_returned_to(mmu: Mmu) -> None:
    """The store leaves its block in the middle; before, it went to data."""
    source = """
        movl    $8, %ecx
        movl    $scratch, %edi
1:      call    next
2:      incl    (%edi)
3:      movl    $7, %ebx
        put     ebx
        cmpl    $4, %ecx
        jne     4f
        movl    $3b + 1, %edi
4:      loop    1b
        exit    0
next:   ret
        .bss
scratch: .long  0
        .text
    """
    assert run(source, mmu, 8) == [7] * 5 + [8, 9, 10]


FORGETS = {
    "invlpg": "invlpg (%eax)",
    "CR3": "movl %cr3, %edx\n movl %edx, %cr3",
    "CR0.PG": "movl %cr0, %edx\n andl $0x7fffffff, %edx\n movl %edx, %cr0\n jmp 2f\n 2: orl $0x80000000, %edx\n movl %edx, %cr0\n jmp 2f\n 2:",
}


@pytest.mark.parametrize("forgets", FORGETS.values(), ids=FORGETS)
def test_another_page_is_mapped_where_a_call_leads_to(forgets: str, mmu: Mmu) -> None:
    source = f"""
        movl    $0x80000000, %eax
        call_often
        addl    ${PAGE}, entry
        {forgets}
        call_often
        subl    ${PAGE}, entry
        {forgets}
        call_often
        exit    0
        {TWO_PAGES}
        .set    entry, 0x201000 + 0x1000
    """
    machine, tables = paged_machine(CALL_OFTEN + source, mmu)
    tables.map(0x80000000, symbol(machine, "first"))
    assert tables.table_entry(0x80000000) == 0x202000
    assert machine.run(timeout_s=10).exit_code == 1
    assert results_of(machine, 3) == [1, 2, 1]


def test_another_directory_has_another_page_there(mmu: Mmu) -> None:
    source = f"""
        movl    $0x80000000, %eax
        .rept   3
        movl    $0x{DIRECTORY:x}, %edx
        movl    %edx, %cr3
        call_often
        movl    $directory, %edx
        movl    %edx, %cr3
        call_often
        .endr
        exit    0
        {TWO_PAGES}
        .bss
        .balign 4096
        .globl  directory
directory: .skip 4096
        .globl  table
table:  .skip   4096
        .text
    """
    machine, tables = paged_machine(CALL_OFTEN + source, mmu)
    tables.map(0x80000000, symbol(machine, "first"))
    directory, table = symbol(machine, "directory"), symbol(machine, "table")
    machine.memory.store_u32(directory, machine.memory.load_u32(DIRECTORY))
    machine.memory.store_u32(directory + 4 * 0x200, table | P | W | U)
    machine.memory.store_u32(table, symbol(machine, "second") | P | W)
    assert machine.run(timeout_s=10).exit_code == 1
    assert results_of(machine, 6) == [1, 2] * 3


def test_a_page_that_is_left_is_a_fault(mmu: Mmu) -> None:
    source = (
        "movl $0x80000000, %eax\n call_often\n movl $0, 0x202000\n invlpg (%eax)\n call *%eax\n exit 0"
        + TWO_PAGES
    )
    machine, tables = paged_machine(CALL_OFTEN + source, mmu)
    tables.map(0x80000000, symbol(machine, "first"))
    with pytest.raises(GuestException) as caught:
        machine.run(timeout_s=10)
    assert (caught.value.vector, caught.value.eip) == (14, 0x80000000)


def test_the_same_code_in_ring_0_and_in_ring_3(mmu: Mmu) -> None:
    """`cli` is #GP in ring 3."""
    steps = """
        movl    $shared, %eax
        .rept   3
        movl    $5, %ecx
1:      call    *%eax
        loop    1b
        .endr
        after   2f
        in_ring_3
        movl    $shared, %eax
        call    *%eax
        hlt
shared: cli
        ret
2:
    """
    machine = machine_of(exceptions(steps), mmu=mmu)
    assert machine.run(timeout_s=10).exit_value == 0
    assert results_of(machine, 4) == [13, 0, symbol(machine, "shared"), 0x1B]


def test_ring_0_after_ring_3(mmu: Mmu) -> None:
    """What is kept of a ring is of use in that one again: a system call between two calls of the same function."""
    source = (
        DESCRIPTORS
        + """
        gate    0x80, handler, 0xee
        lidt    idtr
        in_ring_3
        movl    $6, %esi
1:      movl    $shared, %eax
        call    *%eax
        put     ebx
        int     $0x80
        decl    %esi
        jnz     1b
        int     $0x80
handler: movl   $shared, %eax
        call    *%eax
        put     ebx
        testl   %esi, %esi
        jz      2f
        iret
2:      movw    $0x10, %ax
        movw    %ax, %ds
        exit    0
shared: movl    %cs, %ebx
        ret
        """
    )
    assert run(source, mmu, 13) == [0x1B, 8] * 6 + [8]


def test_the_same_address_in_a_segment_with_a_base(mmu: Mmu) -> None:
    """An indirect far jump changes the base of CS and goes on with an EIP that is kept for the base 0."""
    source = """
        movl    $gate_end - gates - 1, %eax
        movw    %ax, gates_register
        lgdt    gates_register
        movl    $first, %eax
        call_often
        ljmp    *far_jump
        .data
        .balign 8
gates:  .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cf9a001000ffff
gate_end:
gates_register: .word 0
        .long   gates
far_jump: .long first
        .word   0x18
        .text
        .balign 4096
first:  movl    $1, %ebx
        ret
        .balign 4096
second: movl    $2, %ebx
        put     ebx
        exit    0
        .balign 4096
    """
    assert run(source, mmu, 2) == [1, 2]


def test_the_fpu_is_switched_off(mmu: Mmu) -> None:
    """CR0.TS makes the same code #NM."""
    steps = """
        fninit
        movl    $shared, %eax
        movl    $5, %ecx
1:      call    *%eax
        loop    1b
        after   2f
        movl    %cr0, %edx
        orl     $8, %edx
        movl    %edx, %cr0
        movl    $shared, %eax
        call    *%eax
        hlt
shared: fldz
        fstp    %st
        ret
2:
    """
    machine = machine_of(exceptions(steps), mmu=mmu)
    assert machine.run(timeout_s=10).exit_value == 0
    assert results_of(machine, 4) == [7, 0, symbol(machine, "shared"), 8]


def test_many_different_flags(mmu: Mmu) -> None:
    """More values of flags than tables: IOPL, AC and TS in ring 0."""
    source = f"""
        movl    $8, %esi
2:      movl    %esi, %edx
        andl    $3, %edx
        shll    $12, %edx
        movl    %esi, %ebx
        andl    $4, %ebx
        shll    $16, %ebx
        orl     %ebx, %edx
        pushl   %edx
        popfl
        movl    $first, %eax
        call_often
        movl    %cr0, %edx
        xorl    $8, %edx
        movl    %edx, %cr0
        movl    $second, %eax
        call_often
        decl    %esi
        jnz     2b
        exit    0
        {TWO_PAGES}
    """
    assert run(source, mmu, 16) == [1, 2] * 8


#: Executes the same `popf` eight times, with EDX as the flags the last time.
POP_OFTEN = """
        movl    $8, %ecx
        movl    $2, %eax
2:      cmpl    $1, %ecx
        cmovel  %edx, %eax
        pushl   %eax
        popfl
behind: movl    $7, %ebx
        nop
        loop    2b
"""


@pytest.mark.parametrize("flags", [0x0102, 0x3102], ids=hex)
def test_a_trap_flag_is_popped(mmu: Mmu, flags: int) -> None:
    """The instruction behind `popf` raises #DB, although it was gone on with before."""
    machine = machine_of(exceptions(f"movl ${flags}, %edx\n after 5f {POP_OFTEN}5:"), mmu=mmu)
    assert machine.run(timeout_s=10).exit_value == 0
    assert results_of(machine, 3) == [1, 0, symbol(machine, "behind") + 5]


def test_code_behind_popf_is_written(mmu: Mmu) -> None:
    source = f"movl $3, %esi\n movl $2, %edx\n3: {POP_OFTEN} put ebx\n incl behind + 1\n decl %esi\n jnz 3b\n exit 0"
    assert run(source, mmu, 3) == [7, 8, 9]


# A function that is reached by indirect calls only.
COUNTS = (
    FUNCTION
    + """
        movl    $add, %eax
        movl    $100, %ecx
1:      call    *%eax
        loop    1b
        exit    0
        function add
        ret
        ends    add
    """
)


def test_a_function_is_recorded_after_it_was_called(mmu: Mmu) -> None:
    machine = machine_of(COUNTS, mmu=mmu)
    start = machine.snapshot()
    machine.run()
    recording = record(machine, [RecordedFunction("add")])
    start.reset()
    machine.run()
    assert recording.event_count == 200


def test_going_back(mmu: Mmu) -> None:
    """The guest rewrites the function; a reset brings it back."""
    source = "movl $first, %eax\n call_often\n movb $2, first + 1\n call_often\n exit 0" + TWO_PAGES
    machine = machine_of(CALL_OFTEN + source, mmu=mmu)
    start = machine.snapshot()
    for _ in range(3):
        machine.run(timeout_s=10)
        assert results_of(machine, 2) == [1, 2]
        start.reset()


def test_code_is_written_between_runs(mmu: Mmu) -> None:
    machine = machine_that_returns(3, mmu)
    machine.cpu.run(None, 5000)
    machine.memory.write(symbol(machine, "first") + 1, b"\x04")
    machine.cpu.code_written(symbol(machine, "first") + 1, 1)
    machine.run()
    assert results_of(machine, 1) == [4]


def machine_that_returns(value: int, mmu: Mmu) -> Machine:
    source = f"movl $first, %eax\n movl $20000, %ecx\n 1: call *%eax\n loop 1b\n put ebx\n exit 0\n first: movl ${value}, %ebx\n ret"
    return machine_of(source, mmu=mmu)


def test_machines_in_turn(mmu: Mmu) -> None:
    machines = [machine_that_returns(value, mmu) for value in (3, 4)]
    for _ in range(100):
        for machine in machines:
            machine.cpu.run(None, 500)
    for machine in machines:
        machine.cpu.run()
    assert [results_of(machine, 1) for machine in machines] == [[3], [4]]


def test_machines_in_threads(mmu: Mmu) -> None:
    machines = [machine_that_returns(value, mmu) for value in (5, 6)]
    together = Barrier(2)

    def run_one(machine: Machine) -> None:
        together.wait()
        machine.run()

    threads = [Thread(target=run_one, args=(machine,)) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results_of(machine, 1) for machine in machines] == [[5], [6]]
