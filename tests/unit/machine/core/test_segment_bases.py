"""Segments that do not begin at 0: EIP and ESP are then no linear addresses.

The guests run as kernels do that are linked high and loaded low, before they have page tables: with 0x40000000 added to all
addresses. What they get is therefore 0xC0000000 higher than where things lie.
"""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from emulator.check.faulting_writes import faulting_write_of
from emulator.errors import BudgetUsedUp, GuestException, UnmappedAccess
from emulator.guest.backtrace import backtrace
from emulator.guest.disassembler import disassemble
from emulator.loader.image import KernelImage
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from tests.helpers.guest import assemble, machine_of, symbol
from tests.unit.loader.elf_builder import P_VADDR, patch, patch_program_header, patch_section_header
from tests.unit.machine.board.test_interrupts import IDT, TIMER

SH_ADDRESS = 12  # in a section header
ST_VALUE = 4  # in an entry of .symtab
BASE = 0x40000000
HIGH = 0xC0000000
_SEGMENTS = f"""
        lgdt    gdtr
        movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        addl    $0x{HIGH:x}, %esp
        ljmp    $8, $(high + 0x{HIGH:x})
        .data
        .balign 8
gdt:    .quad   0, 0x{BASE >> 24:02x}cf9a000000ffff, 0x{BASE >> 24:02x}cf92000000ffff
gdtr:   .word   23
        .long   gdt
        .text
high:
"""
COUNTING = """
        movl    $5, %ecx
1:      call    function
        loop    1b
        hlt
        movl    $0, %eax
        outl    %eax, $0xf4
        jmp     1b
        .globl  function
function:
        pushl   %ebp
        movl    %esp, %ebp
        incl    %edx
        leave
        ret
"""


def linked_high(image: KernelImage) -> KernelImage:
    """Return a kernel whose file says that it is linked where the segments put it."""
    data = image.data
    for index, segment in enumerate(image.segments):
        data = patch_program_header(data, index, P_VADDR, segment.virtual + HIGH)
    file = ELFFile(io.BytesIO(data))
    for index, section in enumerate(file.iter_sections()):
        if section["sh_addr"]:
            data = patch_section_header(data, index, SH_ADDRESS, section["sh_addr"] + HIGH)
    table = file.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    for number, each in enumerate(table.iter_symbols()):
        if isinstance(each["st_shndx"], int):
            at = table["sh_offset"] + number * table["sh_entsize"] + ST_VALUE
            data = patch(data, at, "<I", each["st_value"] + HIGH)
    return KernelImage(data, image.path)


def based(source: str, mmu: str = "fast", before: str = "") -> Machine:
    return machine_of(before + _SEGMENTS + source, mmu=mmu)


def high(machine: Machine, name: str) -> int:
    return symbol(machine, name) + HIGH & 0xFFFFFFFF


def single_steps(machine: Machine, count: int) -> list[int]:
    """EIP after each of *count* instructions, executed one by one."""
    found = []
    for _ in range(count):
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=1)
        found.append(machine.cpu.registers().eip)
    return found


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_registers_have_the_bases_that_the_cpu_holds(mmu: str) -> None:
    machine = based("hlt", mmu)
    flat = machine.cpu.registers()
    assert (flat.cs_base, flat.ss_base, flat.pc) == (0, 0, flat.eip)
    machine.run()
    registers = machine.cpu.registers()
    bases = [getattr(registers, f"{each}_base") for each in ("es", "cs", "ss", "ds", "fs", "gs")]
    assert bases == [BASE, BASE, BASE, BASE, 0, 0]
    assert registers.eip == high(machine, "high") + 1
    assert registers.pc == symbol(machine, "high") + 1


def test_each_instruction_counts_with_any_budget(mmu: str) -> None:
    stepped, budgeted = based(COUNTING, mmu), based(COUNTING, mmu)
    start = budgeted.snapshot()
    for executed, eip in enumerate(single_steps(stepped, 40), start=1):
        start.reset()
        with pytest.raises(BudgetUsedUp, match=f"^budget of {executed} instructions used up"):
            budgeted.run(max_instructions=executed)
        assert budgeted.cpu.registers().eip == eip
    assert high(stepped, "function") in single_steps(based(COUNTING, mmu), 12)


def test_a_run_halts_and_exits_where_it_does_without_a_budget(mmu: str) -> None:
    machine = based(COUNTING, mmu)
    start = machine.snapshot()
    free = machine.run()
    assert free.ending is Returned.HALTED
    ended = machine.run()
    assert ended.ending is Returned.EXIT
    start.reset()
    assert machine.run(max_instructions=free.instructions) == free
    exited = machine.run(max_instructions=100)
    assert (exited.ending, exited.eip) == (ended.ending, ended.eip)


def test_replays_after_a_snapshot_are_the_same(mmu: str) -> None:
    machine = based(COUNTING, mmu)
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=20)
    with machine.snapshot():
        first = machine.run()
    with machine.snapshot(), machine.observers.log_steps(100):
        assert machine.run() == first
    assert machine.run() == first


