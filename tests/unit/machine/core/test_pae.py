"""Page tables of three levels (CR4.PAE), against the manual (Intel SDM vol. 3A, 4.4) and the reference MMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.errors import NotEmulated, UnmappedAccess
from tests.helpers.guest import machine_of, results_of, symbol
from tests.helpers.page_tables import (
    LARGE_PAE_PAGE,
    LARGE_PAGE,
    NX,
    PAGE,
    A,
    D,
    Entry,
    Level,
    P,
    PaeTables,
    U,
    W,
    enable_pae,
    enable_paging,
    identity_tables,
)
from tests.unit.machine.core.test_paging import DATA, KERNEL_SPACE, USER, Mmu, assert_page_fault

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

HIGH = 0xC0000000
NX_ON = """
        movl    $0xc0000080, %ecx
        rdmsr
        orl     $0x800, %eax
        wrmsr
"""


def pae_machine(
    source: str, mmu: Mmu = "fast", *, before: str = "", pages: dict[int, Entry] | None = None
) -> tuple[Machine, PaeTables]:
    """Return a machine whose guest runs with the first 4 MiB mapped to themselves, and the tables."""
    machine = machine_of(before + enable_pae() + source, mmu=mmu)
    tables = PaeTables(machine.memory)
    for page in range(0, LARGE_PAGE, PAGE):
        tables.map(page, page, (pages or {}).get(page, P | W))
    return machine, tables


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> Mmu:
    found: Mmu = request.param
    return found


def test_an_identity_map_changes_nothing_for_the_guest(mmu: Mmu) -> None:
    machine, _ = pae_machine(f"movl $7, 0x{DATA:x}\n movl 0x{DATA:x}, %ebx\n put ebx\n exit 3", mmu)
    assert machine.run().exit_value == 3
    assert results_of(machine, 1) == [7]
    assert machine.cpu.registers().cr4 & 0x20


def test_one_large_page_is_enough_for_a_kernel(mmu: Mmu) -> None:
    machine = machine_of(enable_pae() + "movl $5, %ebx\n put ebx\n exit 0", mmu=mmu)
    PaeTables(machine.memory).map_large(0, 0)
    assert machine.run().exit_value == 0
    assert results_of(machine, 1) == [5]


@pytest.mark.parametrize("linear", [0x3FE00000, 0x40000000, 0x7FFFF000, 0xBFE01000, 0xFFFFF000])
def test_a_page_is_read_where_it_is_mapped(linear: int, mmu: Mmu) -> None:
    machine, tables = pae_machine(
        f"movl $0x1234, 0x{linear + 8:x}\n movl 0x{linear + 8:x}, %ebx\n put ebx\n exit 0", mmu
    )
    tables.map(linear, DATA)
    machine.run()
    assert results_of(machine, 1) == [0x1234]
    assert machine.memory.load_u32(DATA + 8) == 0x1234
    assert machine.cpu.translate(linear + 8) == DATA + 8


def test_a_2_mib_page_maps_all_of_it(mmu: Mmu) -> None:
    source = "movl $1, 0xc0200000\n movl $2, 0xc03ffffc\n exit 0"
    machine, tables = pae_machine(source, mmu)
    tables.map_large(HIGH + LARGE_PAE_PAGE, LARGE_PAE_PAGE)
    machine.memory.store_u32(0x003FFFFC, 0)
    machine.run()
    assert machine.memory.load_u32(0x00200000) & 1
    assert machine.memory.load_u32(0x003FFFFC) == 2


@pytest.mark.parametrize(
    ("access", "bits"),
    [("movl 0x80000004, %eax", A), ("movl %eax, 0x80000004", A | D)],
    ids=["read", "write"],
)
def test_accessed_and_dirty_are_set_as_the_cpu_does(access: str, bits: Entry, mmu: Mmu) -> None:
    machine, tables = pae_machine(f"{access}\n exit 0", mmu)
    tables.map(KERNEL_SPACE, DATA)
    machine.run()
    assert tables.bits(KERNEL_SPACE) == (Entry(0), A, bits)


@pytest.mark.parametrize(
    ("access", "bits"),
    [("movl 0xc0300000, %eax", A), ("movl %eax, 0xc0300000", A | D)],
    ids=["read", "write"],
)
def test_a_2_mib_page_has_its_bits_in_the_directory(access: str, bits: Entry, mmu: Mmu) -> None:
    machine, tables = pae_machine(f"{access}\n exit 0", mmu)
    tables.map_large(HIGH + LARGE_PAE_PAGE, LARGE_PAE_PAGE)
    machine.run()
    assert tables.bits(HIGH + LARGE_PAE_PAGE) == (Entry(0), bits, None)


def test_reading_first_does_not_hide_the_write(mmu: Mmu) -> None:
    machine, tables = pae_machine("movl 0x80000004, %eax\n movl %eax, 0x80000008\n exit 0", mmu)
    tables.map(KERNEL_SPACE, DATA)
    machine.run()
    assert tables.bits(KERNEL_SPACE)[2] == A | D


@pytest.mark.parametrize("address", [0x40000000, 0x00600000, 0x00300000], ids=["first", "directory", "table"])
def test_what_is_not_present_at_any_level_faults(address: int, mmu: Mmu) -> None:
    machine, _ = pae_machine(f"fault: movl %eax, 0x{address + 4:x}", mmu, pages={DATA: W})
    assert_page_fault(machine, "write to", address + 4, 2)


def test_a_read_only_page_is_not_written_with_wp(mmu: Mmu) -> None:
    machine, _ = pae_machine("fault: movl %eax, 0x300004", mmu, pages={DATA: P})
    assert_page_fault(machine, "write to", 0x300004, 3)


@pytest.mark.parametrize(("flags", "code"), [(P | W, 5), (Entry(0), 4)])
def test_ring_3_sees_its_own_pages_only(flags: Entry, code: int, mmu: Mmu) -> None:
    source = USER + "movl 0x301000, %eax\n fault: movl 0x300004, %eax\n done: jmp done"
    machine, tables = pae_machine(source, mmu, pages={DATA: flags, DATA + PAGE: P | U})
    for page in (symbol(machine, "in_ring_3"), symbol(machine, "user_stack") - PAGE):
        tables.map(page, page, P | W | U)
    assert_page_fault(machine, "read of", 0x300004, code)


RESERVED: dict[str, tuple[Level, int]] = {
    "first level, bit 63": ("first", NX),
    "first level, bit 52": ("first", 1 << 52),
    "directory, bit 63": ("directory", NX),
    "directory, bit 40": ("directory", 1 << 40),
    "table, bit 63": ("table", NX),
    "table, bit 62": ("table", 1 << 62),
    "table, bit 51": ("table", 1 << 51),
}


@pytest.mark.parametrize("which", RESERVED)
def test_a_reserved_bit_faults(which: str, mmu: Mmu) -> None:
    level, bit = RESERVED[which]
    machine, tables = pae_machine("fault: movl 0x80000004, %eax", mmu)
    tables.map(KERNEL_SPACE, DATA)
    tables.add_bits(KERNEL_SPACE, level, bit)
    assert machine.cpu.translate(KERNEL_SPACE) == KERNEL_SPACE
    assert_page_fault(machine, "read of", 0x80000004, 9)
    assert machine.cpu.translate(KERNEL_SPACE) is None


@pytest.mark.parametrize("bit", [1 << 13, 1 << 20, NX])
def test_a_reserved_bit_of_a_2_mib_page_faults(bit: int, mmu: Mmu) -> None:
    machine, tables = pae_machine("fault: movl %eax, 0xc0200004", mmu)
    tables.map_large(HIGH + LARGE_PAE_PAGE, LARGE_PAE_PAGE)
    tables.add_bits(HIGH + LARGE_PAE_PAGE, "directory", bit)
    assert_page_fault(machine, "write to", 0xC0200004, 11)


@pytest.mark.parametrize("level", ["directory", "table"])
def test_with_nx_data_is_read_and_written_and_not_executed(level: Level, mmu: Mmu) -> None:
    source = "movl $0xc3, 0x80000000\n movl 0x80000000, %ebx\n put ebx\n movl $0x80000000, %eax\n jmp *%eax"
    machine, tables = pae_machine(source, mmu, before=NX_ON)
    tables.map(KERNEL_SPACE, DATA)
    tables.add_bits(KERNEL_SPACE, level, NX)
    assert_page_fault(machine, "fetch from", KERNEL_SPACE, 0x11, KERNEL_SPACE)
    assert results_of(machine, 1) == [0xC3]


def test_with_nx_the_error_code_of_a_fetch_says_so(mmu: Mmu) -> None:
    machine, _ = pae_machine("movl $0x80000000, %eax\n jmp *%eax", mmu, before=NX_ON)
    assert_page_fault(machine, "fetch from", KERNEL_SPACE, 0x10, KERNEL_SPACE)


def test_code_in_pages_without_nx_runs_while_others_have_it(mmu: Mmu) -> None:
    source = "movl $0x80000000, %eax\n call *%eax\n exit 6"
    machine, tables = pae_machine(source, mmu, before=NX_ON)
    tables.map(KERNEL_SPACE, DATA)
    tables.add_bits(DATA, "table", NX)
    machine.memory.write(DATA, b"\xc3")
    assert machine.run().exit_value == 6


def test_physical_memory_above_4_gib_is_named() -> None:
    machine, tables = pae_machine("fault: movl 0x80000123, %eax")
    tables.map(KERNEL_SPACE, 0x12_3456_7000)
    with pytest.raises(UnmappedAccess, match=r"^read of unmapped physical memory 0x1234567123 at ") as caught:
        machine.run()
    assert (caught.value.access, caught.value.address) == ("read", 0x1234567123)


def test_a_4_mib_page_above_4_gib_is_named() -> None:
    machine = machine_of(enable_paging() + "fault: movl 0x80000123, %eax")
    identity_tables(machine).map_large(KERNEL_SPACE, 0x00400000 | 0x01 << 13)
    with pytest.raises(UnmappedAccess, match=r"^read of unmapped physical memory 0x100400123 at "):
        machine.run()


def test_the_reserved_bit_of_a_4_mib_page_faults(mmu: Mmu) -> None:
    machine = machine_of(enable_paging() + "fault: movl 0x80000123, %eax", mmu=mmu)
    identity_tables(machine).map_large(KERNEL_SPACE, 0x00200000)
    assert_page_fault(machine, "read of", 0x80000123, 9)


@pytest.mark.parametrize("flush", ["movl %cr3, %eax\n movl %eax, %cr3", "invlpg 0x80000000"])
def test_a_new_mapping_counts_after_a_flush(flush: str, mmu: Mmu) -> None:
    machine, tables = pae_machine("", mmu)
    tables.map(KERNEL_SPACE, DATA)
    entry = tables.entry(KERNEL_SPACE, "table")
    source = f"""
        movl    0x80000000, %ebx
        put     ebx
        movl    $0x{DATA + PAGE + 3:x}, 0x{entry:x}
        {flush}
        movl    0x80000000, %ebx
        put     ebx
        exit    0
    """
    machine, tables = pae_machine(source, mmu)
    tables.map(KERNEL_SPACE, DATA)
    machine.memory.store_u32(DATA, 1)
    machine.memory.store_u32(DATA + PAGE, 2)
    machine.run()
    assert results_of(machine, 2) == [1, 2]


def test_translate_and_reads_follow_the_tables_and_change_nothing(mmu: Mmu) -> None:
    machine, tables = pae_machine("hlt", mmu)
    tables.map(KERNEL_SPACE, DATA)
    tables.map_large(HIGH, LARGE_PAE_PAGE)
    machine.run()
    machine.memory.store_u32(DATA + 4, 0xABCD)
    before = machine.memory.read(0, LARGE_PAGE)
    assert machine.cpu.translate(HIGH + LARGE_PAE_PAGE - 1) == 2 * LARGE_PAE_PAGE - 1
    assert machine.cpu.translate(HIGH + LARGE_PAE_PAGE) is None
    assert machine.cpu.translate(0x40000000) is None
    assert machine.read_linear(KERNEL_SPACE + 4, 4) == b"\xcd\xab\0\0"
    assert machine.memory.read(0, LARGE_PAGE) == before


def test_a_snapshot_keeps_the_mode(mmu: Mmu) -> None:
    machine, tables = pae_machine("hlt\n movl 0x80000000, %ebx\n put ebx\n exit 0", mmu)
    tables.map(KERNEL_SPACE, DATA)
    machine.memory.store_u32(DATA, 77)
    start = machine.snapshot()
    for _ in range(2):
        machine.run()
        machine.run()
        assert results_of(machine, 1) == [77]
        start.reset()


def test_64_bit_mode_is_refused() -> None:
    source = "movl $0xc0000080, %ecx\n rdmsr\n orl $0x100, %eax\n wrmsr\n" + enable_pae() + "hlt"
    with pytest.raises(
        NotEmulated,
        match=r"^kmemu does not have 64-bit mode \(EFER\.LME\), in which paging was switched on at ",
    ):
        machine_of(source).run()
