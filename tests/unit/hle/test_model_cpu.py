"""What models ask of the CPU: which page tables are in use, and to forget translations that they have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.hle.kernels import recognize
from emulator.hle.layers import Mode, attach_layers, lockstep_calls
from tests.helpers.guest import machine_of, results_of, symbol
from tests.helpers.paging_kernel import ENTRY, FIRST, LARGE, SECOND, PagingModels, paging_machine, register

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

# The window's page is used, gets another frame, and is used again.
CHANGE = """
        movl    0x400000, %ebx
        put     ebx
        pushl   $second + 7
        pushl   $0
        call    entry_set
        movl    0x400000, %ebx
        put     ebx
        exit    0
"""
# The same of a table, through the directory; the other table lies in `second`.
CHANGE_DIRECTORY = """
        movl    $second + 7, second
        movl    $second + 7, second + 4
        movl    0x400000, %ebx
        put     ebx
        pushl   $second + 7
        pushl   $1
        call    directory_set
        movl    0x401000, %ebx                  # was not mapped
        movl    0x400000, %ebx
        put     ebx
        exit    0
"""
# A large page: the word at 0x801000 is that of 0x1000, then that of 0x401000, which is physical memory as well.
CHANGE_LARGE = """
        movl    $0x83, directory + 12
        movl    $0x400083, directory + 16
        movl    $0x1111, 0xc01000
        movl    $0x2222, 0x1001000
        movl    0x800000, %ebx
        movl    0x801000, %ebx
        put     ebx
        pushl   $0x400083
        pushl   $2
        call    directory_set
        movl    0x801000, %ebx
        put     ebx
        exit    0
"""
MMUS = pytest.mark.parametrize("mmu", ["fast", "reference"])


@pytest.fixture(autouse=True)
def entry(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def run(machine: Machine, mode: Mode) -> list[int]:
    attach_layers(machine, {"tables": mode})
    assert machine.run(max_instructions=100_000).exit_value == 0
    return results_of(machine, 2)


@MMUS
@pytest.mark.parametrize("mode", [Mode.NATIVE, Mode.MODEL])
@pytest.mark.parametrize("body", [CHANGE, CHANGE_DIRECTORY, CHANGE_LARGE])
def test_what_a_model_has_changed_is_used_when_it_asks(mmu: str, mode: Mode, body: str) -> None:
    machine = paging_machine(body, mmu=mmu)
    values = run(machine, mode)
    assert values[0] == FIRST
    assert values[1] != FIRST
    assert body is CHANGE_DIRECTORY or values[1] == SECOND


@MMUS
@pytest.mark.parametrize("body", [CHANGE, CHANGE_LARGE])
def test_the_old_translation_is_used_where_it_does_not_ask(
    mmu: str, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a CPU: it has not looked at its page tables again."""
    monkeypatch.setattr(PagingModels, "asks", False)
    assert run(paging_machine(body, mmu=mmu), Mode.MODEL) == [FIRST, FIRST]


@MMUS
def test_one_page_of_a_large_one_is_all_of_it(mmu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget_first_page(self: PagingModels, index: int, entry: int) -> int:
        old = self._exchange(self._directory + 4 * index, entry)
        self._cpu.forget_translation(LARGE)
        return old

    monkeypatch.setattr(PagingModels, "set_directory", forget_first_page)
    assert run(paging_machine(CHANGE_LARGE, mmu=mmu), Mode.MODEL) == [FIRST, SECOND]


@MMUS
def test_another_page_is_not_forgotten(mmu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget_another(self: PagingModels, index: int, entry: int) -> int:
        old = self._exchange(self._table + 4 * index, entry)
        self._cpu.forget_translation(0x0040_1000)
        return old

    monkeypatch.setattr(PagingModels, "set_entry", forget_another)
    assert run(paging_machine(CHANGE, mmu=mmu), Mode.MODEL) == [FIRST, FIRST]


@MMUS
def test_the_directory_is_that_of_cr3(mmu: str) -> None:
    machine = paging_machine(CHANGE, mmu=mmu)
    run(machine, Mode.MODEL)
    assert PagingModels.directories == [symbol(machine, "directory")]


def test_in_lockstep_the_model_sees_it_and_makes_nothing_be_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = paging_machine(CHANGE)
    forgotten: list[int] = []
    monkeypatch.setattr(machine.cpu, "forget_translation", forgotten.append)
    assert run(machine, Mode.LOCKSTEP) == [FIRST, SECOND]
    assert PagingModels.directories == [symbol(machine, "directory")]
    assert forgotten == []
    calls = lockstep_calls(machine)
    assert calls is not None
    assert calls.compared == 1


@MMUS
def test_without_paging_there_is_no_directory(mmu: str) -> None:
    machine = machine_of("movl $0x200000, %eax\n movl %eax, %cr3\n exit 0", mmu=mmu)
    machine.run(max_instructions=100)
    assert machine.cpu.page_directory() == 0


@MMUS
def test_of_page_tables_of_three_levels_it_is_the_first(mmu: str) -> None:
    """CR3 says where four entries lie, on a boundary of 32 bytes."""
    source = "exit 0\n .data\n .balign 32\n .skip 32\n four: .skip 32\n .text"
    machine = machine_of(
        f"movl $1, four\n movl $four, %eax\n orl $0x18, %eax\n movl %eax, %cr3\n movl $0x20, %eax\n movl %eax, %cr4\n"
        f"movl $pages + 1, four\n movl $0x83, pages\n movl %cr0, %eax\n orl $0x80000000, %eax\n movl %eax, %cr0\n {source}\n"
        " .bss\n .balign 4096\n pages: .skip 4096\n",
        mmu=mmu,
    )
    machine.run(max_instructions=1000)
    assert machine.cpu.page_directory() == symbol(machine, "four")


@MMUS
def test_it_may_be_asked_between_runs(mmu: str) -> None:
    machine = paging_machine(
        "movl 0x400000, %ebx\n put ebx\n hlt\n movl 0x400000, %ebx\n put ebx\n exit 0", mmu=mmu
    )
    machine.run(max_instructions=1000)
    found = recognize(machine)
    assert found is not None
    assert found[0] is ENTRY
    assert found[1].functions["entry_set"].call(0, symbol(machine, "second") + 7)
    machine.run(max_instructions=1000)
    assert results_of(machine, 2) == [FIRST, SECOND]


def test_before_the_first_run_nothing_is_there_to_be_forgotten() -> None:
    machine = machine_of("exit 0")
    machine.cpu.forget_translation(0x1000)
    machine.cpu.forget_translations()
    assert machine.run().exit_value == 0
