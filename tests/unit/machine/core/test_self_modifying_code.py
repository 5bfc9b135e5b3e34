"""Code that changes: docs/architecture.md, fact 1.

The fast MMU lets stores to a page run at full speed until the page is executed. Each case below is a way to get
past that: the page written through an entry of the TLB that is older than its first execution, or under another
address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from emulator.errors import BudgetUsedUp
from tests.helpers.guest import machine_of, results_of, symbol
from tests.helpers.page_tables import LARGE_PAGE, P, W, enable_paging, identity_tables, paged_machine

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

Mmu = Literal["fast", "reference"]
ALIAS = 0x80000000

CODE_PAGE = """
        .text
        .balign 4096
        .globl  function
function:
        movl    $1, %eax
        ret
        .balign 4096
"""


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> Mmu:
    found: Mmu = request.param
    return found


def run(source: str, mmu: Mmu, count: int) -> list[int]:
    machine = machine_of(source + "\n exit 0\n" + CODE_PAGE, mmu=mmu)
    assert machine.run(timeout_s=10).exit_code == 1
    return results_of(machine, count)


def run_with_alias(source: str, mmu: Mmu, count: int) -> list[int]:
    """Memory lies at 0 and at ALIAS, in 4 KiB pages below and in one of 4 MiB above."""
    machine, tables = paged_machine(source + "\n exit 0\n" + CODE_PAGE, mmu)
    tables.map_large(ALIAS, 0)
    assert machine.run(timeout_s=10).exit_code == 1
    return results_of(machine, count)


def test_the_next_instruction_of_the_same_block(mmu: Mmu) -> None:
    source = """
        movl    $5, 1f + 1
1:      movl    $0, %eax
        put     eax
    """
    assert run(source, mmu, 1) == [5]


def test_an_instruction_further_on_in_the_same_block(mmu: Mmu) -> None:
    source = """
        movl    $0x11, %ebx
        movl    $0x77, 1f + 1
        addl    $1, %ebx
        put     ebx
1:      movl    $0, %eax
        put     eax
        addl    $1, %ebx
        put     ebx
    """
    assert run(source, mmu, 3) == [0x12, 0x77, 0x13]


def test_the_block_itself_in_a_loop(mmu: Mmu) -> None:
    source = """
        movl    $20, %ecx
        xorl    %ebx, %ebx
1:      addl    $1, %ebx                # grows by one each time round
        incb    1b + 2
        loop    1b
        put     ebx
    """
    assert run(source, mmu, 1) == [sum(range(1, 21))]


def test_an_earlier_block_of_the_same_page(mmu: Mmu) -> None:
    source = """
        movl    $10, %ecx
1:      call    near
        put     eax
        addl    $3, near + 1
        loop    1b
        jmp     2f
near:   movl    $1, %eax
        ret
2:
    """
    assert run(source, mmu, 10) == list(range(1, 31, 3))


def test_a_page_executed_rewritten_and_executed_many_times(mmu: Mmu) -> None:
    source = """
        movl    $50, %ecx
1:      call    function
        put     eax
        incl    function + 1
        loop    1b
    """
    assert run(source, mmu, 50) == list(range(1, 51))


def test_a_page_written_before_its_first_execution_and_after(mmu: Mmu) -> None:
    """The TLB holds a writable entry of the page when it is executed for the first time."""
    source = """
        movl    $7, function + 1
        call    function
        put     eax
        movl    $8, function + 1
        call    function
        put     eax
        movl    $9, function + 1
        movl    $10, function + 1
        call    function
        put     eax
    """
    assert run(source, mmu, 3) == [7, 8, 10]


def test_one_byte_at_a_time(mmu: Mmu) -> None:
    source = """
        call    function
        movb    $0x11, function + 1
        call    function
        put     eax
        movb    $0x22, function + 4
        call    function
        put     eax
        movw    $0x3344, function + 2
        call    function
        put     eax
    """
    assert run(source, mmu, 3) == [0x11, 0x22000011, 0x22334411]


def test_string_instructions_write_code(mmu: Mmu) -> None:
    source = """
        cld
        call    function
        movl    $new_code, %esi
        movl    $function, %edi
        movl    $6, %ecx
        rep movsb
        call    function
        put     eax
        movl    $function, %edi
        movb    $0x90, %al
        movl    $5, %ecx
        rep stosb
        movl    $0x55, %eax
        call    function
        put     eax
        .data
