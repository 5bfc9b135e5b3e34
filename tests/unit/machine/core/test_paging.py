"""The page walk of the fast MMU, against the manual (Intel SDM vol. 3A, chapter 4) and the reference MMU."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import pytest

from emulator.errors import GuestException, GuestStopped, UnmappedAccess
from emulator.machine.execution import Returned
from tests.helpers.guest import machine_of, results_of, symbol
from tests.helpers.page_tables import (
    DIRECTORY,
    LARGE_PAGE,
    PAGE,
    A,
    D,
    Entry,
    P,
    PageTables,
    U,
    W,
    enable_paging,
    identity_tables,
    paged_machine,
)
from tests.helpers.rings import exceptions

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

Mmu = Literal["fast", "reference"]
DATA = 0x00300000  # a page that the guest uses for nothing else
KERNEL_SPACE = 0x80000000
ROM, ROM_SIZE = 0xF0000, 0x10000
NONE = Entry(0)


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> Mmu:
    found: Mmu = request.param
    return found


def page_fault(machine: Machine) -> tuple[str, int, int, int]:
    """Run into a page fault: (access, linear address, error code, EIP)."""
    with pytest.raises(GuestException) as caught:
        machine.run(timeout_s=10)
    assert caught.value.vector == 14
    found = re.search(
        r"#PF page fault, (\w+ \w+) 0x([0-9a-f]{8}), error code 0x([0-9a-f]+),", caught.value.problem
    )
    assert found, caught.value.problem
    return found[1], int(found[2], 16), int(found[3], 16), caught.value.eip


def assert_page_fault(
    machine: Machine, words: str, address: int, code: int, eip: int | str = "fault"
) -> None:
    """Run into exactly this page fault. The reference MMU has vector and EIP only."""
    target = symbol(machine, eip) if isinstance(eip, str) else eip
    got = page_fault(machine)
    if machine.mmu == "fast":
        assert got == (words, address, code, target)
    else:
        assert got[3] == target


def test_an_identity_map_changes_nothing_for_the_guest(mmu: Mmu) -> None:
    machine, _ = paged_machine(f"movl $7, 0x{DATA:x}\n movl 0x{DATA:x}, %ebx\n put ebx\n exit 3", mmu)
    assert machine.run().exit_value == 3
    assert results_of(machine, 1) == [7]
    assert machine.cpu.registers().cr0 & 0x80000001 == 0x80000001


def test_a_page_is_read_where_it_is_mapped(mmu: Mmu) -> None:
    source = """
        movl    $0x11111111, 0x80300004
        movl    $0x22222222, 0xfffffffc
        movl    0x80300004, %ebx
        put     ebx
        exit    0
    """
    machine, tables = paged_machine(source, mmu)
    tables.map(KERNEL_SPACE + DATA, DATA)
    tables.map(0xFFFFF000, DATA + PAGE)
    machine.run()
    assert results_of(machine, 1) == [0x11111111]
    assert machine.memory.load_u32(DATA + 4) == 0x11111111
    assert machine.memory.load_u32(DATA + PAGE + 0xFFC) == 0x22222222


def test_a_4_mib_page_maps_all_of_it(mmu: Mmu) -> None:
    source = """
        movl    $1, 0x80000000 + 0x00300000
        movl    $2, 0x80000000 + 0x003ffffc
        movl    0x80000000 + 0x00200000, %ebx       # the page directory itself
        put     ebx
        exit    0
    """
    machine, tables = paged_machine(source, mmu)
    tables.map_large(KERNEL_SPACE, 0)
    machine.run()
    assert machine.memory.load_u32(0x00300000) == 1
    assert machine.memory.load_u32(0x003FFFFC) == 2
    assert results_of(machine, 1)[0] & 0xFFFFF000 == 0x00201000


def test_without_pse_the_size_bit_means_nothing(mmu: Mmu) -> None:
    machine, tables = paged_machine("movl 0x80300008, %ebx\n put ebx\n exit 0", mmu, pse=False)
    tables.map(KERNEL_SPACE + 0x00300000, DATA, directory_flags=P | W | Entry.PS)
    machine.memory.store_u32(DATA + 8, 0x1234)
    machine.run()
    assert results_of(machine, 1) == [0x1234]


def test_a_table_may_lie_in_the_first_frame(mmu: Mmu) -> None:
    source = f"movl $0x1234, 0x80000008\n invlpg 0x80000008\n movl 0x{DATA + 8:x}, %ebx\n put ebx\n exit 0"
    machine, tables = paged_machine(source, mmu)
    above = tables.directory_entry(KERNEL_SPACE)
    machine.memory.store_u32(above, P | W)
    machine.memory.store_u32(0, DATA | P | W)
    machine.run()
    assert results_of(machine, 1) == [0x1234]
    assert (machine.memory.load_u32(above), machine.memory.load_u32(0)) == (P | W | A, DATA | P | W | A | D)


def test_words_across_two_pages_come_from_both(mmu: Mmu) -> None:
    source = """
        movl    0x80300ffe, %ebx
        put     ebx
        movl    $0xaabbccdd, 0x80300ffe
        movw    $0xeeff, 0x80300fff
        exit    0
    """
    machine, tables = paged_machine(source, mmu)
    tables.map(KERNEL_SPACE + DATA, DATA + 4 * PAGE)
    tables.map(KERNEL_SPACE + DATA + PAGE, DATA)
    machine.memory.write(DATA + 4 * PAGE + 0xFFE, b"\x11\x22")
    machine.memory.write(DATA, b"\x33\x44")
    machine.run()
    assert results_of(machine, 1) == [0x44332211]
    assert machine.memory.read(DATA + 4 * PAGE + 0xFFE, 2) == b"\xdd\xff"
    assert machine.memory.read(DATA, 2) == b"\xee\xaa"


def test_code_runs_at_an_address_above_2_gib(mmu: Mmu) -> None:
    source = """
        movl    $(high + 0x80000000), %eax
        jmp     *%eax
