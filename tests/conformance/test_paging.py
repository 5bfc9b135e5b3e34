"""Spec 1.4, task 3: the contracts of LiteCore's page tables, on the model and on the firmware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from kernel_model.address_space import AddressSpace

if TYPE_CHECKING:
    from tests.conformance.conftest import Subject

ERROR = PHYS_NONE = 0xFFFFFFFF
PRESENT, RW, USER = 1, 2, 4
PAGE = 4096
MIB = 1 << 20
VIRT: Final = 0x4000_0000
WINDOW_END: Final = 0x0050_0000


@pytest.fixture
def mapped(paged: Subject) -> Subject:
    """Return the subject with a page directory."""
    assert paged.call("paging_init") == 0
    return paged


def free(subject: Subject) -> int:
    return subject.call("memmap_free_count")


def directory_of(subject: Subject) -> int:
    return subject.memory.load_u32(subject.symbols["page_directory"])


def entry_of(subject: Subject, virtual: int) -> int:
    """Return the table entry of a page, without the bits that a CPU sets; 0 without a table."""
    above = subject.memory.load_u32(directory_of(subject) + (virtual >> 22) * 4)
    if not above & PRESENT:
        return 0
    return subject.memory.load_u32((above & -PAGE) + (virtual >> 12 & 1023) * 4) & ~0x60


def directory_flags(subject: Subject, virtual: int) -> int:
    return subject.memory.load_u32(directory_of(subject) + (virtual >> 22) * 4) & 0xFFF & ~0x60


def everything(subject: Subject) -> bytes:
    """Return what a refused call must not change: all of the kernel's memory that it could."""
    return subject.memory.read(subject.symbols["page_directory"] & -PAGE, 0x4_0000)


def take_all_frames(subject: Subject, left: int = 0) -> None:
    count = free(subject) - left
    assert subject.call("alloc_frames", count) != 0xFFFFFFFF


class TestWithoutADirectory:
    def test_nothing_can_be_mapped_or_unmapped(self, paged: Subject) -> None:
        before = everything(paged)
        assert directory_of(paged) == 0
        assert paged.call("map_page", 0x40_0000, VIRT, PRESENT) == ERROR
        assert paged.call("unmap_page", VIRT) == ERROR
        assert paged.call("virt_to_phys", VIRT) == PHYS_NONE
        assert paged.call("virt_to_phys", 0x10_0000) == PHYS_NONE
        assert everything(paged) == before

    @pytest.mark.parametrize("frames", [0, 1, 2])
    def test_without_frames_for_all_of_it_nothing_is_taken(self, paged: Subject, frames: int) -> None:
        take_all_frames(paged, frames)
        assert paged.call("paging_init") == ERROR
        assert directory_of(paged) == 0
        assert free(paged) == frames

    def test_three_frames_are_enough(self, paged: Subject) -> None:
        take_all_frames(paged, 3)
        assert paged.call("paging_init") == 0
        assert free(paged) == 0

    def test_it_needs_memory(self, paged: Subject) -> None:
        paged.memory.write(paged.symbols["memmap"], bytes(20))
        assert paged.call("paging_init") == ERROR
        assert directory_of(paged) == 0


