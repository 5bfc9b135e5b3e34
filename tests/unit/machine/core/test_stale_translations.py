"""The observer of stale translations: what changes tables besides the guest's instructions, snapshots, and its handle."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator.errors import BudgetUsedUp
from emulator.machine.core.handle import ffi, lib
from emulator.machine.core.observed import Rights
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import core_of, machine_of
from tests.helpers.page_tables import PAGE, P, PaeTables, PageTables, W, enable_pae, paged_machine
from tests.helpers.three_memories import window_of

if TYPE_CHECKING:
    from emulator.machine.core.handle import Mmu
    from emulator.machine.core.observed import StaleUse
    from emulator.machine.machine import Machine

DATA, OTHER = 0x300000, 0x301000
TOUCH = f"""
        movl    0x{DATA:x}, %ebx
change: nop
use:    movl    0x{DATA:x}, %ebx
        put     ebx
        exit    0
"""


def two_levels(source: str = TOUCH, mmu: Mmu = "fast") -> tuple[Machine, PageTables]:
    machine, tables = paged_machine(source, mmu=mmu)
    machine.memory.store_u32(DATA, 1)
    machine.memory.store_u32(OTHER, 2)
    return machine, tables


def facts(use: StaleUse) -> tuple[int, str, int, int]:
    return use.linear, use.access, use.held, use.now


def test_a_model_that_changes_an_entry_is_noticed_and_is_no_instruction() -> None:
    machine, tables = two_levels()

    def change(_kind: int, _esp: int, eax: int) -> int:
        machine.memory.store_u32(tables.table_entry(DATA), OTHER | 3)
        return eax

    machine.observers.probe(machine.address_of("change"), change)
    with machine.observers.seek_stale() as found:
        machine.run()
        (use,) = found.uses()
    assert facts(use) == (DATA, "read", DATA, OTHER)
    assert use.eip == machine.address_of("use")
    assert use.entry == tables.table_entry(DATA)
    assert use.change is None


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
def test_the_page_in_which_its_own_entry_lies(mmu: Mmu) -> None:
    """It stays in the engine's TLB, which makes the store."""
    table = two_levels()[1].table_entry(0) & -PAGE
    read = f"movl $50, %ecx; 1: movl 0x{table:x}, %ebx; loop 1b"
    write = f"movl $0x{OTHER | 3:x}, 0x{table + 4 * (table // PAGE):x}"
    machine, tables = two_levels(f"{read}; {write}; use: movl 0x{table:x}, %ebx; exit 0", mmu=mmu)
    assert tables.table_entry(table) & -PAGE == table
    with machine.observers.seek_stale() as found:
        machine.run()
        (use,) = found.uses()
    assert facts(use) == (table, "read", table, OTHER)
    assert use.eip == machine.address_of("use")


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
@pytest.mark.parametrize("use", ["movl 0x{:x}, %ebx", "movl %ebx, 0x{:x}"])
def test_the_byte_is_told_that_is_accessed(use: str, mmu: Mmu) -> None:
    entry = two_levels()[1].table_entry(DATA)
    change = f"addl $0, 0x{DATA:x}; movl $0x{OTHER | 3:x}, 0x{entry:x}"
    machine, _ = two_levels(f"{change}; {use.format(DATA + 0x224)}; hlt", mmu=mmu)
    with machine.observers.seek_stale() as found:
        machine.run()
        (used,) = found.uses()
    assert used.linear == DATA + 0x224


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
def test_a_use_that_another_table_makes_one(mmu: Mmu) -> None:
    """The directory leads to a copy of the table, by which all is right; then an entry of the copy is changed."""
    _, tables = two_levels()
    table, copy = tables.table_entry(0), 0x30_4000
    machine, _ = two_levels(
        f"""
        movl    $0x{table:x}, %esi
        movl    $0x{copy:x}, %edi
        movl    $1024, %ecx
        rep movsl
        movl    0x{DATA:x}, %ebx
        movl    $0x{copy | 3:x}, 0x{tables.directory_entry(0):x}
        movl    $50, %ecx
1:      movl    0x{DATA:x}, %ebx
        loop    1b
        movl    $0x{OTHER | 3:x}, 0x{copy + tables.table_entry(DATA) - table:x}
use:    movl    0x{DATA:x}, %ebx
        exit    0
        """,
        mmu=mmu,
    )
    with machine.observers.seek_stale() as found:
        machine.run()
        (use,) = found.uses()
    assert facts(use) == (DATA, "read", DATA, OTHER)
    assert use.eip == machine.address_of("use")