high:   call    1f
1:      popl    %ebx
        put     ebx
        exit    0
    """
    machine, tables = paged_machine(source, mmu)
    tables.map_large(KERNEL_SPACE, 0)
    machine.run()
    assert results_of(machine, 1)[0] == KERNEL_SPACE + symbol(machine, "high") + 5


# -- accessed and dirty -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accesses", "table_bits"),
    [
        ("nop", NONE),
        (f"movl 0x{DATA:x}, %ebx", A),
        (f"movl $0, 0x{DATA:x}", A | D),
        (f"incl 0x{DATA:x}", A | D),
        (f"movl 0x{DATA:x}, %ebx\n movl %ebx, 0x{DATA:x}", A | D),
        (f"xorl %eax, %eax\n movl $1, %ecx\n cmpxchgl %ecx, 0x{DATA:x}", A | D),
        (f"movl $5, %eax\n lock cmpxchgl %ecx, 0x{DATA:x}", A | D),  # not equal: written all the same
        (f"movl $0x{DATA:x}, %esi\n movl $0x{DATA + 64:x}, %edi\n movl $4, %ecx\n rep movsl", A | D),
        (f"movl $0x{DATA + 64:x}, %esp\n pushl $1", A | D),
        (f"movl $0x{DATA:x}, %esp\n popl %eax", A),
        (f"movl $0x{DATA:x}, %esi\n movl $0, %ecx\n rep lodsl", NONE),
    ],
)
def test_accessed_and_dirty_are_set_as_the_cpu_does(accesses: str, table_bits: Entry, mmu: Mmu) -> None:
    machine, tables = paged_machine(accesses + "\n hlt", mmu)
    assert machine.run().ending is Returned.HALTED
    assert tables.bits(DATA) == (A, table_bits)
    assert tables.bits(DATA + PAGE) == (A, NONE)
    assert tables.bits(symbol(machine, "_start"))[1] == A


def test_fetching_sets_accessed(mmu: Mmu) -> None:
    machine, tables = paged_machine(f"jmp 0x{DATA:x}", mmu)
    machine.memory.write(DATA, b"\xf4")
    machine.run()
    assert tables.bits(DATA) == (A, A)


def test_reading_first_does_not_hide_the_write(mmu: Mmu) -> None:
    source = f"""
        movl    $100, %ecx