class TestIdentityMap:
    def test_it_takes_the_lowest_frames(self, paged: Subject) -> None:
        lowest = paged.call("alloc_frame")
        paged.call("free_frame", lowest)
        before = free(paged)
        assert paged.call("paging_init") == 0
        assert directory_of(paged) == lowest * PAGE
        assert free(paged) == before - 3  # the directory and two tables

    def test_it_is_made_once(self, mapped: Subject) -> None:
        before = everything(mapped)
        assert mapped.call("paging_init") == ERROR
        assert everything(mapped) == before

    def test_what_it_maps(self, mapped: Subject) -> None:
        ranges = list(AddressSpace(mapped.memory, directory_of(mapped), pse=False).ranges())
        assert [(each.start, each.end, each.physical, each.writable, each.user) for each in ranges] == [
            (PAGE, WINDOW_END, PAGE, True, False)
        ]
        assert directory_flags(mapped, 0) == directory_flags(mapped, 0x40_0000) == PRESENT | RW
        assert entry_of(mapped, PAGE) == PAGE | PRESENT | RW

    def test_a_window_above_the_kernel(self, paged: Subject) -> None:
        """Image, bitmap and heap are mapped, and what lies between them and the window is not."""
        paged.call("memmap_init", 0x40_0000, 0x48_0000)
        heap_end = paged.memory.load_u32(paged.symbols["heap_end"])
        assert paged.call("paging_init") == 0
        ranges = list(AddressSpace(paged.memory, directory_of(paged), pse=False).ranges())
        assert [(each.start, each.end) for each in ranges] == [(PAGE, heap_end), (0x40_0000, 0x48_0000)]

    def test_a_heap_that_ends_inside_a_page(self, paged: Subject) -> None:
        """Its last page is mapped whole, and belongs to the identity map."""
        paged.call("memmap_init", 0x40_0000, 0x48_0000)
        paged.call("mem_init", 0x20_0000, 0x20_1008)
        assert paged.call("paging_init") == 0
        assert entry_of(paged, 0x20_1000) == 0x20_1000 | PRESENT | RW
        assert entry_of(paged, 0x20_2000) == 0
        assert paged.call("unmap_page", 0x20_1000) == ERROR
        assert paged.call("map_page", 0x40_0000, 0x20_2000, PRESENT) == 0
        assert paged.call("unmap_page", 0x20_2000) == 0

    def test_a_bitmap_that_ends_behind_the_heap(self, paged: Subject) -> None:
        paged.call("mem_init", 0x1_2000, 0x2_2000)
        paged.call("memmap_init", 0x40_0000, 0x48_0000)
        bitmap = (paged.symbols["__end"] + 3) & ~3
        assert paged.call("paging_init") == 0
        assert entry_of(paged, bitmap & -PAGE) == (bitmap & -PAGE) | PRESENT | RW

    def test_frame_0_is_no_table(self, paged: Subject) -> None:
        """Its address is the null pointer: whoever gets it cannot tell it from none."""
        paged.call("memmap_init", 0, 0x8000)
        assert paged.call("paging_init") == ERROR
        assert free(paged) == 8
        assert paged.call("alloc_frame") == 0
        assert paged.call("paging_init") == 0
        assert directory_of(paged) == PAGE
        assert paged.call("virt_to_phys", 0) == PHYS_NONE

    @pytest.mark.parametrize("virtual", [0, 0xFFF, WINDOW_END, VIRT, 0xFFFFFFFF])
    def test_addresses_that_lead_nowhere(self, mapped: Subject, virtual: int) -> None:
        assert mapped.call("virt_to_phys", virtual) == PHYS_NONE

    @pytest.mark.parametrize(
        "virtual", [0x1000, 0xB8001, 0xFFFFF, 0x10_0000, 0x3FFFFF, 0x40_0000, WINDOW_END - 1]
    )
    def test_addresses_that_lead_to_themselves(self, mapped: Subject, virtual: int) -> None:
        assert mapped.call("virt_to_phys", virtual) == virtual


class TestMap:
    @pytest.mark.parametrize(
        "flags", [PRESENT, PRESENT | RW, PRESENT | USER, PRESENT | RW | USER], ids=["r", "rw", "ru", "rwu"]
    )
    def test_the_entry_is_address_and_flags(self, mapped: Subject, flags: int) -> None:
        assert mapped.call("map_page", 0x40_3000, VIRT + PAGE, flags) == 0
        assert entry_of(mapped, VIRT + PAGE) == 0x40_3000 | flags
        assert directory_flags(mapped, VIRT) == PRESENT | RW | flags & USER
        assert mapped.call("virt_to_phys", VIRT + PAGE + 0x123) == 0x40_3123

    def test_a_table_is_taken_for_the_first_page_of_4_mib(self, mapped: Subject) -> None:
        before = free(mapped)
        lowest = mapped.call("alloc_frame")
        mapped.call("free_frame", lowest)
        mapped.memory.write(lowest * PAGE, b"\xff" * PAGE)
        assert mapped.call("map_page", 0x40_0000, VIRT, PRESENT) == 0
        assert mapped.call("map_page", 0x40_0000, VIRT + 4 * MIB - PAGE, PRESENT) == 0
        assert free(mapped) == before - 1
        table = mapped.memory.read(lowest * PAGE, PAGE)
        assert table == b"\1\0\x40\0" + bytes(PAGE - 8) + b"\1\0\x40\0"

    @pytest.mark.parametrize("virtual", [0, WINDOW_END, 0xFFFFF000])
    def test_the_ends_of_what_can_be_mapped(self, mapped: Subject, virtual: int) -> None:
        assert mapped.call("map_page", 0xFFFFF000, virtual, PRESENT) == 0
        assert mapped.call("virt_to_phys", virtual + 0xFFE) == 0xFFFFFFFE
        assert mapped.call("unmap_page", virtual) == 0

    @pytest.mark.parametrize(
        ("physical", "virtual", "flags"),
        [
            pytest.param(0x40_0000, VIRT, 0, id="no flags"),
            pytest.param(0x40_0000, VIRT, RW | USER, id="not present"),
            pytest.param(0x40_0000, VIRT, PRESENT | 8, id="an unknown flag"),
            pytest.param(0x40_0000, VIRT, PRESENT | 0x200, id="a bit that is the kernel's"),
            pytest.param(0x40_0000, VIRT, 0x80000001, id="an address among the flags"),
            pytest.param(0x40_0001, VIRT, PRESENT, id="physical address unaligned"),
            pytest.param(0x40_0000, VIRT + 0x800, PRESENT, id="virtual address unaligned"),
            pytest.param(0x40_0000, 0x1000, PRESENT, id="the first MiB"),
            pytest.param(0x40_0000, 0x10_0000, PRESENT | RW, id="the kernel"),
            pytest.param(0x10_0000, 0x10_0000, PRESENT | RW, id="the kernel, as it is"),
            pytest.param(0x40_0000, WINDOW_END - PAGE, PRESENT, id="the window"),
        ],
    )
    def test_what_is_refused(self, mapped: Subject, physical: int, virtual: int, flags: int) -> None:
        before = everything(mapped)
        assert mapped.call("map_page", physical, virtual, flags) == ERROR
        assert everything(mapped) == before

    def test_a_page_is_mapped_once(self, mapped: Subject) -> None:
        assert mapped.call("map_page", 0x40_0000, VIRT, PRESENT) == 0
        before = everything(mapped)
        assert mapped.call("map_page", 0x40_1000, VIRT, PRESENT | RW) == ERROR
        assert everything(mapped) == before

    def test_without_a_frame_for_the_table_nothing_changes(self, mapped: Subject) -> None:
        assert mapped.call("map_page", 0x40_0000, VIRT, PRESENT) == 0
        take_all_frames(mapped)
        before = everything(mapped)
        assert mapped.call("map_page", 0x40_0000, VIRT + 4 * MIB, PRESENT) == ERROR
        assert everything(mapped) == before
        assert mapped.call("map_page", 0x40_0000, VIRT + PAGE, PRESENT) == 0, (
            "where there is a table none is needed"
        )

    def test_an_entry_that_is_not_present_is_free(self, mapped: Subject) -> None:
        """A kernel may keep a note of its own there."""
        assert mapped.call("map_page", 0x40_0000, VIRT, PRESENT) == 0
        table = mapped.memory.load_u32(directory_of(mapped) + (VIRT >> 22) * 4) & -PAGE
        mapped.memory.store_u32(table + 4, 0xABCDE000)
        assert mapped.call("virt_to_phys", VIRT + PAGE) == PHYS_NONE
        assert mapped.call("unmap_page", VIRT + PAGE) == ERROR
        before = free(mapped)
        assert mapped.call("unmap_page", VIRT) == 0
        assert free(mapped) == before, "a table with a note in it stays"
        assert mapped.call("map_page", 0x40_2000, VIRT + PAGE, PRESENT) == 0
        assert entry_of(mapped, VIRT + PAGE) == 0x40_2000 | PRESENT