def test_an_int_n_is_distinguished_from_a_fault(mmu: str) -> None:
    source = f"""
        lidt    idtr + 0x{HIGH:x}
        movl    $h + 0x{HIGH:x}, %eax
        movw    %ax, idt + 8 * 0x40 + 0x{HIGH:x}
        movw    $8, idt + 8 * 0x40 + 2 + 0x{HIGH:x}
        movb    $0x8e, idt + 8 * 0x40 + 5 + 0x{HIGH:x}
        shrl    $16, %eax
        movw    %ax, idt + 8 * 0x40 + 6 + 0x{HIGH:x}
        xorl    %ebx, %ebx
        int     $0x40
        hlt
h:      addl    $2, %ebx
        iret
    """
    machine = based(source, mmu, before=IDT)
    assert machine.run().ending is Returned.HALTED
    assert machine.cpu.registers().ebx == 2
    assert machine.interrupts.last_fault is None


def test_an_interrupt_comes_after_the_instruction_that_follows_sti(mmu: str) -> None:
    machine = based(
        f"""
        xorl    %ebx, %ebx
        movl    $on_tick + 0x{HIGH:x}, %eax
        movw    %ax, idt + 8 * 0x20 + 0x{HIGH:x}
        shrl    $16, %eax
        movw    %ax, idt + 8 * 0x20 + 6 + 0x{HIGH:x}
        lidt    idtr + 0x{HIGH:x}
        movl    $300000, %ecx
1:      loop    1b
        sti
        hlt
        cli
        hlt
        .globl  on_tick
on_tick:
        incl    %ebx
        movl    (%esp), %esi
        movb    $0x20, %al
        outb    %al, $0x20
        iret
        """,
        mmu,
        before=IDT + TIMER.replace("on_tick", "0"),
    )
    outcome = machine.run(max_instructions=2_000_000)
    registers = machine.cpu.registers()
    assert (outcome.ending, registers.ebx) == (Returned.HALTED, 1)
    assert registers.esi == registers.eip - 2  # after the first hlt, which sti protects


def test_a_fault_counts_what_was_executed_and_names_the_address() -> None:
    machine = based(f"movl $1, %eax\n nop\n fault: movl 0x{HIGH + 0x0F123454:x}, %eax\n nop\n hlt")
    machine.unanswered.expected = frozenset()
    with pytest.raises(UnmappedAccess, match=r"^read of unmapped physical memory 0x0f123454 at ") as caught:
        machine.run()
    assert caught.value.eip == high(machine, "fault")
    assert caught.value.instructions == 8 + 2


def test_an_exception_in_the_middle_of_a_block_counts_what_was_executed(mmu: str) -> None:
    with pytest.raises(GuestException) as caught:
        based("movl $1, %eax\n nop\n ud2\n nop\n hlt", mmu).run()
    assert caught.value.instructions == 8 + 2


def test_a_function_is_called(mmu: str) -> None:
    machine = based("hlt\n .globl add\n add: movl 4(%esp), %eax\n addl 8(%esp), %eax\n ret", mmu)
    machine.run()
    assert machine.call(high(machine, "add"), 40, 2) == 42


def test_stacks_and_code_are_read_where_they_lie() -> None:
    outer = "xorl %ebp, %ebp\n call outer\n.type outer, @function\nouter: pushl %ebp\n movl %esp, %ebp\n hlt\n hlt"
    image = linked_high(assemble(_SEGMENTS + outer))
    machine = Machine(image)
    machine.run()
    registers = machine.cpu.registers()
    assert [each.frame.address for each in backtrace(machine)] == [registers.eip, symbol(machine, "outer")]
    assert [line.text for line in disassemble(machine, 0, 0) if line.is_next] == ["hlt"]


def test_a_write_is_described_by_the_instruction_that_did_it() -> None:
    machine = based(f"movl $5, word + 0x{HIGH:x}\n hlt\n .data\n .globl word\n word: .long 0\n .text")
    watchpoint = machine.observers.watch(symbol(machine, "word"), 4)
    machine.run()
    write = watchpoint.last_write()
    assert write is not None
    assert (write.eip, write.pc) == (high(machine, "high"), symbol(machine, "high"))
    described = faulting_write_of(machine, write, 0)
    assert described is not None
    assert described.text.startswith("mov dword ptr [")
    assert (described.before, described.after) == (0, 5)


ALONE = """
import ctypes, importlib.util, pathlib
folder = pathlib.Path(importlib.util.find_spec("unicorn").submodule_search_locations[0])
ctypes.CDLL(str(folder / "lib" / "libunicorn.so.2"))
from tests.unit.machine.core.test_segment_bases import *
test_registers_have_the_bases_that_the_cpu_holds("fast")
test_each_instruction_counts_with_any_budget("fast")
"""


def test_it_is_the_same_where_unicorn_was_loaded_before_the_core() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