1:      movl    0x{DATA:x}, %ebx
        loop    1b
        hlt
        movl    %ebx, 0x{DATA:x}
        hlt
    """
    machine, tables = paged_machine(source, mmu)
    machine.run()
    assert tables.bits(DATA)[1] == A
    machine.run()
    assert tables.bits(DATA)[1] == A | D


@pytest.mark.parametrize(("access", "bits"), [("movl 0x80300000, %ebx", A), ("movl %ebx, 0x80300000", A | D)])
def test_a_4_mib_page_has_its_bits_in_the_directory(access: str, bits: Entry, mmu: Mmu) -> None:
    machine, tables = paged_machine(access + "\n hlt", mmu)
    tables.map_large(KERNEL_SPACE, 0)
    machine.run()
    assert Entry(machine.memory.load_u32(tables.directory_entry(KERNEL_SPACE))) & (A | D) == bits


def test_a_directory_entry_of_a_table_never_gets_dirty(mmu: Mmu) -> None:
    machine, _ = paged_machine(f"movl $1, 0x{DATA:x}\n hlt", mmu)
    machine.run()
    assert machine.memory.load_u32(DIRECTORY) & 0xFFF == P | W | U | A


def test_bits_cleared_by_the_guest_are_set_again_after_invlpg(mmu: Mmu) -> None:
    entry = 0x00201000 + (DATA >> 12) * 4
    source = f"""
        movl    $1, 0x{DATA:x}
        movl    0x{entry:x}, %ebx
        put     ebx
        andl    $~0x60, 0x{entry:x}
        invlpg  0x{DATA:x}
        movl    0x{DATA:x}, %eax
        movl    0x{entry:x}, %ebx
        put     ebx
        movl    $2, 0x{DATA:x}
        movl    0x{entry:x}, %ebx
        put     ebx
        exit    0
    """
    machine, _ = paged_machine(source, mmu)
    machine.run()
    assert [Entry(word) & (A | D) for word in results_of(machine, 3)] == [A | D, A, A | D]


# -- changing the tables ------------------------------------------------------------------------------------------

REMAP = """
        movl    0x80000000, %ebx
        put     ebx
        movl    $(0x00301000 + 3), {entry}
        {flush}
        movl    0x80000000, %ebx
        put     ebx
        exit    0
"""


@pytest.mark.parametrize(
    "flush",
    [
        "invlpg 0x80000000",
        "movl %cr3, %eax\n movl %eax, %cr3",
        "movl %cr0, %eax\n andl $0x7fffffff, %eax\n movl %eax, %cr0\n orl $0x80000000, %eax\n movl %eax, %cr0",
    ],
    ids=["invlpg", "cr3", "cr0"],
)
def test_a_new_mapping_counts_after_a_flush(flush: str, mmu: Mmu) -> None:
    entry = "0x00202000"  # of the second table
    machine, tables = paged_machine(REMAP.format(entry=entry, flush=flush), mmu)
    tables.map(KERNEL_SPACE, DATA)
    machine.memory.store_u32(DATA, 1)
    machine.memory.store_u32(DATA + PAGE, 2)
    machine.run()
    assert results_of(machine, 2) == [1, 2]


def test_an_unmapped_page_faults_after_invlpg(mmu: Mmu) -> None:
    source = """
        movl    0x80000000, %ebx
        movl    $0, 0x00202000
        invlpg  0x80000000
fault:  movl    0x80000000, %ebx
    """
    machine, tables = paged_machine(source, mmu)
    tables.map(KERNEL_SPACE, DATA)
    assert_page_fault(machine, "read of", KERNEL_SPACE, 0)


def test_switching_paging_off_again_shows_physical_memory() -> None:
    source = """
        movl    0x00300000, %ebx
        put     ebx
        movl    %cr0, %eax
        andl    $0x7fffffff, %eax
        movl    %eax, %cr0
        movl    0x00300000, %ebx
        put     ebx
        exit    0
    """
    machine, tables = paged_machine(source)
    tables.map(DATA, DATA + PAGE)
    machine.memory.store_u32(DATA, 1)
    machine.memory.store_u32(DATA + PAGE, 2)
    machine.run()
    assert results_of(machine, 2) == [2, 1]


def test_a_snapshot_taken_before_paging_brings_the_flat_memory_back(mmu: Mmu) -> None:
    source = """
        movl    0x00300000, %ebx
        put     ebx
        hlt
    """
    machine = machine_of("hlt\n" + enable_paging() + source, mmu=mmu)
    tables = identity_tables(machine)
    tables.map(DATA, DATA + PAGE)
    machine.memory.store_u32(DATA, 1)
    machine.memory.store_u32(DATA + PAGE, 2)
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        assert results_of(machine, 1) == [2]
        assert tables.bits(DATA) == (A, A)
        snapshot.reset()
        assert tables.bits(DATA) == (NONE, NONE)
        assert machine.cpu.translate(DATA) == DATA


def test_dirty_is_set_again_after_a_reset(mmu: Mmu) -> None:
    machine, tables = paged_machine(f"hlt\n movl $1, 0x{DATA:x}\n hlt", mmu)
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        assert tables.bits(DATA)[1] == A | D
        snapshot.reset()
        assert tables.bits(DATA)[1] == NONE


# -- faults -------------------------------------------------------------------------------------------------------

USER = """
        lgdt    gdt_register
        pushl   $0x23
        pushl   $user_stack
        pushl   $2
        pushl   $0x1b
        pushl   $in_ring_3
        iret
        .data
