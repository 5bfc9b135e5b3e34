"""From the boot loader to a kernel with memory: what BTRON/386 makes of RAM and modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.conformance.btron.conftest import FIRMWARE
from tests.conformance.btron.subjects import KERNEL, PAGE
from tests.helpers.ports import read_port, write_port

if TYPE_CHECKING:
    from emulator.testing import Kernel
    from tests.conformance.btron.subjects import Guest

pytestmark = pytest.mark.parametrize("bare", [pytest.param("firmware", marks=FIRMWARE)], indirect=True)

MAGIC: Final = 0x2BADB002
INFO, MAP, MODULES = 0x0007_0000, 0x0007_0100, 0x0007_0400
MEMORY, WITH_MODULES, WITH_MAP = 1, 8, 64
LINE_CONTROL: Final = 0x3FB  # of COM1
RAM: Final = [(0, 0x9F000), (0x100000, 0x500000)]


class Loader:
    """A boot loader's block of information."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.flags = 0
        guest.memory.write(INFO, bytes(0x1000))

    def sizes(self, lower_kib: int, upper_kib: int) -> Loader:
        self.flags |= MEMORY
        self.guest.memory.store_words(INFO + 4, (lower_kib, upper_kib))
        return self

    def map(self, *entries: tuple[int, ...]) -> Loader:
        """Add a map of entries of base, base's high word, length, its high word, type."""
        self.flags |= WITH_MAP
        self.guest.memory.store_words(INFO + 44, (24 * len(entries), MAP))
        for index, entry in enumerate(entries):
            self.guest.memory.store_words(MAP + 24 * index, (20, *entry))
        return self

    def modules(self, *modules: tuple[int, int]) -> Loader:
        self.flags |= WITH_MODULES
        self.guest.memory.store_words(INFO + 20, (len(modules), MODULES))
        for index, module in enumerate(modules):
            self.guest.memory.store_words(MODULES + 16 * index, (*module, 0, 0))
        return self

    def boot(self) -> None:
        self.guest.memory.store_u32(INFO, self.flags)
        self.guest.call("btron_boot", MAGIC, INFO)

    def too_small(self) -> None:
        """Boot where the table of so many pages has no room: RAM is known by then."""
        with pytest.raises(AssertionError, match="btron_boot did not return"):
            self.boot()

    def ranges(self, name: str, count: str) -> list[tuple[int, ...]]:
        start = self.guest.symbols[name]
        return [self.guest.words(start + 8 * index, 2) for index in range(self.guest.get(count))]

    @property
    def ram(self) -> list[tuple[int, ...]]:
        return self.ranges("boot_ranges", "boot_range_count")

    @property
    def reserved(self) -> list[tuple[int, ...]]:
        return self.ranges("boot_reserved", "boot_reserved_count")


@pytest.fixture
def loader(bare: Guest) -> Loader:
    return Loader(bare)