new_code: .byte 0xb8, 0x44, 0x33, 0x22, 0x11, 0xc3
        .text
    """
    assert run(source, mmu, 2) == [0x11223344, 0x55]


def test_the_stack_writes_code(mmu: Mmu) -> None:
    source = """
        call    function
        movl    %esp, %ebp
        movl    $function + 5, %esp
        pushl   $0x66
        movl    %ebp, %esp
        call    function
        put     eax
    """
    assert run(source, mmu, 1) == [0x66]


def test_a_store_that_reaches_into_a_code_page_from_the_page_before(mmu: Mmu) -> None:
    source = """
        call    function
        movl    $0xb8000000, function - 3       # leaves the opcode as it is
        movl    $0x000039b8, function           # and this one is a plain change
        call    function
        put     eax
        movl    $0x90000000, function - 3       # nop instead of movl: the operand becomes code
        movl    $0x11223344, %eax
        movb    $0xc3, function + 1
        call    function
        put     eax
    """
    assert run(source, mmu, 2) == [0x39, 0x11223344]


def test_an_instruction_across_two_pages_whose_second_half_changes(mmu: Mmu) -> None:
    source = """
        movl    $(function + 0x0ffd), %edi
        movl    $0x000001b8, (%edi)
        movw    $0xc300, 4(%edi)
        call    *%edi
        put     eax
        movb    $0x77, 4(%edi)                  # the operand's highest byte, in the next page
        call    *%edi
        put     eax
    """
    machine = machine_of(source + "\n exit 0\n" + CODE_PAGE + ".skip 4096\n", mmu=mmu)
    machine.run()
    assert results_of(machine, 2) == [1, 0x77000001]


def test_code_made_on_the_stack(mmu: Mmu) -> None:
    source = """
        movl    $5, %ecx
1:      pushl   $0x0000c300
        movl    %ecx, %eax
        shll    $8, %eax
        movb    $0xb8, %al
        pushl   %eax
        call    *%esp
        put     eax
        addl    $8, %esp
        loop    1b
    """
    assert run(source, mmu, 5) == [5, 4, 3, 2, 1]


def test_code_copied_to_a_new_page_each_time(mmu: Mmu) -> None:
    source = """
        cld
        movl    $8, %ebx
        movl    $0x00280000, %ebp
1:      movl    $function, %esi
        movl    %ebp, %edi
        movl    $6, %ecx
        rep movsb
        movl    %ebx, 1(%ebp)
        call    *%ebp
        put     eax
        addl    $0x1000, %ebp
        decl    %ebx
        jnz     1b
    """
    assert run(source, mmu, 8) == [8, 7, 6, 5, 4, 3, 2, 1]


# -- under another address ----------------------------------------------------------------------------------------


def test_a_write_through_the_alias_shows_below(mmu: Mmu) -> None:
    source = """
        movl    $10, %ecx
1:      call    function
        put     eax
        incl    function + 1 + 0x80000000
        loop    1b
    """
    assert run_with_alias(source, mmu, 10) == list(range(1, 11))


def test_a_write_below_shows_through_the_alias(mmu: Mmu) -> None:
    source = """
        movl    $10, %ecx
1:      movl    $function + 0x80000000, %eax
        call    *%eax
        put     eax
        incl    function + 1
        loop    1b
    """
    assert run_with_alias(source, mmu, 10) == list(range(1, 11))


def test_the_alias_was_written_before_the_page_was_first_executed(mmu: Mmu) -> None:
    """The TLB holds a fast, writable entry of the alias; the execution happens under the other address."""
    source = """
        movl    $3, function + 1 + 0x80000000
        movl    $4, function + 1 + 0x80000000
        call    function
        put     eax
        movl    $5, function + 1 + 0x80000000
        call    function
        put     eax
        movl    $6, function + 1 + 0x80000000
        call    function
        put     eax
    """
    assert run_with_alias(source, mmu, 3) == [4, 5, 6]


def test_both_addresses_are_executed_and_each_is_written(mmu: Mmu) -> None:
    source = """
        movl    $function + 0x80000000, %edx
        movl    $4, %ecx
1:      pushl   %ecx
        call    function
        put     eax
        call    *%edx
        put     eax
        incl    function + 1
        call    *%edx
        put     eax
        incl    1(%edx)
        call    function
        put     eax
        popl    %ecx
        loop    1b
    """
    expected = [value for start in (1, 3, 5, 7) for value in (start, start, start + 1, start + 2)]
    assert run_with_alias(source, mmu, 16) == expected


def test_a_block_that_rewrites_itself_through_the_alias(mmu: Mmu) -> None:
    source = """
        movl    $9, 1f + 1 + 0x80000000
        jmp     1f