gdt_register: .word 39
        .long   gdt
        .balign 8
gdt:    .quad   0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff
        .balign 4096
        .skip   4096
user_stack:
        .text
        .balign 4096
in_ring_3:
        movl    $0x23, %eax
        movl    %eax, %ds
"""


def user_machine(source: str, pages: dict[int, Entry], mmu: Mmu) -> Machine:
    machine = machine_of(enable_paging() + USER + "fault: " + source + "\n done: jmp done", mmu=mmu)
    for_user = {symbol(machine, "in_ring_3"): P | U, symbol(machine, "user_stack") - PAGE: P | W | U}
    identity_tables(machine, for_user | pages)
    return machine


@pytest.mark.parametrize(
    ("access", "words", "code"),
    [("movl 0x300ffc, %eax", "read of", 0), ("movl %eax, 0x300ffc", "write to", 2)],
)
def test_a_page_that_is_not_present_faults(access: str, words: str, code: int, mmu: Mmu) -> None:
    machine, _ = paged_machine("fault: " + access, mmu, pages={DATA: W})
    assert_page_fault(machine, words, DATA + 0xFFC, code)


def test_a_null_pointer_with_an_offset_is_named_exactly() -> None:
    machine, _ = paged_machine("xorl %ebx, %ebx\n fault: movl 0x10(%ebx), %eax", pages={0: NONE})
    assert_page_fault(machine, "read of", 0x10, 0)


@pytest.mark.parametrize("address", [0x00400000, 0x80000004, 0xFFFFFFFC])
def test_a_missing_table_faults(address: int, mmu: Mmu) -> None:
    machine, _ = paged_machine(f"fault: movl %eax, 0x{address:x}", mmu)
    assert_page_fault(machine, "write to", address, 2)


def test_a_fetch_from_a_missing_page_faults_at_its_target(mmu: Mmu) -> None:
    machine, _ = paged_machine("movl $0x80000123, %eax\n jmp *%eax", mmu)
    words, address, code, eip = page_fault(machine)
    assert eip == 0x80000123
    if mmu == "fast":
        assert words in {"read of", "fetch from"}
        assert (address, code) == (0x80000123, 0)


def test_code_of_ring_3_that_runs_into_a_page_of_the_kernel_faults_there(mmu: Mmu) -> None:
    steps = f"""{enable_paging()}
        after   over
        xorl    %esi, %esi
        in_ring_3
        jmp     last
        .balign {PAGE}
        .skip   {PAGE} - 4
last:   incl    %esi
fault:  .byte   0x81, 0xc6, 0           # addl $0x100, %esi
closed: .byte   1, 0, 0
        .skip   {PAGE} - 3
