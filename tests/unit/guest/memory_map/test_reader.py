from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.guest.memory_map import litecore_reader as module
from emulator.guest.memory_map.reader import read_memory_map
from emulator.guest.memory_map.regions import Region, RegionKind
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from kernel_model.text import defect_text
from tests.unit.loader import elf_builder as eb

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.guest.memory_map.memory_map import MemoryMap


@pytest.fixture(scope="module")
def booted() -> Machine:
    machine = boot("firmware:leak")
    machine.run(timeout_s=10)
    return machine


def address(machine: Machine, name: str) -> int:
    found = machine.image.symbol(name)
    assert found is not None
    return found.address


def damaged(machine: Machine, words: dict[str, int]) -> MemoryMap:
    """Read the memory map while some of the kernel's words have other values."""
    with machine.snapshot():
        for name, value in words.items():
            symbol, _, offset = name.partition("+")
            machine.memory.store_u32(address(machine, symbol) + int(offset or 0), value)
        return read_memory_map(machine)


def test_a_booted_kernel(booted: Machine) -> None:
    memory_map = read_memory_map(booted)
    end = address(booted, "__end")
    bitmap_end = end + 128
    heap_start = (bitmap_end + 0xFFF) & ~0xFFF
    assert memory_map.regions == (
        Region(0x100000, end, RegionKind.IMAGE),
        Region(end, bitmap_end, RegionKind.BITMAP),
        Region(bitmap_end, heap_start, RegionKind.RESERVED),
        Region(heap_start, heap_start + 0x10000, RegionKind.HEAP),
    )
    assert memory_map.frames is not None
    assert memory_map.heap is not None
    assert memory_map.frames.total == 1024
    assert memory_map.reserved == (heap_start + 0x10000 - 0x100000) // 0x1000
    assert memory_map.allocated == 0
    assert [region.kind for region in memory_map.whole_ram()][-1] is RegionKind.FREE
    assert (memory_map.heap.used, memory_map.heap.free, memory_map.heap.largest_free) == (1216, 64224, 64224)
    assert (len(memory_map.heap.blocks), memory_map.heap.refused, memory_map.defects) == (12, 0, ())
    assert memory_map.notes == ()


def test_frames_that_were_handed_out(booted: Machine) -> None:
    with booted.snapshot():
        first = booted.call("alloc_frames", 5)
        memory_map = read_memory_map(booted)
    assert memory_map.frames is not None
    assert memory_map.allocated == 5
    assert Region(first << 12, (first + 5) << 12, RegionKind.ALLOCATED) in memory_map.whole_ram()


def test_boot_modules_are_reserved(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1" * 5000)
    (tmp_path / "two").write_bytes(b"2" * 100)
    machine = boot("firmware:btron_demo", modules=[f"{tmp_path}/one arguments", f"{tmp_path}/two"])
    modules = machine.modules
    assert [end - start for start, end in modules] == [5000, 100]
    assert machine.memory.read(modules[1][0], 100) == b"2" * 100
    machine.run(timeout_s=10)
    memory_map = read_memory_map(machine, modules)
    assert {Region(*module, RegionKind.RESERVED) for module in modules} <= set(memory_map.regions)


def test_a_kernel_that_has_not_started(booted: Machine) -> None:
    fresh = Machine(booted.image)
    memory_map = read_memory_map(fresh)
    assert (memory_map.frames, memory_map.heap) == (None, None)
    assert memory_map.notes == ("the frame allocator is not set up", "the heap is not set up")
    assert [region.kind for region in memory_map.regions] == [RegionKind.IMAGE]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            {"memmap+12": 0xFFFFFFFF},
            "max_frames 0xffffffff, bitmap 0x{bitmap:08x}",
        ),
        (
            {"memmap+16": 0xFFFFFF00},
            "max_frames 0x00000400, bitmap 0xffffff00",
        ),
    ],
)
def test_a_memmap_is_not_believed(booted: Machine, words: dict[str, int], shown: str) -> None:
    memory_map = damaged(booted, words)
    assert memory_map.frames is None
    assert memory_map.heap is not None
    window = "start_addr 0x00100000, end_addr 0x00500000, start_frame 0x00000100"
    shown = shown.format(bitmap=address(booted, "__end"))
    assert memory_map.notes == (f"the memmap makes no sense: {window}, {shown}",)


def test_a_window_that_contradicts_itself_is_not_believed(booted: Machine) -> None:
    memory_map = damaged(booted, {"memmap": 0x123000})
    assert memory_map.frames is None
    assert memory_map.notes[0].startswith("the memmap makes no sense: start_addr 0x00123000, ")


