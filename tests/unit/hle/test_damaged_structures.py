"""What models do on structures that cannot be: what the C code does, or they say which word they do not go on with."""

from __future__ import annotations

import pytest

from emulator import Machine, Mode, attach_layers, boot
from emulator.errors import ModelStopped
from tests.helpers.guest import symbol

KERNEL = 0x80000000
PACKET, OUT = 0x60000, 0x60100


def litecore(mode: Mode, field: int, value: int) -> Machine:
    machine = boot("firmware:demo")
    machine.run(timeout_s=20)
    machine.call("memory_init")
    attach_layers(machine, {"memmap": mode, "heap": mode})
    machine.memory.store_u32(symbol(machine, "memmap") + field, value)
    return machine


def btron(mode: Mode, name: str, offset: int, value: int) -> tuple[Machine, int, int]:
    """Return a machine with pools, and a block of mpl 1 and one of mpf 2."""
    machine = boot("firmware:btron_demo")
    machine.run(timeout_s=20)
    attach_layers(machine, dict.fromkeys(("pmem", "kmem", "pools"), mode))
    machine.memory.store_words(PACKET, (7, 0, 200))
    assert machine.call("mpl_create", 1, KERNEL + PACKET) == 0
    machine.memory.store_words(PACKET, (7, 1, 5, 20))
    assert machine.call("mpf_create", 2, KERNEL + PACKET) == 0
    machine.call("mpl_get", KERNEL + OUT, 1, 20, 0)
    machine.call("mpf_get", KERNEL + OUT + 4, 2, 0)
    machine.memory.store_u32(symbol(machine, name) - KERNEL + offset, value)
    return machine, machine.memory.load_u32(OUT), machine.memory.load_u32(OUT + 4)


BOTH = pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
ALL = pytest.mark.parametrize("mode", Mode)


@ALL
@pytest.mark.parametrize("call", [("alloc_frame",), ("alloc_frames", 3)])
def test_frame_numbers_wrap(mode: Mode, call: tuple[str, int]) -> None:
    machine = litecore(mode, 8, 0xFFFFFFFF)
    assert machine.call(*call) == 0x1B


@ALL
def test_frames_are_given_back_over_the_wrap(mode: Mode) -> None:
    machine = litecore(mode, 8, 0xFFFFFFF0)
    frame = machine.call("alloc_frame")
    assert frame < 0x100
    assert machine.call("free_frame", frame) == 0
    assert machine.call("free_frame", frame) == 0xFFFFFFFF


@ALL
def test_a_window_that_wraps_holds_nothing_to_reserve(mode: Mode) -> None:
    machine = litecore(mode, 12, 0xFFFFFFFF)
    bitmap = machine.memory.load_u32(symbol(machine, "memmap") + 16)
    before = machine.memory.read(bitmap, 0x200)
    machine.call("memmap_reserve", 0x277000, 0x43D000)
    assert machine.memory.read(bitmap, 0x200) == before


@BOTH
def test_a_bitmap_without_memory_is_refused_by_name(mode: Mode) -> None:
    machine = litecore(mode, 12, 0xFFFFFFFF)
    struct, bitmap = symbol(machine, "memmap"), machine.memory.load_u32(symbol(machine, "memmap") + 16)
    text = (
        f"model of memmap_free_count(), called from 0x0009fd00: 0x{struct + 16:08x} memmap.bitmap = 0x{bitmap:08x}: "
        "there is no memory for the bitmap of max_frames = 0xffffffff"
    )
    with pytest.raises(ModelStopped) as caught:
        machine.call("memmap_free_count")
    assert str(caught.value) == text


@ALL
def test_a_count_of_free_blocks_wraps(mode: Mode) -> None:
    machine, _, block = btron(mode, "mpf_table", 80 + 36, 0xFFFFFFFF)
    assert machine.call("mpf_release", 2, block) == 0
    assert machine.memory.load_u32(symbol(machine, "mpf_table") - KERNEL + 80 + 36) == 0


@ALL
def test_an_area_that_is_not_aligned_holds_no_block(mode: Mode) -> None:
    machine, block, _ = btron(mode, "mpl_table", 32 + 12, 0x80142B81)
    assert machine.call("mpl_release", 1, block) == 0xFFFFFFDF


@ALL
def test_a_size_of_blocks_wraps(mode: Mode) -> None:
    machine, _, block = btron(mode, "mpf_table", 80 + 12, 0xFFFFFFFF)
    assert machine.call("mpf_release", 2, block) == 0


REFUSED = {
    "a size that makes C divide by 0": (
        ("mpf_table", 80 + 12, 0xFFFFFFF8),
        ("mpf_get", KERNEL + OUT, 2, 0),
        "mpf_table[2].block_size = 0xfffffff8: blocks have no such size",
    ),
    "more ranges than there are": (
        ("boot_range_count", 0, 0x100),
        ("pmem_init",),
        "boot_range_count = 0x00000100: there are 16 ranges at most",
    ),
    "more extents than there are": (
        ("kmem_extent_count", 0, 65),
        ("kmem_alloc", 8),
        "kmem_extent_count = 0x00000041: there are 64 extents at most",
    ),
    "an extent outside of kernel space": (
        ("kmem_extents", 4, 0xFFFFFFF8),
        ("kmem_alloc", 8),
        "kmem_extents[0].size = 0xfffffff8: such an extent is not in kernel space",
    ),
    "the same, to give back more than a size can be after rounding": (
        ("kmem_extents", 4, 0xFFFFFFF8),
        ("kmem_free", 0x8013A000, 0x7FFFFFFF),
        "kmem_extents[0].size = 0xfffffff8: such an extent is not in kernel space",
    ),
    "a page table without memory": (
        ("pmem_table", 0, 0x7FFFFFFF),
        ("pmem_free_pages",),
        "pmem_table = 0x7fffffff: there is no memory for the entries of pages 0x0 to 0x500",
    ),
    "an area outside of kernel space": (
        ("mpl_table", 32 + 12, 0x1000),
        ("mpl_get", KERNEL + OUT, 1, 8, 0),
        "mpl_table[1].area = 0x00001000: such an area is not in kernel space",
    ),
}


@BOTH
@pytest.mark.parametrize(("damage", "call", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_by_name(
    mode: Mode, damage: tuple[str, int, int], call: tuple[str, int], text: str
) -> None:
    machine, _, _ = btron(mode, *damage)
    location = symbol(machine, damage[0]) - KERNEL + damage[1]
    with pytest.raises(ModelStopped) as caught:
        machine.call(*call)
    assert caught.value.problem == f"0x{location:08x} {text}"
