from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from emulator.boot_protocol.modules import Module
from emulator.boot_protocol.multiboot1_info import InfoFlags, Placement, place_boot_info
from emulator.boot_protocol.pc_memory import MemoryRegion
from emulator.errors import BadFile, BootInfoDoesNotFit
from tests.helpers.multiboot_reader import BootInfo, PlacedModule, read_boot_info

if TYPE_CHECKING:
    from pathlib import Path

RAM_END = 0x500000
KERNEL = [(0x100000, 0x123456)]
LOW_ROOM = 0x9FC00 - 0x9000


class Ram:
    """RAM as the kernel finds it; bytes nobody wrote are 0xAA."""

    def __init__(self, placement: Placement) -> None:
        self.bytes = bytearray(b"\xaa" * RAM_END)
        for address, data in placement.pieces:
            assert set(self.bytes[address : address + len(data)]) <= {0xAA}, "pieces overlap"
            self.bytes[address : address + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.bytes[address : address + size])


def boot_info(placement: Placement) -> BootInfo:
    return read_boot_info(Ram(placement), placement.info_address)


def test_a_kernel_alone() -> None:
    placement = place_boot_info(RAM_END, KERNEL, "demo.elf")
    assert placement.info_address == 0x9500
    assert boot_info(placement) == BootInfo(
        flags=InfoFlags(0x24F),
        mem_lower=639,
        mem_upper=4096,
        boot_device=0x8000FFFF,
        command_line="demo.elf ",
        loader_name="kmemu",
        modules=(),
        memory_map=(
            MemoryRegion(0, 0x9FC00, available=True),
            MemoryRegion(0x9FC00, 0xA0000, available=False),
            MemoryRegion(0xF0000, 0x100000, available=False),
            MemoryRegion(0x100000, RAM_END, available=True),
            MemoryRegion(RAM_END, RAM_END + 0x20000, available=False),
            MemoryRegion(0xFFFC0000, 1 << 32, available=False),
        ),
    )


def test_command_line_follows_the_name() -> None:
    assert (
        boot_info(place_boot_info(RAM_END, KERNEL, "demo.elf", "seed=7 はい")).command_line
        == "demo.elf seed=7 はい"
    )


def test_words_that_are_not_utf_8_arrive_as_they_were_typed() -> None:
    placement = place_boot_info(RAM_END, KERNEL, "k", "a=\udcff")
    assert b"k a=\xff\0" in placement.pieces[0][1]


def test_modules_lie_on_pages_after_the_kernel_and_qemus_lists() -> None:
    modules = [
        Module("initrd.img root", b"\x11" * 5000),
        Module("empty", b""),
        Module("page", b"\x22" * 4096),
    ]
    placement = place_boot_info(RAM_END, KERNEL, "k", modules=modules)
    info = boot_info(placement)
    assert InfoFlags.MODULES in info.flags
    assert info.modules == (
        PlacedModule(0x125000, 0x125000 + 5000, "initrd.img root"),
        PlacedModule(0x127000, 0x127000, "empty"),
        PlacedModule(0x127000, 0x128000, "page"),
    )
    ram = Ram(placement)
    assert [ram.read(m.start, m.end - m.start) for m in info.modules] == [m.data for m in modules]


@pytest.mark.parametrize("ram_end", [0x100001, 0xC000_0000, 0xFFFC_0000])
def test_any_size_of_ram(ram_end: int) -> None:
    info = boot_info(place_boot_info(ram_end, [], "k"))
    assert info.mem_upper == (ram_end - 0x100000) // 1024
    assert info.memory_map[3] == MemoryRegion(0x100000, ram_end, available=True)


@pytest.mark.parametrize("ram_end", [0, 0x100000, 0xFFFC_0001])
def test_ram_of_an_impossible_size(ram_end: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^ram_end is 0x{ram_end:08x}, not above 0x00100000 and at most 0xfffc0000$"
    ):
        place_boot_info(ram_end, [], "k")