def test_a_heap_in_pieces(booted: Machine) -> None:
    with booted.snapshot():
        small, _, large, _ = (booted.call("kmalloc", size) for size in (8, 8, 600, 8))
        booted.call("kfree", small)
        booted.call("kfree", large)
        memory_map = read_memory_map(booted)
    assert memory_map.heap is not None
    assert (memory_map.heap.free, memory_map.heap.largest_free) == (
        64224 - 4 * 8 - 16,
        64224 - 4 * 8 - 16 - 608,
    )
    assert memory_map.heap.fragmentation == 1 - memory_map.heap.largest_free / memory_map.heap.free


@pytest.mark.parametrize(("start", "end"), [(0x200000, 0x100000), (0x200000, 0xFFFFFFF8)])
def test_heap_bounds_are_not_believed(booted: Machine, start: int, end: int) -> None:
    memory_map = damaged(booted, {"heap_start": start, "heap_end": end})
    assert memory_map.heap is None
    assert memory_map.notes == (f"the heap makes no sense: heap_start 0x{start:08x}, heap_end 0x{end:08x}",)


def test_a_damaged_heap_lists_its_defects(booted: Machine) -> None:
    memory_map = damaged(booted, {"heap_free_list": 0x1234})
    assert memory_map.heap is not None
    (defect,) = map(defect_text, memory_map.defects)
    free_list = address(booted, "heap_free_list")
    assert defect.startswith(f"0x{free_list:08x} heap_free_list = 0x00001234: should be 0x")


def test_a_heap_laid_over_the_image_counts_only_once(booted: Machine) -> None:
    memory_map = damaged(booted, {"heap_start": 0x100000})
    assert all(left.end <= right.start for left, right in pairwise(memory_map.regions))


def test_scans_of_the_heap_are_bounded(booted: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCKS_MAX", 3)
    memory_map = read_memory_map(booted)
    assert memory_map.heap is not None
    assert len(memory_map.heap.blocks) == 3
    assert memory_map.notes == ("the heap has 3 blocks or more, and only those are shown",)


LITECORE = ("memmap", "memmap_lock", "__end", "heap_start", "heap_end", "heap_free_list", "heap_error_count")


def test_a_kernel_that_is_no_litecore() -> None:
    memory_map = read_memory_map(Machine(KernelImage(eb.build_elf(), "k.elf")))
    assert memory_map.regions == (Region(0x100000, 0x100040, RegionKind.IMAGE),)
    assert (memory_map.frames, memory_map.heap) == (None, None)
    assert memory_map.notes == (
        "frames and heap are unknown: kmemu reads those of LiteCore and of BTRON/386",
    )


def test_a_stranger_s_allocators_are_offered() -> None:
    symbols = [
        eb.Sym(name, eb.BASE, 1, eb.FUNC)
        for name in ("alloc_pid", "free_count", "kmalloc", "kfree", "pool_take")
    ]
    memory_map = read_memory_map(Machine(KernelImage(eb.build_elf(eb.Elf(symbols=symbols)), "k.elf")))
    assert memory_map.notes == (
        "frames and heap are unknown: kmemu reads those of LiteCore and of BTRON/386; for kmemu check, kmemu init describes kmalloc, kfree",
    )


@pytest.mark.parametrize(
    ("address", "note"),
    [
        (0x80000000, "frames and heap are unknown: symbol memmap at 0x80000000 lies outside of memory"),
        (0x4FFFFC, "LiteCore's symbols do not lie in memory: no memory at 0x004ffffc (access of 20 bytes)"),
    ],
)
def test_symbols_outside_memory(address: int, note: str) -> None:
    symbols = [eb.Sym(name, address) for name in (*LITECORE, "heap_lock")]
    memory_map = read_memory_map(Machine(KernelImage(eb.build_elf(eb.Elf(symbols=symbols)), "k.elf")))
    assert memory_map.notes == (note,)


def test_a_damaged_symbol_table_is_a_note() -> None:
    data = eb.patch_section_header(eb.build_elf(), 2, eb.SH_SIZE, 0x7FFFFFF0)
    memory_map = read_memory_map(Machine(KernelImage(data, "k.elf")))
    (note,) = memory_map.notes
    assert note.startswith("frames and heap are unknown: truncated: the symbol table takes bytes 0x")


def test_segments_with_only_padding_between_them_are_one_area() -> None:
    loads = [eb.Load(0x100000, b"\x90"), eb.Load(0x101000, b"\x90"), eb.Load(0x102001, b"\x90")]
    memory_map = read_memory_map(Machine(KernelImage(eb.build_elf(eb.Elf(loads)), "k.elf")))
    assert memory_map.regions == (
        Region(0x100000, 0x101001, RegionKind.IMAGE),
        Region(0x102001, 0x102002, RegionKind.IMAGE),
    )