def test_page_tables_are_read_by_single_instructions_of_the_host() -> None:
    table = two_levels()[1].table_entry(0) & -PAGE
    machine, _ = two_levels(f"movl $50, %ecx; 1: movl 0x{table:x}, %ebx; loop 1b; hlt")
    with machine.observers.seek_stale():
        machine.run()
        assert window_of(machine) == (1, 0)


def test_so_is_a_device() -> None:
    machine, tables = two_levels()
    entry = ffi.new("uint8_t[4]", list((OTHER | 3).to_bytes(4, "little")))

    def change(_kind: int, _esp: int, eax: int) -> int:
        lib.kc_dma_write(core_of(machine).raw, tables.table_entry(DATA), entry, 4)
        return eax

    machine.observers.probe(machine.address_of("change"), change)
    with machine.observers.seek_stale() as found:
        machine.run()
        (use,) = found.uses()
    assert facts(use) == (DATA, "read", DATA, OTHER)
    assert use.change is not None
    assert use.change.eip == machine.address_of("change")


def test_so_is_python_between_two_runs() -> None:
    machine, tables = two_levels()
    with machine.observers.seek_stale() as found:
        until(machine, "change")
        machine.memory.store_u32(tables.table_entry(DATA), 0)
        machine.run()
        (use,) = found.uses()
    assert facts(use) == (DATA, "read", DATA, 0)
    assert use.now_rights == Rights(0)


def until(machine: Machine, label: str) -> None:
    """Run up to a label, instruction by instruction."""
    while machine.registers().eip != machine.address_of(label):
        with suppress(BudgetUsedUp):
            machine.run(max_instructions=1)


def test_three_levels() -> None:
    change = """
        movl    0x{0:x}, %ebx
        movl    ${2:#x} + 3, {1:#x}
use:    movl    0x{0:x}, %ebx
        exit    0
    """
    entry = 0
    for _ in range(2):  # the first time it shows where the entry is
        machine = machine_of(enable_pae() + change.format(DATA, entry or OTHER, OTHER))
        tables = PaeTables(machine.memory)
        for page in range(0, 4 << 20, PAGE):
            tables.map(page, page, P | W)
        entry = tables.entry(DATA, "table")
    with machine.observers.seek_stale() as found:
        machine.run()
        (use,) = found.uses()
    assert facts(use) == (DATA, "read", DATA, OTHER)
    assert use.entry == entry
    assert use.change is not None
    assert (use.change.before & ~0x60, use.change.after) == (DATA | 3, OTHER | 3)


def test_the_upper_half_of_an_entry() -> None:
    """Execution is forbidden there."""
    source = """
        movl    $0xc0000080, %ecx
        rdmsr
        orl     $0x800, %eax            # NXE
        wrmsr
        movl    ${0:#x}, %eax
        movb    $0xc3, (%eax)           # ret
        movl    %cr3, %ecx
        movl    %ecx, %cr3
        call    *%eax
        movl    $0x80000000, {1:#x}
        call    *%eax
        exit    0
    """
    entry = 0
    for _ in range(2):  # the first time it shows where the entry is
        machine = machine_of(enable_pae() + source.format(DATA, entry + 4))
        tables = PaeTables(machine.memory)
        for page in range(0, 4 << 20, PAGE):
            tables.map(page, page, P | W)
        entry = tables.entry(DATA, "table")
    with machine.observers.seek_stale() as found:
        assert machine.run().exit_value == 0
        (use,) = found.uses()
    assert facts(use) == (DATA, "fetch", DATA, DATA)
    assert use.change is not None
    assert use.change.eip < use.eip


STALE = f"""
        movl    0x{DATA:x}, %ebx
        movl    $0, 0x{{0:x}}
use:    movl    0x{DATA:x}, %ebx
        exit    0
"""


def stale_machine() -> Machine:
    _, tables = two_levels()
    machine, _ = two_levels(STALE.format(tables.table_entry(DATA)))
    return machine


def test_a_snapshot_brings_the_machine_back_and_the_use_comes_again() -> None:
    machine = stale_machine()
    with machine.observers.seek_stale() as found:
        start = machine.snapshot()
        machine.run()
        start.reset()
        assert len(found.uses()) == 1
        machine.run()
        first, second = found.uses()
    assert first == second


def test_a_reset_empties_the_tlb_as_without_an_observer() -> None:
    """Going back to where a translation was stale, the CPU walks the tables."""
    outcomes = []
    for seek in (False, True):
        machine = stale_machine()
        found = machine.observers.seek_stale() if seek else None
        until(machine, "use")
        machine.snapshot().reset()
        with pytest.raises(Exception, match="page fault") as error:
            machine.run()
        outcomes.append(str(error.value))
        assert found is None or found.uses() == ()
    assert outcomes[0] == outcomes[1]