class TestUnmap:
    def test_the_last_page_takes_its_table_along(self, mapped: Subject) -> None:
        before = everything(mapped), free(mapped)
        for page in (0, 5, 1023):
            assert mapped.call("map_page", 0x40_0000, VIRT + page * PAGE, PRESENT | USER) == 0
        for page in (5, 0):
            assert mapped.call("unmap_page", VIRT + page * PAGE) == 0
            assert free(mapped) == before[1] - 1
        assert mapped.call("unmap_page", VIRT + 1023 * PAGE) == 0
        assert (everything(mapped), free(mapped)) == before

    def test_the_frame_stays_with_its_owner(self, mapped: Subject) -> None:
        frame = mapped.call("alloc_frame")
        mapped.call("map_page", frame * PAGE, VIRT, PRESENT)
        assert mapped.call("unmap_page", VIRT) == 0
        assert mapped.call("free_frame", frame) == 0

    def test_users_leave_with_their_last_page(self, mapped: Subject) -> None:
        for page, flags in ((0, PRESENT | USER), (1, PRESENT | RW), (2, PRESENT | RW | USER)):
            mapped.call("map_page", 0x40_0000, VIRT + page * PAGE, flags)
        seen = [directory_flags(mapped, VIRT)]
        for page in (0, 2, 1):
            assert mapped.call("unmap_page", VIRT + page * PAGE) == 0
            seen.append(directory_flags(mapped, VIRT))
        assert seen == [PRESENT | RW | USER, PRESENT | RW | USER, PRESENT | RW, 0]

    def test_a_table_of_the_identity_map_stays(self, mapped: Subject) -> None:
        before = free(mapped), directory_flags(mapped, WINDOW_END)
        assert mapped.call("map_page", 0x40_0000, WINDOW_END, PRESENT | USER) == 0
        assert mapped.call("unmap_page", WINDOW_END) == 0
        assert (free(mapped), directory_flags(mapped, WINDOW_END)) == before

    @pytest.mark.parametrize(
        "virtual",
        [
            0,
            VIRT,
            VIRT + 4,
            VIRT + PAGE + 1,
            0x1000,
            0xFF000,
            0x10_0000,
            WINDOW_END - PAGE,
            WINDOW_END,
            0xFFFFFFFF,
        ],
    )
    def test_what_is_refused(self, mapped: Subject, virtual: int) -> None:
        mapped.call("map_page", 0x40_0000, VIRT + PAGE, PRESENT)
        before = everything(mapped)
        assert mapped.call("unmap_page", virtual) == ERROR
        assert everything(mapped) == before
