"""A window rests where it costs more than it brings, and the guest does not notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.guest import symbol
from tests.helpers.page_tables import PageTables, enable_paging
from tests.helpers.three_memories import OF_THE_CORE, compared, is_window_used, run, window_of

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

PAGE = 4096
HIGH = 0x4000_0000
SPACES = 0x0020_0000, 0x0023_0000

# Two address spaces take turns, whose pages differ; then one goes on alone.
TURNS = (
    enable_paging()
    + f"""
1:      movl    $4000, %ecx
        movl    ${SPACES[0]}, %ebx
2:      xorl    $0x30000, %ebx
        movl    %ebx, %cr3
        movl    ${HIGH}, %esi
        movl    $8, %edx
3:      addl    %ecx, (%esi)
        addl    $0x1000, %esi
        decl    %edx
        jnz     3b
        decl    %ecx
        jnz     2b
        hlt
        movl    $150000000, %ecx
4:      incl    alone
        decl    %ecx
        jnz     4b
        movl    %cr3, %eax
        movl    %eax, %cr3
        incl    alone
        hlt
        jmp     1b
        .data
        .globl  alone
alone:  .long   0
"""
)


def map_two_spaces(machine: Machine) -> None:
    tables = PageTables(machine.memory)
    for page in (*range(0, 0x40_0000, PAGE), *range(0x5F_0000, 0x61_0000, PAGE)):
        tables.map(page, page)
    for number in range(8):
        tables.map(HIGH + PAGE * number, 0x30_0000 + PAGE * number)
    machine.memory.write(SPACES[1], machine.memory.read(SPACES[0], PAGE))
    machine.memory.store_u32(SPACES[1] + 0x400, 0x23_1003)
    machine.memory.store_words(0x23_1000, [0x31_0003 + PAGE * number for number in range(8)])


def in_turns(machine: Machine) -> list[object]:
    turns = run(machine, 2_000_000_000)
    assert not is_window_used(machine)
    alone = run(machine, 2_000_000_000)
    assert is_window_used(machine) == (machine.mmu == "fast")
    return [turns, alone, run(machine, 2_000_000_000)]


def test_a_window_rests_and_comes_back() -> None:
    machine = compared(TURNS, map_two_spaces, memories=OF_THE_CORE, drive=in_turns)
    assert machine.memory.load_u32(symbol(machine, "alone")) == 150_000_001


# CR3 is loaded again and again, and most pages are used in between.
LOADS = (
    enable_paging()
    + f"""
        movl    $60000, %ecx
1:      movl    %cr3, %eax
        movl    %eax, %cr3
        movl    ${HIGH}, %esi
        movl    $64, %edx
2:      addl    %ecx, (%esi)
        addl    $0x1000, %esi
        decl    %edx
        jnz     2b
        decl    %ecx
        jnz     1b
        hlt
"""
)


def map_many(machine: Machine) -> None:
    tables = PageTables(machine.memory)
    for page in range(0, 0x40_0000, PAGE):
        tables.map(page, page)
    for number in range(64):
        tables.map(HIGH + PAGE * number, 0x30_0000 + PAGE * number)


def used_at_the_end(machine: Machine) -> list[object]:
    state = run(machine, 2_000_000_000)
    assert is_window_used(machine) == (machine.mmu == "fast")
    return [state]


def test_a_window_does_not_rest_where_the_engine_fills_its_tlb_anew() -> None:
    compared(LOADS, map_many, memories=OF_THE_CORE, drive=used_at_the_end)


# Many pages are used between loads of CR3; then one is.
FEWER = (
    enable_paging()
    + f"""
        movl    $50000, %ecx
1:      movl    %cr3, %eax
        movl    %eax, %cr3
        cmpl    $44000, %ecx
        jb      3f
        movl    ${HIGH}, %esi
        movl    $512, %edx
2:      addl    %ecx, (%esi)
        addl    $0x1000, %esi
        decl    %edx
        jnz     2b
3:      addl    %ecx, fewer
        decl    %ecx
        jnz     1b
        hlt
        .data
fewer:  .long   0
"""
)


def map_512(machine: Machine) -> None:
    tables = PageTables(machine.memory)
    for page in range(0, 0x60_0000, PAGE):
        tables.map(page, page)
    for number in range(512):
        tables.map(HIGH + PAGE * number, 0x30_0000 + PAGE * number)


def test_pages_that_are_used_no_more_are_not_compared_for_long() -> None:
    machine = compared(FEWER, map_512, memories=OF_THE_CORE, drive=used_at_the_end)
    assert window_of(machine)[0] < 10


MANY = """
        movl    $0x300000, %esi
        movl    $100, %ecx
1:      incl    (%esi)
        incl    4(%esi)
        decl    %ecx
        jnz     1b
        hlt
"""


def test_a_window_of_few_pages_does_not_rest() -> None:
    machine = compared(MANY, memories=OF_THE_CORE)
    assert is_window_used(machine)
    assert window_of(machine)[0] > 0