def test_handles_know_nothing_of_each_other() -> None:
    machine = stale_machine()
    outer = machine.observers.seek_stale()
    start = machine.snapshot()
    with machine.observers.seek_stale() as inner:
        machine.run()
    start.reset()
    machine.run()
    outer.close()
    outer.close()
    start.reset()
    machine.run()
    assert (len(inner.uses()), len(outer.uses())) == (1, 2)
    later = machine.observers.seek_stale()
    assert later.uses() == ()


def test_without_one_nothing_is_sought() -> None:
    machine = stale_machine()
    machine.observers.seek_stale().close()
    machine.run()
    assert machine.observers.seek_stale().uses() == ()


def test_many_uses_are_counted_but_not_kept() -> None:
    source = f"""
        movl    $300, %ecx
1:      movl    0x{DATA:x}, %ebx
        xorl    $0x1000, {{0:#x}}
        loop    1b
        exit    0
    """
    _, tables = two_levels()
    machine, _ = two_levels(source.format(tables.table_entry(DATA)))
    with machine.observers.seek_stale() as found:
        machine.run()
        assert len(found.uses()) == 150
    machine, _ = two_levels(source.format(tables.table_entry(DATA)).replace("$300", "$3000"))
    with machine.observers.seek_stale() as found:
        machine.run()
        assert len(found.uses()) == lib.KC_STALE_USES


def test_the_reference_mmu_has_none() -> None:
    with pytest.raises(ValueError, match="stale translations are not found with the reference MMU"):
        machine_of("exit 0", mmu="reference").observers.seek_stale()


def test_it_opens_between_runs_only() -> None:
    machine, _ = two_levels()
    errors = []

    def ask(_kind: int, _esp: int, eax: int) -> int:
        with pytest.raises(ValueError, match="seek_stale"):
            machine.observers.seek_stale()
        errors.append(eax)
        return eax

    machine.observers.probe(machine.address_of("change"), ask)
    machine.run()
    assert len(errors) == 1


SWITCHES = f"""
        movl    $5000, %ecx
1:      movl    %cr3, %eax
        movl    %eax, %cr3
        movl    0x{DATA:x}, %ebx
        loop    1b
        movl    %cr3, %eax
        movl    %eax, %cr3
        {{change}}
        movl    0x{DATA:x}, %ebx
        exit    0
"""


def switching(change: str) -> Machine:
    """Return a machine whose guest loads CR3 all the time, and then changes an entry."""
    entry = 0
    for _ in range(2):  # the first time it shows where the entry is
        machine, tables = two_levels(
            SWITCHES.format(change=change.format(new=OTHER | 3, entry=entry or OTHER))
        )
        entry = tables.table_entry(DATA)
    return machine


def search(*, checked: bool) -> None:
    """Where each load of CR3 is not followed, it is said if that matters, and nothing is found that is not there."""
    changed = "movl ${new:#x}, {entry:#x}"
    for change, result, is_whole in (
        (changed, 2, False),
        (f"{changed}; invlpg 0x{DATA:x}", 2, True),
        (f"{changed}; movl %cr3, %eax; movl %eax, %cr3", 2, True),
        (f"movl 0x{DATA - PAGE:x}, %ebx; fldt 0x{DATA:x}; andl $~2, {{entry:#x}}", 1, True),
        ("nop", 1, True),
    ):
        machine = switching(change)
        record(machine, [RecordedFunction("_start")])
        accesses = machine.observers.check_accesses([]) if checked else nullcontext()
        with machine.observers.seek_stale() as found, accesses:
            assert found.is_whole
            machine.run()
            assert found.is_whole == is_whole
            assert found.uses() == ()
        assert found.is_whole == is_whole
        assert machine.registers().ebx == result


def test_where_cr3_is_loaded_all_the_time_what_is_not_known_is_said() -> None:
    search(checked=False)


def test_so_it_is_where_accesses_are_checked() -> None:
    """In a process of its own: others may have machines that stay."""
    program = f"from {__name__} import search; search(checked=True)"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[4], check=True, timeout=100)


def test_who_wants_to_follow_each_load_finds_what_there_is() -> None:
    for change, count in (
        ("movl ${new:#x}, {entry:#x}", 0),
        (f"movl 0x{DATA:x}, %ebx; movl ${{new:#x}}, {{entry:#x}}", 1),
    ):
        machine = switching(change)
        with machine.observers.seek_stale(each_load=True) as found:
            machine.run()
            assert len(found.uses()) == count
            assert found.is_whole
