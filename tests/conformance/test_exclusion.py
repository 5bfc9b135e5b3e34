"""What the C kernels change, and what they read, no interrupt and no other CPU may see half done.

A call is made one instruction at a time, with interrupts on. Models are one step, so only the firmware is tested.
"""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING, Final

import pytest

from emulator.errors import BudgetUsedUp
from kernel_model.structs import SPACE_BYTES
from tests.conformance.btron.conftest import FIRMWARE as BTRON
from tests.conformance.btron.subjects import PAGE, SCRATCH, SIZES, FirmwareSubject, Guest
from tests.conformance.conftest import FIRMWARE as LITECORE
from tests.helpers.strict_call import IF, stepped_call, strict_call

if TYPE_CHECKING:
    from emulator.testing import Kernel

HEAP, FRAMES = "heap_lock", "memmap_lock"
START, END = 0x0020_0000, 0x0020_1000
FREED, LIVE = START + 8, START + 40  # bodies of the first two blocks
FRAME = 0x300
LITECORE_CALLS: Final = [
    (HEAP, "mem_init", (START, END)),
    (HEAP, "kmalloc", (24,)),
    (HEAP, "kmalloc", (5000,)),
    (HEAP, "kfree", (LIVE,)),
    (HEAP, "kfree", (FREED,)),
    (HEAP, "mem_has_space", (0, 24)),
    (FRAMES, "mem_has_space", (1, 4096)),
    (FRAMES, "memmap_has_run", (3,)),
    (FRAMES, "memmap_init", (0x0010_0000, 0x0013_0000)),
    (FRAMES, "memmap_reserve", (0x0030_4000, 0x0030_6000)),
    (FRAMES, "memmap_free_count", ()),
    (FRAMES, "alloc_frame", ()),
    (FRAMES, "alloc_frames", (3,)),
    (FRAMES, "alloc_frames", (5000,)),
    (FRAMES, "free_frame", (FRAME,)),
    (FRAMES, "free_frame", (FRAME + 9,)),
    (FRAMES, "free_frames", (FRAME, 2)),
]
LITECORE_STRUCTURES: Final = ("heap_start", "heap_end", "heap_free_list", "heap_error_count", "memmap")


@pytest.fixture
def litecore(kernel: Kernel) -> Kernel:
    """Return LiteCore with a small heap, two blocks and two frames in use."""
    machine = kernel.machine
    machine.call("memory_init")
    machine.call("memmap_init", 0x0010_0000, 0x0032_0000)
    machine.call("memmap_reserve", FRAME << 12, FRAME + 2 << 12)
    machine.call("mem_init", START, END)
    assert [machine.call("kmalloc", 24) for _ in range(3)][:2] == [FREED, LIVE]
    machine.call("kfree", FREED)
    return kernel


def litecore_state(kernel: Kernel) -> list[bytes]:
    symbols, memory = kernel.machine.image.symbols, kernel.machine.memory
    words = [memory.read(symbols[name].address, symbols[name].size) for name in LITECORE_STRUCTURES]
    return [*words, memory.read(symbols["__end"].address, 80), memory.read(START, 160)]


@LITECORE
@pytest.mark.parametrize(("lock", "function", "arguments"), LITECORE_CALLS)
class TestLiteCore:
    def test_changes_only_under_the_lock_and_with_interrupts_off(
        self, litecore: Kernel, lock: str, function: str, arguments: tuple[int, ...]
    ) -> None:
        memory = litecore.machine.memory
        locks = {name: litecore.symbol(name) for name in (HEAP, FRAMES)}
        other = next(name for name in locks if name != lock)
        state, held = litecore_state(litecore), [0]
        for registers in stepped_call(litecore.machine, function, *arguments):
            before, state = state, litecore_state(litecore)
            assert state == before or held[-1] == 1, f"at {registers.eip:#x}"
            assert memory.load_u32(locks[other]) == 0
            held.append(memory.load_u32(locks[lock]))
            assert held[-1] in {0, 1}
            assert not (held[-1] and registers.eflags & IF), f"at {registers.eip:#x}"
        assert sum(held) >= 10  # instructions that read what the lock protects
        assert held[-1] == 0
        assert registers.eflags & IF

    def test_waits_for_the_lock_and_touches_nothing(
        self, litecore: Kernel, lock: str, function: str, arguments: tuple[int, ...]
    ) -> None:
        litecore.machine.memory.store_u32(litecore.symbol(lock), 1)
        before = litecore_state(litecore)
        with pytest.raises(BudgetUsedUp):
            litecore.machine.call(function, *arguments, max_instructions=20_000)
        assert litecore.machine.memory.load_u32(litecore.symbol(lock)) == 1
        assert litecore_state(litecore) == before


