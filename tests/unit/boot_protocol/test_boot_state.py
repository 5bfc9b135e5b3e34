"""A kernel's image comes in; pieces of memory and registers go out, without a machine."""

from __future__ import annotations

import struct

import pytest

from emulator.boot_protocol.bios_data import bios_data
from emulator.boot_protocol.boot_state import boot_state
from emulator.boot_protocol.hardware import Hardware
from emulator.boot_protocol.modules import Module
from emulator.boot_protocol.multiboot1_info import BOOTLOADER_MAGIC
from emulator.boot_protocol.rom import bios_rom
from emulator.errors import KernelMismatch
from emulator.loader.image import KernelImage
from tests.helpers.guest import assemble
from tests.unit.loader import elf_builder as eb

RAM_END = 0x500000
HARDWARE = Hardware(serial_ports=(0x3F8,))
BIOS = (*bios_data(HARDWARE), *bios_rom(HARDWARE))


def test_a_multiboot_kernel_gets_its_segments_the_information_and_modules() -> None:
    image = assemble("hlt")
    state = boot_state(image, RAM_END, HARDWARE, "seed=7", [Module("disk", b"abc")])
    segments = [(segment.physical, segment.data) for segment in image.segments]
    assert state.pieces[: len(BIOS)] == BIOS
    info, module = state.pieces[len(BIOS) + len(segments) :]
    assert list(state.pieces[len(BIOS) : -2]) == segments
    assert state.registers == {
        "eip": image.physical_entry,
        "esp": 0x9000,
        "eax": BOOTLOADER_MAGIC,
        "ebx": info[0] + 0x500,
    }
    assert b" seed=7\0" in info[1]
    assert module == ((image.end + 0xFFF & ~0xFFF) + 0x1000, b"abc")


def test_a_plain_elf_file_is_entered_with_nothing() -> None:
    image = KernelImage(eb.build_elf(), "plain.elf")
    state = boot_state(image, RAM_END, HARDWARE)
    assert len(state.pieces) == len(BIOS) + len(image.segments)
    assert state.registers == {"eip": image.physical_entry, "esp": 0x9000, "eax": 0, "ebx": 0}


@pytest.mark.parametrize(("command_line", "modules"), [("x", ()), ("", (Module("m", b""),))])
def test_a_plain_elf_file_takes_no_command_line_and_no_modules(
    command_line: str, modules: tuple[Module, ...]
) -> None:
    with pytest.raises(KernelMismatch, match=r"^plain\.elf: cannot be given "):
        boot_state(KernelImage(eb.build_elf(), "plain.elf"), RAM_END, HARDWARE, command_line, modules)


def test_bss_in_low_memory_is_cleared_of_what_the_bios_has_left() -> None:
    image = KernelImage(
        eb.build_elf(eb.Elf(loads=[eb.Load(0x0, b"code", 0x1000, flags=7)], entry=0)), "low.elf"
    )
    assert boot_state(image, RAM_END, HARDWARE).pieces[-1] == (0, b"code".ljust(0x1000, b"\0"))


def test_the_last_kib_of_low_memory_is_loaded_too() -> None:
    image = KernelImage(eb.build_elf(eb.Elf(loads=[eb.Load(0x9FE00, b"code")], entry=0x9FE00)), "low.elf")
    assert boot_state(image, RAM_END, HARDWARE).pieces[-1] == (0x9FE00, b"code")


def test_bss_in_high_memory_is_not_written() -> None:
    image = KernelImage(
        eb.build_elf(eb.Elf(loads=[eb.Load(eb.BASE, b"code", 1 << 30, flags=7)], entry=eb.BASE)), "high.elf"
    )
    assert boot_state(image, RAM_END, HARDWARE).pieces[-1] == (eb.BASE, b"code")


@pytest.mark.parametrize(("physical", "loaded"), [(0xFF000, b""), (0xFFFF0, b"x" * 0x30)])
def test_what_lies_in_rom_is_not_loaded(physical: int, loaded: bytes) -> None:
    loads = [eb.Load(physical, b"x" * 0x40), eb.Load(eb.BASE + 0x1000, b"code")]
    image = KernelImage(eb.build_elf(eb.Elf(loads=loads, entry=eb.BASE + 0x1000)), "headers.elf")
    assert boot_state(image, RAM_END, HARDWARE).pieces[-2:] == (
        (0x100000, loaded),
        (eb.BASE + 0x1000, b"code"),
    )


def test_a_header_that_lies_too_late_is_mentioned() -> None:
    header = struct.pack("<III", 0x1BADB002, 0, -0x1BADB002 & 0xFFFFFFFF)
    load = eb.Load(eb.BASE, bytes(8192) + header)
    image = KernelImage(eb.build_elf(eb.Elf(loads=[load])), "late.elf")
    problem = "cannot be given a command line: it has no Multiboot header in its first 8192 bytes; one lies at 0x2054"
    with pytest.raises(KernelMismatch, match=f"^late.elf: {problem}$"):
        boot_state(image, RAM_END, HARDWARE, "x")
