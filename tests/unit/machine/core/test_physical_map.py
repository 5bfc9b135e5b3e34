"""The first MiB as a PC has it, extended RAM of any size, and what lies beyond."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from emulator.errors import BadImage
from emulator.machine.address_map import MIB
from emulator.machine.machine import Machine
from emulator.machine.memory import PhysicalMemory, RamWindow
from kernel_model.memory import OutsideMemory
from tests.helpers.guest import assemble, machine_of, results_of

GIB = 1 << 30


def store_and_load(address: int) -> str:
    return f"""
        movl    $0xcafe0000, 0x{address:08x}
        movl    0x{address:08x}, %eax
        put     eax
    """


@pytest.mark.parametrize("address", [0x00000000, 0x00000500, 0x00007C00, 0x00080000, 0x0009FBFC])
def test_low_memory_is_ram(address: int) -> None:
    machine = machine_of(store_and_load(address) + "exit 0")
    machine.run()
    assert results_of(machine, 1) == [0xCAFE0000]
    assert machine.memory.load_u32(address) == 0xCAFE0000


@pytest.mark.parametrize("address", [0x000A0000, 0x000B0000, 0x000B8000, 0x000BFFFC])
def test_video_memory_keeps_what_is_written(address: int) -> None:
    machine = machine_of(store_and_load(address) + "exit 0")
    machine.run()
    assert results_of(machine, 1) == [0xCAFE0000]


@pytest.mark.parametrize("mmu", ["fast", "reference"])
@pytest.mark.parametrize(
    ("address", "value"), [(0x000C0000, 0), (0x000E0000, 0), (0x000F0000, 0), (0x000FFE00, 0xFFFFFFFF)]
)
def test_rom_reads_as_it_is_and_ignores_writes(address: int, value: int, mmu: str) -> None:
    machine = machine_of(store_and_load(address) + "exit 0", mmu=mmu)
    machine.run()
    assert results_of(machine, 1) == [value]
    assert machine.memory.load_u32(address) == value


def test_text_on_the_screen_is_read_from_outside() -> None:
    source = """
        movl    $0x07690748, 0xb8000            # "Hi", grey on black
        movw    $0x0721, 0xb8000 + 24 * 160
        exit    0
    """
    machine = machine_of(source)
    machine.run()
    lines = machine.screen()
    assert (len(lines), lines[0], lines[24]) == (25, "Hi", "!")


@pytest.mark.parametrize("size", [MIB // 4, MIB, 4 * MIB, 64 * MIB, GIB])
def test_ram_reaches_to_its_last_word(size: int) -> None:
    end = MIB + size
    machine = machine_of(store_and_load(end - 4) + "exit 0", ram=RamWindow(MIB, end))
    machine.run()
    assert results_of(machine, 1) == [0xCAFE0000]
    assert machine.memory.load_u32(end - 4) == 0xCAFE0000
    assert len(machine.memory) == end


def test_three_gib_cost_no_host_memory_until_they_are_touched() -> None:
    end = MIB + 3 * GIB
    before = resident_bytes()
    machine = machine_of(
        store_and_load(end - 4) + store_and_load(2 * GIB) + "exit 0", ram=RamWindow(MIB, end)
    )
    machine.run()
    assert results_of(machine, 2) == [0xCAFE0000, 0xCAFE0000]
    with machine.snapshot():
        machine.memory.store_u32(GIB, 1)
    assert machine.memory.load_u32(GIB) == 0
    assert resident_bytes() - before < 64 * MIB


def test_the_host_gets_everything_back_from_a_machine_that_is_gone() -> None:
    def boot_and_touch() -> None:
        machine = machine_of("exit 0", ram=RamWindow(MIB, 65 * MIB))
        machine.memory.write(MIB * 2, b"\1" * (32 * MIB))
        machine.snapshot()
        del machine
        gc.collect()  # a machine and its CPU know each other

    boot_and_touch()
    before, files = resident_bytes(), open_files()
    for _ in range(4):
        boot_and_touch()
    assert resident_bytes() - before < 48 * MIB
    assert open_files() == files


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (MIB, MIB, r"^RAM 0x00100000-0x00100000 is empty$"),
        (MIB, MIB + 100, r"^RAM 0x00100000-0x00100064 does not lie on page boundaries \(0x1000\)$"),
        (
            2 * MIB,
            4 * MIB,
            r"^RAM 0x00200000-0x00400000 does not start at 0x00100000, as extended RAM of a PC does$",
        ),
        (MIB, MIB + 3 * GIB + 4096, r"^RAM 0x00100000-0xc0101000 is larger than 3 GiB$"),
    ],
)
def test_impossible_windows_are_refused(start: int, end: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        machine_of("exit 0", ram=RamWindow(start, end))


def test_a_kernel_larger_than_ram_is_refused() -> None:
    image = assemble("exit 0\n .bss\n .skip 0x500000\n .text")
    with pytest.raises(BadImage, match=r"^guest\.elf: the segment 0x00101000-0x00604000 lies outside RAM"):
        Machine(image)


def test_python_cannot_reach_beyond_the_memory() -> None:
    memory = machine_of("exit 0").memory
    size = len(memory)
    refused = (
        lambda: memory.load_u8(size),
        lambda: memory.load_u32(size),
        lambda: memory.load_u32(size - 3),
        lambda: memory.load_words(size - 4, 2),
        lambda: memory.read(size - 1, 2),
        lambda: memory.store_u8(size, 1),
        lambda: memory.store_u32(size, 1),
        lambda: memory.store_u32(size - 2, 1),
        lambda: memory.store_words(size - 4, (1, 2)),
        lambda: memory.write(size - 1, b"ab"),
        lambda: memory.view(size - 1, 2),
    )
    for access in refused:
        with pytest.raises(OutsideMemory, match=r"^no memory at 0x00[45]f?"):
            access()
    assert memory.read(size - 4, 4) == bytes(4)


def test_memory_and_views_of_it_outlive_the_machine() -> None:
    memory = machine_of("exit 0").memory
    view = memory.view(len(memory) - 4, 4)
    gc.collect()
    assert memory.read(len(memory) - 4, 4) == bytes(4)
    del memory
    gc.collect()
    assert bytes(view) == bytes(4)


@pytest.mark.parametrize("address", [-1, -4, -8])
def test_negative_addresses_are_outside(address: int) -> None:
    memory = machine_of("exit 0").memory
    before = memory.read(0, len(memory))
    accesses = (
        lambda: memory.load_u8(address),
        lambda: memory.load_u32(address),
        lambda: memory.load_words(address, 1),
        lambda: memory.read(address, 1),
        lambda: memory.store_u8(address, 1),
        lambda: memory.store_u32(address, 1),
        lambda: memory.store_words(address, (1,)),
        lambda: memory.write(address, b"a"),
    )
    for access in accesses:
        with pytest.raises(OutsideMemory):
            access()
    assert memory.read(0, len(memory)) == before


def test_words_are_little_endian_at_any_alignment() -> None:
    memory = PhysicalMemory(memoryview(bytearray(16)))
    for address in range(4):
        memory.store_u32(address, 0x04030201)
        assert memory.load_u32(address) == 0x04030201
        assert memory.read(address, 4) == b"\1\2\3\4"
    memory.store_words(5, (0x11, 0x22))
    assert memory.load_words(5, 2) == (0x11, 0x22)


def test_views_are_read_only_and_live() -> None:
    memory = PhysicalMemory(memoryview(bytearray(16)))
    view = memory.view(4, 4)
    memory.store_u8(5, 7)
    assert view.tobytes() == b"\0\7\0\0"
    with pytest.raises(TypeError):
        view[0] = 1


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_text_that_a_graphics_mode_hides_is_read_as_in_text_mode() -> None:
    machine = machine_of(
        "movb $0x69, 0xb8000; movw $0x3d4, %dx; movw $0x2701, %ax; outw %ax, %dx; movw $0x500d, %ax; outw %ax, %dx;"
        "movw $0x3ce, %dx; movw $0x0f06, %ax; outw %ax, %dx; exit 0"
    )
    machine.run()
    assert machine.shows_graphics
    assert machine.screen() == ["i", *[""] * 24]