1:      movl    $0, %eax
        put     eax
        movl    $20, %ecx
        xorl    %ebx, %ebx
2:      addl    $1, %ebx
        incb    2b + 2 + 0x80000000
        jmp     3f
3:      loop    2b
        put     ebx
    """
    assert run_with_alias(source, mmu, 2) == [9, sum(range(1, 21))]


def test_a_page_mapped_elsewhere_after_its_execution(mmu: Mmu) -> None:
    """One linear address, two physical pages of code in turn."""
    source = """
        movl    $(other + 3), %esi
        movl    $(function + 3), %edi
        movl    $4, %ecx
1:      movl    %edi, 0x00202000                # the second table's first entry: linear 0x40000000
        invlpg  0x40000000
        movl    $0x40000000, %eax
        call    *%eax
        put     eax
        xchgl   %esi, %edi
        loop    1b
    """
    machine, tables = paged_machine(
        source + "\n exit 0\n" + CODE_PAGE + "other: movl $2, %eax\n ret\n .balign 4096\n", mmu
    )
    tables.map(0x40000000, symbol(machine, "function"))
    machine.run()
    assert results_of(machine, 4) == [1, 2, 1, 2]


def test_code_executed_before_paging_and_rewritten_after(mmu: Mmu) -> None:
    source = """
        call    function
        put     eax
    """
    after = """
        movl    $2, function + 1 + 0x80000000
        call    function
        put     eax
        movl    $3, function + 1
        call    function
        put     eax
        exit    0
    """
    machine = machine_of(source + enable_paging() + after + CODE_PAGE, mmu=mmu)
    identity_tables(machine).map_large(ALIAS, 0)
    machine.run()
    assert results_of(machine, 3) == [1, 2, 3]


def test_a_read_only_page_of_code_rewritten_through_a_writable_alias(mmu: Mmu) -> None:
    source = (
        "call function\n put eax\n movl $2, function + 1 + 0x80000000\n call function\n put eax\n exit 0\n"
    )
    machine = machine_of(enable_paging() + source + CODE_PAGE, mmu=mmu)
    tables = identity_tables(machine, {symbol(machine, "function"): P})
    tables.map(ALIAS + symbol(machine, "function"), symbol(machine, "function"), P | W)
    machine.run()
    assert results_of(machine, 2) == [1, 2]


# -- with everything else -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 2, 3, 10])
def test_code_that_changes_runs_the_same_in_pieces(budget: int, mmu: Mmu) -> None:
    source = """
        movl    $30, %ecx
1:      call    function
        addl    %eax, %ebx
        incl    function + 1
        loop    1b
        put     ebx
        hlt
    """
    whole, pieces = (machine_of(source + CODE_PAGE, mmu=mmu) for _ in range(2))
    whole.run()
    run_in_pieces(pieces, budget)
    assert results_of(whole, 1) == results_of(pieces, 1) == [0x9500 + sum(range(1, 31))]


def run_in_pieces(machine: Machine, budget: int) -> None:
    for _ in range(500):
        try:
            machine.run(max_instructions=budget, timeout_s=10)
        except BudgetUsedUp:
            continue
        return
    raise AssertionError("no end")


def test_code_that_changes_while_its_pages_are_watched() -> None:
    machine = machine_of("1: call function\n put eax\n incl function + 1\n hlt\n jmp 1b\n" + CODE_PAGE)
    for number in range(1, 6):
        watch = machine.observers.note_written()
        machine.run()
        touched = watch.take().pages
        assert symbol(machine, "function") in touched
        assert touched[symbol(machine, "function")][1] == number
    assert results_of(machine, 5) == [1, 2, 3, 4, 5]


def test_the_alias_of_a_4_mib_page_reaches_the_last_byte(mmu: Mmu) -> None:
    source = """
        movb    $0xc3, 0x80000000 + 0x003fffff
        movl    $0x003fffff, %eax
        call    *%eax
        movl    $1, %ebx
        put     ebx
    """
    assert LARGE_PAGE == 0x00400000
    assert run_with_alias(source, mmu, 1) == [1]


def test_code_that_python_writes_is_executed_when_it_says_so(mmu: Mmu) -> None:
    machine = machine_of(
        "hlt\n" + CODE_PAGE.replace("function:", ".type function, @function\nfunction:"), mmu=mmu
    )
    machine.run()
    function = symbol(machine, "function")
    assert machine.call(function) == 1
    machine.memory.write(function + 1, b"\x07")
    machine.cpu.code_written(function + 1, 1)
    assert machine.call(function) == 7
