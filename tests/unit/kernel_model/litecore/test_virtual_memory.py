"""LiteCore's virtual memory from outside: calls, locations, damage and audits. What the calls do is in the conformance suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel_model.audit import BrokenStructure
from kernel_model.litecore.abi import LiteCore
from kernel_model.litecore.boot import BootSettings
from kernel_model.memory import ByteMemory
from kernel_model.text import defect_text, location_text
from tests.unit.kernel_model.litecore.test_abi import SYMBOLS as OLDER

if TYPE_CHECKING:
    from kernel_model.memory import Memory

NAMES = (
    *("page_directory", "paging_lock"),
    *("vspace_start", "vspace_end", "vspace_ranges", "vspace_error_count", "vspace_lock"),
)
SYMBOLS = OLDER | {name: 0x100100 + 4 * index for index, name in enumerate(NAMES)}
SIZE = 0x500000
DIRECTORY = 0x111000  # the first frame after the heap; the first table is the next one
VSPACE = 0xC0000000
PAGING_CALLS = {"paging_init", "map_page", "unmap_page", "virt_to_phys"}
VSPACE_CALLS = {"vspace_alloc", "vspace_free", "vmalloc", "vfree"}


class ForgetfulCpu:
    """Notes what it is told to forget."""

    def __init__(self) -> None:
        self.forgotten: list[int] = []

    def page_directory(self) -> int:
        return DIRECTORY

    def forget_translation(self, linear: int) -> None:
        self.forgotten.append(linear)

    def forget_translations(self) -> None:
        raise AssertionError("LiteCore forgets one page at a time")


@pytest.fixture
def memory() -> Memory:
    return ByteMemory(0, SIZE)


@pytest.fixture
def cpu() -> ForgetfulCpu:
    return ForgetfulCpu()


@pytest.fixture
def litecore(memory: Memory, cpu: ForgetfulCpu) -> LiteCore:
    """Return LiteCore with a page directory and two ranges: two pages of vmalloc, and three without memory."""
    litecore = LiteCore(memory, SYMBOLS, print, cpu)
    litecore.memory_init(BootSettings())
    memory.store_words(SYMBOLS["vspace_start"], (VSPACE, 0xE0000000))
    assert call(litecore, "paging_init") == 0
    assert call(litecore, "vmalloc", 8192) == VSPACE
    assert call(litecore, "vspace_alloc", 3) == VSPACE + 0x2000
    return litecore


def call(litecore: LiteCore, name: str, *arguments: int) -> int:
    function = litecore.functions[name]
    assert len(arguments) == function.argument_count
    return function.call(*arguments)


def locks(memory: Memory) -> list[int]:
    names = ("memmap_lock", "heap_lock", "paging_lock", "vspace_lock")
    return [memory.load_u32(SYMBOLS[name]) for name in names]


class TestCalls:
    def test_each_belongs_to_its_layer(self, litecore: LiteCore) -> None:
        layers = {name: each.layer for name, each in litecore.functions.items()}
        assert {name for name, layer in layers.items() if layer == "paging"} == PAGING_CALLS
        assert {name for name, layer in layers.items() if layer == "vspace"} == VSPACE_CALLS
        assert all(function.replaces for function in litecore.functions.values())

    @pytest.mark.parametrize(
        ("missing", "calls"),
        [("page_directory", set()), ("vspace_lock", PAGING_CALLS), ("vspace_end", PAGING_CALLS)],
    )
    def test_a_kernel_may_lack_them(self, memory: Memory, missing: str, calls: set[str]) -> None:
        symbols = {name: address for name, address in SYMBOLS.items() if name != missing}
        litecore = LiteCore(memory, symbols, print)
        assert litecore.vspace is None
        assert (litecore.paging is None) == (missing == "page_directory")
        assert litecore.functions.keys() & (PAGING_CALLS | VSPACE_CALLS) == calls
        assert litecore.locate(DIRECTORY) is None

    def test_signatures_agree_with_name_and_argument_count(self, litecore: LiteCore) -> None:
        for name in PAGING_CALLS | VSPACE_CALLS:
            head, _, parameters = litecore.functions[name].signature.partition("(")
            count = 0 if parameters == "void)" else parameters.count(",") + 1
            assert (head.split()[-1].lstrip("*"), count) == (name, litecore.functions[name].argument_count)


def test_the_cpu_forgets_what_was_unmapped_and_nothing_else(litecore: LiteCore, cpu: ForgetfulCpu) -> None:
    assert cpu.forgotten == []
    call(litecore, "map_page", 0x300000, 0x40000000, 1)
    call(litecore, "unmap_page", 0x40001000)
    assert cpu.forgotten == []
    call(litecore, "unmap_page", 0x40000000)
    call(litecore, "vfree", VSPACE)
    assert cpu.forgotten == [0x40000000, VSPACE, VSPACE + 0x1000]


class TestReaders:
    def test_tables(self, litecore: LiteCore) -> None:
        assert litecore.paging is not None
        assert litecore.paging.directory() == DIRECTORY
        assert list(litecore.paging.tables()) == [(0, 0x112000), (1, 0x113000), (768, 0x115000)]

    def test_before_there_is_a_directory(self, memory: Memory) -> None:
        paging = LiteCore(memory, SYMBOLS, print).paging
        assert paging is not None
        assert (paging.directory(), list(paging.tables())) == (0, [])

    def test_ranges(self, litecore: LiteCore) -> None:
        assert litecore.vspace is not None
        first, second = litecore.vspace.ranges()
        assert (first.start, first.end, first.pages, first.owner) == (VSPACE, VSPACE + 0x2000, 2, 1)
        assert (second.start, second.end, second.pages, second.owner) == (
            VSPACE + 0x2000,
            VSPACE + 0x5000,
            3,
            0,
        )
        assert litecore.vspace.bounds() == (VSPACE, 0xE0000000)

    def test_ranges_end_at_a_record_that_cannot_be_one(self, litecore: LiteCore, memory: Memory) -> None:
        assert litecore.vspace is not None
        _, second = litecore.vspace.ranges()
        memory.store_u32(second.record, VSPACE)
        assert [each.start for each in litecore.vspace.ranges()] == [VSPACE]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (SYMBOLS["page_directory"] + 1, "page_directory"),
        (SYMBOLS["vspace_ranges"], "vspace_ranges"),
        (DIRECTORY + 3, "page directory entry of 0x00000000"),
        (DIRECTORY + 4 * 768, "page directory entry of 0xc0000000"),
        (0x113FFF, "page table entry of 0x007ff000"),
        (0x115000 + 5, "page table entry of 0xc0001000"),
        (0x101008, "vspace_range 0x00101008.start"),
        (0x101023, "vspace_range 0x00101020.start"),
        (0x10102C, "vspace_range 0x00101020.next"),
        (0x101018, "heap block 0x00101018 .size"),
        (0x116000, None),
    ],
)
def test_an_address_has_a_location(litecore: LiteCore, address: int, text: str | None) -> None:
    location = litecore.locate(address)
    assert (location and location_text(location)) == text


class TestDamage:
    """A word with which C could not go on either is named; what was taken is given back, and no lock stays held."""

    def broken(self, litecore: LiteCore, memory: Memory, name: str, *arguments: int) -> str:
        assert litecore.vspace is not None
        before = memory.read(0, SIZE)
        with pytest.raises(BrokenStructure) as caught:
            call(litecore, name, *arguments)
        after = memory.read(0, SIZE)
        changed = {at & -16 for at in range(0x100000, 0x101000) if before[at] != after[at]}
        assert changed == set(), "neither bitmap nor variable"
        assert locks(memory) == [0, 0, 0, 0]
        return str(caught.value)

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("map_page", (0x300000, 0x40000000, 1)),
            ("unmap_page", (0x40000000,)),
            ("virt_to_phys", (0x40000000,)),
            ("vmalloc", (4096,)),
        ],
    )
    def test_a_directory_outside_memory(
        self, litecore: LiteCore, memory: Memory, name: str, arguments: tuple[int, ...]
    ) -> None:
        memory.store_u32(SYMBOLS["page_directory"], 0xFFFFF000)
        assert self.broken(litecore, memory, name, *arguments) == (
            "0x00100100 page_directory = 0xfffff000: there is no memory for a page directory"
        )

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("map_page", (0x300000, VSPACE + 0x5000, 1)),
            ("unmap_page", (VSPACE + 0x5000,)),
            ("virt_to_phys", (VSPACE,)),
            ("vmalloc", (4096,)),
        ],
    )
    def test_a_table_outside_memory(
        self, litecore: LiteCore, memory: Memory, name: str, arguments: tuple[int, ...]
    ) -> None:
        memory.store_u32(DIRECTORY + 4 * 768, 0x80000003)
        assert self.broken(litecore, memory, name, *arguments) == (
            "0x00111c00 page directory entry of 0xc0000000 = 0x80000003: there is no memory for a page table"
        )

    @pytest.mark.parametrize("name", ["vspace_alloc", "vspace_free", "vmalloc", "vfree"])
    def test_a_record_outside_memory(self, litecore: LiteCore, memory: Memory, name: str) -> None:
        memory.store_u32(SYMBOLS["vspace_ranges"], 0xFFFFFFF0)
        assert self.broken(litecore, memory, name, 0x2000) == (
            "0x00100110 vspace_ranges = 0xfffffff0: there is no memory for the record of a range"
        )

    def test_a_link_that_leads_out_of_memory(self, litecore: LiteCore, memory: Memory) -> None:
        memory.store_u32(0x10102C, SIZE - 8)
        assert self.broken(litecore, memory, "vspace_alloc", 3) == (
            "0x0010102c vspace_range 0x00101020.next = 0x004ffff8: there is no memory for the record of a range"
        )

    def test_a_window_beyond_memory(self, litecore: LiteCore, memory: Memory) -> None:
        call(litecore, "memmap_init", SIZE, SIZE + 0x10000)
        text = f"0x{SYMBOLS['memmap'] + 4:08x} memmap.end_addr = 0x00510000: there is no memory for frame 0x00000500 of the window"
        assert self.broken(litecore, memory, "map_page", 0x300000, 0x40000000, 1) == text
        memory.store_u32(SYMBOLS["page_directory"], 0)
        assert self.broken(litecore, memory, "paging_init") == text


def found(litecore: LiteCore) -> list[tuple[str, str, str]]:
    audits = litecore.audits(SIZE)
    assert [audit.structure for audit in audits] == ["heap", "memmap", "locks", "vspace"]
    defects = [(audit, defect) for audit in audits for defect in audit.defects()]
    assert all(defect.area in audit.areas for audit, defect in defects)
    return [(audit.structure, defect.area, defect_text(defect)) for audit, defect in defects]


class TestAudits:
    def test_valid_structures_have_no_defects(self, litecore: LiteCore) -> None:
        assert found(litecore) == []

    @pytest.mark.parametrize(("lock", "area"), [("paging_lock", "frames"), ("vspace_lock", "vspace")])
    def test_locks(self, litecore: LiteCore, memory: Memory, lock: str, area: str) -> None:
        memory.store_u32(SYMBOLS[lock], 1)
        assert litecore.any_lock_held()
        assert found(litecore) == []
        memory.store_u32(SYMBOLS[lock], 5)
        ((structure, whose, text),) = found(litecore)
        assert (structure, whose) == ("locks", area)
        assert text.startswith(f"0x{SYMBOLS[lock]:08x} {lock} = 0x00000005: ")

    @pytest.mark.parametrize(
        ("address", "value", "area", "text"),
        [
            (
                *(0x101008, VSPACE - 4096, "vmalloc"),
                "vspace_range 0x00101008.start = 0xbffff000: not on a page boundary at or above 0xc0000000, where the range before it ends",
            ),
            (
                *(0x101020, VSPACE + 0x1000, "vspace"),
                "vspace_range 0x00101020.start = 0xc0001000: not on a page boundary at or above 0xc0002000, where the range before it ends",
            ),
            (
                *(0x101020, VSPACE + 0x2004, "vspace"),
                "vspace_range 0x00101020.start = 0xc0002004: not on a page boundary at or above 0xc0002000, where the range before it ends",
            ),
            (
                *(0x101024, 0, "vspace"),
                "vspace_range 0x00101020.pages = 0x00000000: not 1 to 0x1fffe, the pages up to vspace_end",
            ),
            (
                *(0x101024, 0x1FFFF, "vspace"),
                "vspace_range 0x00101020.pages = 0x0001ffff: not 1 to 0x1fffe, the pages up to vspace_end",
            ),
            (
                *(0x101028, 3, "vspace"),
                "vspace_range 0x00101020.owner = 0x00000003: neither vspace_alloc (0) nor vmalloc (1, or 2 while vfree is at work)",
            ),
            (
                *(0x10102C, 0xFFFFFFF0, "vspace"),
                "vspace_range 0x00101020.next = 0xfffffff0: there is no memory for the record of a range",
            ),
        ],
    )
    def test_records(
        self, litecore: LiteCore, memory: Memory, address: int, value: int, area: str, text: str
    ) -> None:
        memory.store_u32(address, value)
        assert found(litecore) == [("vspace", area, f"0x{address:08x} {text}")]