def page_up(address: int) -> int:
    return -(-address // PAGE) * PAGE


def image_end(guest: Guest) -> int:
    return page_up(guest.symbols["__end"])


def test_sizes_of_memory(loader: Loader) -> None:
    loader.sizes(639, 4096).boot()
    assert loader.ram == RAM


def test_a_map_of_memory(loader: Loader) -> None:
    """Whole pages of RAM below 2 GiB that is available; the map is believed more than the sizes."""
    loader.sizes(1, 1).map(
        (0, 0, 0x9FC00, 0, 1),
        (0x9FC00, 0, 0x400, 0, 2),
        (0x100000, 0, 0x400000, 0, 1),
        (0x600001, 0, 0x1FFF, 0, 1),
        (0x700001, 0, 0xFFF, 0, 1),
        (0x800000, 1, 0x10000, 0, 1),
        (0x7FFFF000, 0, 0x2000, 0, 1),
        (0x80000000, 0, 0x2000, 0, 1),
    ).too_small()
    assert loader.ram == [*RAM, (0x601000, 0x602000), (0x7FFFF000, 0x80000000)]


def test_more_than_4_gib_of_memory_are_cut(loader: Loader) -> None:
    loader.map((0, 0, 0x9F000, 0, 1), (0x100000, 0, 0, 3, 1)).too_small()
    assert loader.ram == [RAM[0], (0x100000, 0x80000000)]


def test_16_ranges_are_kept(loader: Loader) -> None:
    more = [(0x300000 + 0x4000 * index, 0, 0x2000, 0, 1) for index in range(20)]
    loader.map((0x100000, 0, 0x200000, 0, 1), *more).boot()
    assert len(loader.ram) == 16
    assert loader.ram[15] == (0x300000 + 0x4000 * 14, 0x302000 + 0x4000 * 14)


def test_the_page_table_is_after_the_image(loader: Loader) -> None:
    guest = loader.guest
    loader.sizes(636, 4096).boot()
    table = image_end(guest)
    assert guest.get("pmem_pages") == 0x500
    assert guest.get("pmem_table") == table | KERNEL
    size = 8 * 0x500
    assert loader.reserved == [(0, 0x100000), (0x100000, table), (table, page_up(table + size))]
    assert guest.call("pmem_free_pages") == (0x500000 - page_up(table + size)) // PAGE
    assert guest.get("sys_dispatch_disabled") == 1


@pytest.mark.parametrize(
    ("modules", "moved"),
    [
        (((0x1000, 0x1001),), 0x2000),
        (((0x3000, 0x3010),), 0x4000),  # after the table, which ends there
        (((0x2FFF, 0x3010),), 0x4000),
        (((0x0, 0x1800),), 0x2000),
        (((-0x100, 0x1),), 0x1000),
        (((-0x100, 0x0),), 0),
        (((0x2000, 0x2800), (0x3800, 0x3900)), 0x4000),
        (((0x3800, 0x3900), (0x2000, 0x2800)), 0x4000),
    ],
)
def test_the_page_table_moves_up_after_modules(
    loader: Loader, modules: tuple[tuple[int, int], ...], moved: int
) -> None:
    """0x500 entries take 0x2800 bytes, so the table ends in its third page."""
    guest = loader.guest
    after_image = image_end(guest)
    placed_modules = [(after_image + start, after_image + end) for start, end in modules]
    loader.sizes(636, 4096).modules(*placed_modules).boot()
    touches = any(start < after_image + 0x2800 and after_image < end for start, end in placed_modules)
    assert guest.get("pmem_table") == KERNEL | after_image + (moved if touches else 0)
    kept = [(start & -PAGE, page_up(end)) for start, end in placed_modules]
    assert loader.reserved[3:] == kept
    for start, end in kept:
        assert [guest.page(number)[0] for number in range(start // PAGE, end // PAGE)] == [2] * (
            (end - start) // PAGE
        )


def test_the_console_is_set_up(loader: Loader, kernel: Kernel) -> None:
    write_port(kernel.machine, LINE_CONTROL, 0, KERNEL)
    loader.sizes(636, 4096).boot()
    assert read_port(kernel.machine, LINE_CONTROL, KERNEL) == 0x03


def test_modules_that_are_not_reserved_are_counted(loader: Loader, kernel: Kernel) -> None:
    """13 places are left for them."""
    loader.sizes(636, 4096).modules(*[(0x400000, 0x401000)] * 35).boot()
    assert len(loader.reserved) == 16
    assert kernel.console.endswith("boot: 22 modules too many are not reserved\n")


@pytest.mark.parametrize(("upper_kib", "large_pages"), [(3072, 1), (3076, 2), (4096, 2), (7168, 2)])
def test_what_lies_after_the_end_of_ram_is_not_mapped(
    loader: Loader, upper_kib: int, large_pages: int
) -> None:
    guest = loader.guest
    loader.sizes(636, upper_kib).boot()
    directory = guest.words(guest.symbols["page_directory"], 1024)
    present = [index for index, entry in enumerate(directory) if entry & 1]
    assert present == list(range(512, 512 + large_pages))


def test_the_page_table_may_begin_where_a_range_of_ram_does(loader: Loader) -> None:
    table = image_end(loader.guest)
    loader.map(
        (0x100000, 0, table - 0x100000, 0, 1),
        (table, 0, 0x500000 - table, 0, 1),
    ).boot()
    assert loader.guest.get("pmem_table") == table | KERNEL


def test_the_page_table_has_to_be_in_ram_as_a_whole(loader: Loader, kernel: Kernel) -> None:
    loader.sizes(636, (image_end(loader.guest) - 0x100000) // 1024).too_small()
    assert kernel.console.endswith("boot: no memory for the page table of pmem\n")


def test_a_kernel_without_a_free_page_ends_its_boot(loader: Loader, kernel: Kernel) -> None:
    loader.sizes(636, (image_end(loader.guest) + PAGE - 0x100000) // 1024).too_small()
    assert kernel.console.endswith("boot: no free page\n")


@pytest.mark.parametrize("upper_kib", [0, 64, 72])
def test_too_little_memory_ends_the_boot(loader: Loader, kernel: Kernel, upper_kib: int) -> None:
    loader.sizes(636, upper_kib).too_small()
    assert kernel.console.endswith("boot: no memory for the page table of pmem\n")


def test_a_kernel_without_boot_information_ends_its_boot(loader: Loader, kernel: Kernel) -> None:
    loader.too_small()
    assert kernel.console.endswith("boot: no memory for the page table of pmem\n")