POOL = 3
PAGES: Final = range(0x60, 0x78)
LOWEST: Final = 0x8006_0000
USER: Final = 0x0040_0000
E_OBJ: Final = -63 & 0xFFFF_FFFF
BTRON_CALLS: Final = [
    ("pmem_init", ()),
    ("pmem_alloc", (4096,)),
    ("pmem_alloc", (0x0100_0000,)),
    ("pmem_free", (LOWEST, 4096)),
    ("pmem_free", (LOWEST, 0x0100_0000)),
    ("pmem_share", (LOWEST, 4096)),
    ("pmem_free_pages", ()),
    ("kmem_init", ()),
    ("kmem_alloc", (24,)),
    ("kmem_free", (LOWEST + 40960 - 72, 72)),
    ("kmem_free", (LOWEST, 8)),
    ("cre_mpl", (POOL + 1, SCRATCH)),
    ("del_mpl", (POOL,)),
    ("get_blk", (SCRATCH, POOL, 8)),
    ("pget_blk", (SCRATCH, POOL, 8)),
    ("tget_blk", (SCRATCH, POOL, 8, 5)),
    ("rel_blk", (POOL, 4)),
    ("ref_mpl", (SCRATCH, POOL)),
    ("cre_mpf", (POOL + 1, SCRATCH)),
    ("del_mpf", (POOL,)),
    ("get_blf", (SCRATCH, POOL)),
    ("pget_blf", (SCRATCH, POOL)),
    ("tget_blf", (SCRATCH, POOL, 5)),
    ("rel_blf", (POOL, 4)),
    ("ref_mpf", (SCRATCH, POOL)),
    ("cre_tsk", (4, SCRATCH)),
    ("del_tsk", (2,)),
    ("sta_tsk", (2, 7)),
    ("ter_tsk", (3,)),
    ("wup_tsk", (3,)),
    ("rel_wai", (3,)),
    ("dis_dsp", ()),
    ("ena_dsp", ()),
    ("space_create", (3,)),
    ("space_clear", (2,)),
    ("space_delete", (2,)),
    ("space_check", (2, USER, 4096, 3)),
    ("space_entry", (2, USER)),
    ("region_grow", (2, USER + 4096)),
    ("vcre_reg", (2, 0x7000_0000, 1, 1, 3, 0)),
    ("vdel_reg", (2, USER)),
    ("vmap_reg", (2, USER + 4096, 8192, 3)),
    ("vmap_reg", (2, USER + 4096, 0x1_0000, 3)),  # more than there is
    ("vunm_reg", (2, USER, 4096)),
    ("vshr_reg", (2, 5, USER)),
    ("vprt_reg", (2, USER, 1)),
    ("vget_reg", (2, USER, 16, SCRATCH)),
    ("vput_reg", (2, USER, 16, SCRATCH)),
    ("vsts_reg", (2, USER, SCRATCH)),
    ("region_map_shared", (2, USER + 4096, LOWEST, 4096, 3)),
]


@pytest.fixture
def btron(kernel: Kernel) -> Guest:
    """Return BTRON/386 with 24 low pages, a pool of each kind, and tasks: one runs, two are dormant, one is ready.

    The first dormant one has a region, in which a page is mapped.
    """
    guest = Guest(FirmwareSubject(kernel.machine))
    guest.set("pmem_pages", PAGES.stop)
    guest.boot_map([(PAGE * PAGES.start, PAGE * PAGES.stop)], [(0, PAGE)])
    assert guest.er("pmem_init") == 0
    assert guest.er("mpl_create", POOL, guest.packet(0, 0, 64)) == 0
    assert guest.er("mpf_create", POOL, guest.packet(0, 0, 2, 24)) == 0
    guest.add_task(1)
    guest.run(1)
    assert guest.er("cre_tsk", 2, guest.packet(0, 1, 0x8010_2030, 10, 4096)) == 0
    assert guest.er("cre_tsk", 5, SCRATCH) == 0
    assert guest.er("vcre_reg", 2, USER, 4096, 0x2_0000, 0x2_0003, 0) == 0
    assert guest.er("vmap_reg", 2, USER, 4096, 3) == 0
    guest.add_task(3)
    guest.packet(0, 1, 0x8010_2030, 10, 4096)
    return guest


def btron_state(guest: Guest) -> list[bytes]:
    """Return the kernel's variables, its page table, and all pages that it hands out."""
    names = [guest.memory.read(guest.symbols[name], size) for name, size in SIZES.items()]
    return [*names, guest.pages(), guest.memory.read(PAGE * PAGES.start, PAGE * len(PAGES))]


@BTRON
@pytest.mark.parametrize(("function", "arguments"), BTRON_CALLS)
def test_btron_changes_only_with_interrupts_off(
    btron: Guest, kernel: Kernel, function: str, arguments: tuple[int, ...]
) -> None:
    state, off = btron_state(btron), [False]
    for registers in stepped_call(kernel.machine, function, *arguments):
        before, state = state, btron_state(btron)
        assert state == before or off[-1], f"at {registers.eip:#x}"
        off.append(not registers.eflags & IF)
    assert sum(off) >= 3  # instructions, at least
    assert not off[-1]


@BTRON
@pytest.mark.parametrize(("function", "arguments"), BTRON_CALLS)
def test_btron_leaves_interrupts_off_where_they_were(
    btron: Guest, kernel: Kernel, function: str, arguments: tuple[int, ...]
) -> None:
    assert btron.get("sys_dispatch_disabled") == 0
    strict_call(kernel.machine, function, *arguments, interrupts=False)


@BTRON
def test_a_space_that_another_task_makes_first_is_seen(btron: Guest, kernel: Kernel) -> None:
    """Up to the moment at which interrupts go off, it may be made."""
    start = kernel.machine.snapshot()
    directory = btron.symbols["space_table"] + 3 * SPACE_BYTES
    for instructions in count(1):
        start.reset()
        call = stepped_call(kernel.machine, "space_create", 3)
        registers = list(islice(call, instructions))[-1]
        if not registers.eflags & IF:
            break
        btron.memory.store_u32(directory, 0x0007_7000)
        assert list(call)[-1].eax == E_OBJ
        assert btron.memory.load_u32(directory) == 0x0007_7000
    assert instructions > 3