def test_a_kernel_in_low_memory_is_left_alone() -> None:
    assert place_boot_info(RAM_END, [(0x8000, 0x9001), (0x90E0, 0x9234)], "k").info_address == 0x9740
    assert place_boot_info(RAM_END, [(0x8000, 0x9000)], "k").info_address == 0x9500


class TestNoRoom:
    def test_long_command_line(self) -> None:
        with pytest.raises(BootInfoDoesNotFit) as caught:
            place_boot_info(RAM_END, KERNEL, "k", "x" * LOW_ROOM)
        size = LOW_ROOM + 116 + 0x500 + len("k \0kmemu\0")
        assert str(caught.value) == (
            f"the boot information (command line and module list) does not fit into RAM: {size} bytes, "
            f"room for {LOW_ROOM}"
        )
        assert (caught.value.size, caught.value.room) == (size, LOW_ROOM)

    def test_longest_command_line(self) -> None:
        text = "x" * (LOW_ROOM - 116 - 0x500 - len("k \0kmemu\0"))
        assert boot_info(place_boot_info(RAM_END, KERNEL, "k", text)).command_line == f"k {text}"

    def test_too_many_modules(self) -> None:
        with pytest.raises(
            BootInfoDoesNotFit, match=r"^the boot information \(command line and module list\) "
        ):
            place_boot_info(RAM_END, KERNEL, "k", modules=[Module("m", b"")] * 40_000)

    def test_module_that_meets_the_kernel(self) -> None:
        big = Module("big.img", bytes(0x500000 - 0x123456))
        with pytest.raises(BootInfoDoesNotFit) as caught:
            place_boot_info(RAM_END, KERNEL, "k", modules=[big])
        assert str(caught.value) == (
            f"module 'big.img' does not fit into RAM: {0x500000 - 0x123456} bytes, room for {0x500000 - 0x125000}"
        )

    def test_largest_module(self) -> None:
        module = Module("m", bytes(0x500000 - 0x125000))
        assert (
            boot_info(place_boot_info(RAM_END, [(0x100000, 0x124000)], "k", modules=[module]))
            .modules[0]
            .start
            == 0x125000
        )

    def test_module_larger_than_ram(self) -> None:
        with pytest.raises(
            BootInfoDoesNotFit, match=r"^module 'm' does not fit into RAM: 16777216 bytes, room for"
        ):
            place_boot_info(RAM_END, [], "k", modules=[Module("m", bytes(1 << 24))])

    def test_text_with_a_nul(self) -> None:
        with pytest.raises(ValueError, match=r"^a text for the kernel contains a NUL: 'k a\\x00b'$"):
            place_boot_info(RAM_END, KERNEL, "k", "a\0b")


class TestModuleFiles:
    def test_first_word_is_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "initrd.img").write_bytes(b"abc")
        assert Module.read(f"{tmp_path}/initrd.img root=1  x") == Module("initrd.img root=1  x", b"abc")
        assert Module.read(f"{tmp_path}/initrd.img").text == "initrd.img"

    def test_compressed(self, tmp_path: Path) -> None:
        (tmp_path / "initrd.gz").write_bytes(gzip.compress(b"abc"))
        assert Module.read(f"{tmp_path}/initrd.gz x") == Module("initrd.gz x", b"abc")
        (tmp_path / "initrd.gz").write_bytes(gzip.compress(b"abc")[:-1])
        with pytest.raises(BadFile, match=rf"^module {tmp_path}/initrd\.gz: is a truncated gzip file$"):
            Module.read(f"{tmp_path}/initrd.gz")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "initrd.img").write_bytes(b"")
        with pytest.raises(BadFile, match=rf"^module {tmp_path}/initrd\.img: is empty$"):
            Module.read(f"{tmp_path}/initrd.img x")

    def test_missing(self) -> None:
        with pytest.raises(BadFile, match=r"^module /nowhere: cannot be read: No such file or directory$"):
            Module.read("/nowhere args")

    def test_device(self) -> None:
        with pytest.raises(BadFile, match=r"^module /dev/null: cannot be read: it is not a regular file$"):
            Module.read("/dev/null")