over:   put     esi
    """
    machine = machine_of(exceptions(steps), mmu=mmu)
    tables, closed = PageTables(machine.memory), symbol(machine, "closed")
    for page in range(0, LARGE_PAGE, PAGE):
        tables.map(page, page, P | W if page == closed else P | W | U)
    machine.run(timeout_s=10)
    vector, code, eip, cs, *_, esi = results_of(machine, 8)
    assert (vector, code, eip, cs) == (14, P | U, symbol(machine, "fault"), 0x1B)
    assert esi == 1, "what comes before in the same block has been executed"


@pytest.mark.parametrize(
    ("directory", "table", "write_protect", "allowed"),
    [
        (P | W, P | W, True, True),
        (P | W, P, True, False),
        (P, P | W, True, False),
        (P, P, True, False),
        (P | W, P, False, True),
        (P, P | W, False, True),
    ],
)
def test_the_supervisor_writes_to_read_only_pages_only_without_wp(
    directory: Entry,
    table: Entry,
    write_protect: bool,
    allowed: bool,
    mmu: Mmu,
) -> None:
    machine, tables = paged_machine("fault: movl $1, 0x80000010\n hlt", mmu, write_protect=write_protect)
    tables.map(KERNEL_SPACE, DATA, table, directory_flags=directory)
    if allowed:
        assert machine.run().ending is Returned.HALTED
        assert machine.memory.load_u32(DATA + 0x10) == 1
        assert tables.bits(KERNEL_SPACE) == (A, A | D)
    else:
        assert_page_fault(machine, "write to", KERNEL_SPACE + 0x10, 3)
        assert machine.memory.load_u32(DATA + 0x10) == 0
        assert D not in tables.bits(KERNEL_SPACE)[1]


def test_reading_a_read_only_page_first_does_not_make_it_writable(mmu: Mmu) -> None:
    machine, tables = paged_machine(
        "movl 0x80000000, %eax\n movl 0x80000000, %eax\n fault: movl $1, 0x80000000", mmu
    )
    tables.map(KERNEL_SPACE, DATA, P)
    assert_page_fault(machine, "write to", KERNEL_SPACE, 3)


def test_a_dirty_read_only_page_is_not_writable(mmu: Mmu) -> None:
    machine, tables = paged_machine("movl 0x80000000, %eax\n fault: movl $1, 0x80000000", mmu)
    tables.map(KERNEL_SPACE, DATA, P | A | D)
    assert_page_fault(machine, "write to", KERNEL_SPACE, 3)


@pytest.mark.parametrize(
    ("source", "flags", "expected"),
    [
        ("movl 0x300008, %eax", P | W, ("read of", 5)),
        ("movl %eax, 0x300008", P | W, ("write to", 7)),
        ("movl %eax, 0x300008", P | U, ("write to", 7)),
        ("movl 0x300008, %eax", W | U, ("read of", 4)),
        ("movl %eax, 0x300008", W | U, ("write to", 6)),
    ],
)
def test_faults_in_ring_3_have_the_user_bit(
    source: str, flags: Entry, expected: tuple[str, int], mmu: Mmu
) -> None:
    machine = user_machine(source, {DATA: flags}, mmu)
    assert_page_fault(machine, expected[0], DATA + 8, expected[1])


def test_ring_3_uses_pages_that_are_its_own(mmu: Mmu) -> None:
    source = """
        movl    0x300008, %eax
        incl    %eax
        movl    %eax, 0x301008
        pushl   %eax
        jmp     0x302000            # not the user's
    """
    machine = user_machine(source, {DATA: P | U, DATA + PAGE: P | W | U}, mmu)
    machine.memory.store_u32(DATA + 8, 41)
    assert_page_fault(machine, "fetch from", 0x302000, 5, 0x302000)
    assert machine.memory.load_u32(DATA + PAGE + 8) == 42


def test_a_supervisor_page_touched_by_the_kernel_first_is_still_closed_to_ring_3(mmu: Mmu) -> None:
    machine = machine_of(
        enable_paging() + "movl $1, 0x300000\n" + USER + "fault: movl 0x300000, %eax", mmu=mmu
    )
    pages = {symbol(machine, "in_ring_3"): P | U, symbol(machine, "user_stack") - PAGE: P | W | U}
    identity_tables(machine, pages)
    assert_page_fault(machine, "read of", 0x300000, 5)


def test_the_cpus_own_access_to_the_gdt_from_ring_3_is_a_supervisor_access(mmu: Mmu) -> None:
    source = "movl $0x23, %eax\n movl %eax, %es\n movl %eax, %fs\n beyond: movl 0x300000, %eax"
    assert_page_fault(user_machine(source, {}, mmu), "read of", 0x300000, 5, "beyond")


def test_the_second_page_of_a_word_may_fault_and_nothing_is_written(mmu: Mmu) -> None:
    machine, tables = paged_machine("fault: movl $-1, 0x80000ffe", mmu)
    tables.map(KERNEL_SPACE, DATA)
    assert_page_fault(machine, "write to", KERNEL_SPACE + PAGE, 2)
    assert machine.memory.read(DATA + 0xFFC, 4) == bytes(4)


def test_a_fault_can_be_mended_and_the_instruction_tried_again(mmu: Mmu) -> None:
    machine, tables = paged_machine(
        "movl $5, %ecx\n fault: movl %ecx, 0x80000000\n movl 0x80000000, %ebx\n hlt", mmu
    )
    assert_page_fault(machine, "write to", KERNEL_SPACE, 2)
    tables.map(KERNEL_SPACE, DATA)
    assert machine.run().ending is Returned.HALTED
    assert machine.cpu.registers().ebx == 5


def test_a_mapping_of_physical_memory_that_is_not_there() -> None:
    machine, tables = paged_machine("fault: movl 0x80000123, %eax")
    tables.map(KERNEL_SPACE, 0xE0000000)
    machine.unanswered.expected = frozenset()
    with pytest.raises(UnmappedAccess) as caught:
        machine.run()
    assert caught.value.eip == symbol(machine, "fault")
    assert (caught.value.access, caught.value.address) == ("read", 0xE0000123)


def test_a_page_directory_outside_ram_is_an_error_and_no_crash(mmu: Mmu) -> None:
    source = (
        "movl $0xe0000000, %eax\n movl %eax, %cr3\n movl %cr0, %eax\n orl $0x80000000, %eax\n movl %eax, %cr0"
    )
    machine = machine_of(source, mmu=mmu)
    with pytest.raises(GuestStopped):
        machine.run(timeout_s=10)


@pytest.mark.parametrize("target", [0xA0000, 0xB8000, 0xC0000, 0xF0000, 0x4FFFF0])
def test_a_page_directory_at_odd_addresses_is_no_crash(target: int) -> None:
    source = f"movl $0x{target:x}, %eax\n movl %eax, %cr3\n movl %cr0, %eax\n orl $0x80000000, %eax\n movl %eax, %cr0"
    with pytest.raises(GuestStopped):
        machine_of(source).run(timeout_s=10)


def test_a_page_table_in_rom_stays_as_it_is() -> None:
    machine, tables = paged_machine(
        f"movl offset, %eax\n movl 0x{KERNEL_SPACE:x}(%eax), %ebx\n movl %ebx, 0x{KERNEL_SPACE:x}(%eax)\n exit 0\n"
        ".data\n offset: .long 0\n .text"
    )
    rom = machine.memory.read(ROM, ROM_SIZE)
    words = memoryview(rom).cast("I")
    at = next(index for index, word in enumerate(words) if word & (P | W | A) == P | W)
    machine.memory.store_u32(tables.directory_entry(KERNEL_SPACE), (ROM + 4 * at) & ~(PAGE - 1) | P | W)
    machine.memory.store_u32(symbol(machine, "offset"), at % 1024 * PAGE)
    assert machine.run(timeout_s=10).exit_value == 0
    assert machine.memory.read(ROM, ROM_SIZE) == rom


# -- translation for Python ---------------------------------------------------------------------------------------


def test_translate_follows_the_tables_and_changes_nothing(mmu: Mmu) -> None:
    machine, tables = paged_machine("hlt", mmu)
    tables.map(KERNEL_SPACE, DATA)
    tables.map_large(0xC0000000, 0x00400000)
    assert machine.cpu.translate(KERNEL_SPACE) == KERNEL_SPACE
    machine.run()
    before = machine.memory.read(DIRECTORY, 8 * PAGE)
    translate = machine.cpu.translate
    assert translate(DATA + 5) == DATA + 5
    assert translate(KERNEL_SPACE + 0xFFF) == DATA + 0xFFF
    assert translate(KERNEL_SPACE + PAGE) is None
    assert translate(0xC0000000 + LARGE_PAGE - 1) == 0x00400000 + LARGE_PAGE - 1
    assert translate(0x40000000) is None
    assert machine.memory.read(DIRECTORY, 8 * PAGE) == before


def test_functions_are_called_through_the_page_tables() -> None:
    source = """
        movl    $(high_stack), %esp
        addl    $0x80000000, %esp
        hlt
        .type   double, @function
double: movl    4(%esp), %eax
        addl    %eax, %eax
        ret
        .bss
        .skip   64
high_stack: .long 0
        .text
    """
    machine, tables = paged_machine(source)
    tables.map_large(KERNEL_SPACE, 0)
    machine.run()
    assert machine.call("double", 21) == 42
    assert machine.call(symbol(machine, "double") + KERNEL_SPACE, 4) == 8


def test_registers_of_the_mmu_are_visible(mmu: Mmu) -> None:
    machine, _ = paged_machine("hlt", mmu)
    machine.run()
    registers = machine.cpu.registers()
    assert registers.cr3 == DIRECTORY
    assert registers.cr4 & 0x10
    assert registers.cr0 & 0x80010001 == 0x80010001
