"""What LiteCore's virtual memory changes, and what it reads, no interrupt may see half done. See `test_exclusion`.

A call is made one instruction at a time, with interrupts on: nothing changes but while a lock is held, no lock is held with interrupts on,
and whoever finds the lock held waits and touches nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator.errors import BudgetUsedUp
from tests.conformance.conftest import LOCKS, PAGED_FIRMWARE
from tests.helpers.strict_call import IF, stepped_call

if TYPE_CHECKING:
    from emulator.testing import Kernel

PAGE: Final = 4096
MAPPED, BESIDE, ELSEWHERE = 0x4000_0000, 0x4000_1000, 0x8000_0000
RANGE: Final = 0xC000_0000
CALLS: Final = [
    ("paging_lock", "paging_init", ()),
    ("paging_lock", "map_page", (0x0040_0000, BESIDE, 5)),
    ("paging_lock", "map_page", (0x0040_0000, ELSEWHERE, 1)),
    ("paging_lock", "map_page", (0x0040_0000, MAPPED, 1)),
    ("paging_lock", "unmap_page", (MAPPED,)),
    ("paging_lock", "unmap_page", (BESIDE,)),
    ("paging_lock", "unmap_page", (0x0010_0000,)),
    ("paging_lock", "virt_to_phys", (MAPPED,)),
    ("paging_lock", "virt_to_phys", (ELSEWHERE,)),
    ("vspace_lock", "vspace_alloc", (2,)),
    ("vspace_lock", "vspace_alloc", (0xFFFF_FFFF,)),
    ("vspace_lock", "vspace_free", (RANGE,)),
    ("vspace_lock", "vspace_free", (4,)),
    ("vspace_lock", "vmalloc", (1,)),
    ("vspace_lock", "vmalloc", (0xFFFF_FFFF,)),
    ("vspace_lock", "vfree", (RANGE + PAGE,)),
]
VARIABLES: Final = (
    *("page_directory", "vspace_start", "vspace_end", "vspace_ranges"),
    *("memmap", "heap_start", "heap_end", "heap_free_list", "heap_error_count"),
)


@pytest.fixture
def paged(kernel: Kernel) -> Kernel:
    """Return LiteCore with a page directory, a page mapped by hand, a range, and one of vmalloc, of which nothing is mapped any more."""
    machine = kernel.machine
    machine.call("memory_init")
    assert machine.call("paging_init") == 0
    assert machine.call("map_page", 0x0030_0000, MAPPED, 1) == 0
    assert machine.call("vspace_alloc", 1) == RANGE
    assert machine.call("vmalloc", 1) == RANGE + PAGE
    assert machine.call("unmap_page", RANGE + PAGE) == 0
    return kernel


def state(kernel: Kernel) -> list[bytes]:
    """Return the variables, the bitmap, the first blocks of the heap, and the frames that directory and tables have, or will."""
    symbols, memory = kernel.machine.image.symbols, kernel.machine.memory
    words = [memory.read(symbols[name].address, symbols[name].size) for name in VARIABLES]
    heap = memory.load_u32(symbols["heap_start"].address)
    tables = memory.load_u32(symbols["page_directory"].address)
    return [
        *words,
        memory.read(symbols["__end"].address, 132),
        memory.read(heap, 128),
        memory.read(tables, 6 * PAGE),
    ]


@PAGED_FIRMWARE
@pytest.mark.parametrize(("lock", "function", "arguments"), CALLS)
class TestPaging:
    def test_changes_only_under_a_lock_and_with_interrupts_off(
        self, paged: Kernel, lock: str, function: str, arguments: tuple[int, ...]
    ) -> None:
        memory = paged.machine.memory
        locks = {name: paged.symbol(name) for name in LOCKS}
        now, held, held_long = state(paged), False, 0
        for registers in stepped_call(paged.machine, function, *arguments):
            before, now = now, state(paged)
            assert now == before or held, f"at {registers.eip:#x}"
            values = {name: memory.load_u32(address) for name, address in locks.items()}
            assert set(values.values()) <= {0, 1}
            held = any(values.values())
            held_long += values[lock]
            assert not (held and registers.eflags & IF), f"at {registers.eip:#x}"
        assert held_long >= 2  # instructions that read what the lock protects
        assert not held
        assert registers.eflags & IF

    def test_waits_for_the_lock_and_touches_nothing(
        self, paged: Kernel, lock: str, function: str, arguments: tuple[int, ...]
    ) -> None:
        memory = paged.machine.memory
        memory.store_u32(paged.symbol(lock), 1)
        before = state(paged)
        with pytest.raises(BudgetUsedUp):
            paged.machine.call(function, *arguments, max_instructions=50_000)
        assert memory.load_u32(paged.symbol(lock)) == 1
        assert state(paged) == before
