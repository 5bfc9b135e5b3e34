"""The information that a Multiboot 1 kernel is given: memory, command line, modules.

Everything but the modules goes into one block of low memory.

Source: Multiboot Specification 0.6.96, section 3.3.
"""

from __future__ import annotations

import struct
from enum import IntFlag
from typing import TYPE_CHECKING, NamedTuple

from emulator.boot_protocol.modules import place_modules
from emulator.errors import BootInfoDoesNotFit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emulator.boot_protocol.modules import Module

BOOTLOADER_NAME = "kmemu"

_KIB = 1024
_BLOCK_ALIGNMENT = 16
_LOW_START = 0x9000  # above the BIOS's data, and above 0x7C00 and 0x8000, where kernels start other CPUs
_LOW_END = 0x9FC00  # the BIOS's extended data begins here
_HIGH_START = 0x100000

_WORDS = struct.Struct("<29I")  # the whole of multiboot_info, framebuffer fields included
# Positions in words.
_FLAGS, _MEM_LOWER, _MEM_UPPER, _CMDLINE, _MODS_COUNT, _MODS_ADDR = 0, 1, 2, 4, 5, 6
_MMAP_LENGTH, _MMAP_ADDR, _LOADER_NAME = 11, 12, 16
_MODULE = struct.Struct("<IIII")  # start, end, string, reserved
_REGION = struct.Struct("<IQQI")  # bytes that follow, base, length, type
_REGION_REST = _REGION.size - 4
_AVAILABLE, _RESERVED = 1, 2


class InfoFlags(IntFlag):
    """Which parts of the information are there."""

    MEMORY = 1 << 0
    COMMAND_LINE = 1 << 2
    MODULES = 1 << 3
    MEMORY_MAP = 1 << 6
    LOADER_NAME = 1 << 9


class MemoryRegion(NamedTuple):
    """An entry of the memory map: `[start, end)`, physical; RAM for any use, or reserved."""

    start: int
    end: int
    available: bool


class Placement(NamedTuple):
    """What has to be written where before the kernel starts.

    Attributes:
        info_address: Physical address of the information, for EBX.
        pieces: (physical address, bytes), apart from each other and from the kernel.
    """

    info_address: int
    pieces: tuple[tuple[int, bytes], ...]


def memory_map(ram_end: int) -> tuple[MemoryRegion, ...]:
    """Return the memory map of a PC whose RAM ends at *ram_end*.

    Args:
        ram_end: Physical, above 1 MiB, at most 4 GiB.
    """
    return (
        MemoryRegion(0, _LOW_END, available=True),
        MemoryRegion(_LOW_END, 0xA0000, available=False),
        MemoryRegion(0xF0000, _HIGH_START, available=False),
        MemoryRegion(_HIGH_START, ram_end, available=True),
    )


def place_boot_info(
    ram_end: int,
    occupied: Iterable[tuple[int, int]],
    kernel_name: str,
    command_line: str = "",
    modules: Sequence[Module] = (),
) -> Placement:
    """Compose the information and find places for it and the modules.

    Args:
        ram_end: Physical end of RAM, above 1 MiB, at most 4 GiB.
        occupied: Physical ranges `[start, end)` of the kernel's segments.
        kernel_name: First word of the command line, without directories.
        command_line: The rest; may be empty.
        modules: In the order in which the kernel is to see them. Each begins on a page boundary.

    Raises:
        BootInfoDoesNotFit: Not enough low memory, or not enough RAM above the kernel for the modules.
        ValueError: *ram_end* is out of range, or a text contains a NUL.
    """
    if not _HIGH_START < ram_end <= 1 << 32:
        raise ValueError(f"ram_end is 0x{ram_end:08x}, not above 0x{_HIGH_START:08x} and at most 4 GiB")
    kernel = sorted(occupied)
    addresses = place_modules(modules, ram_end, kernel)
    text = f"{kernel_name} {command_line}" if command_line else kernel_name
    size = len(_compose(0, ram_end, text, modules, addresses))
    base = _low_gap(size, kernel)
    block = _compose(base, ram_end, text, modules, addresses)
    pieces = zip(addresses, (module.data for module in modules), strict=True)
    return Placement(base, ((base, block), *pieces))


def _compose(
    base: int, ram_end: int, text: str, modules: Sequence[Module], addresses: Sequence[int]
) -> bytes:
    """Return the block of low memory: information, module list, memory map, texts."""
    module_list = base + _WORDS.size
    region_list = module_list + len(modules) * _MODULE.size
    regions = [
        _REGION.pack(_REGION_REST, start, end - start, _AVAILABLE if available else _RESERVED)
        for start, end, available in memory_map(ram_end)
    ]
    texts, positions = _layout_texts(
        region_list + len(regions) * _REGION.size,
        [text, BOOTLOADER_NAME, *(module.text for module in modules)],
    )
    words = [0] * 29
    words[_FLAGS] = InfoFlags.MEMORY | InfoFlags.COMMAND_LINE | InfoFlags.MEMORY_MAP | InfoFlags.LOADER_NAME
    words[_MEM_LOWER] = _LOW_END // _KIB
    words[_MEM_UPPER] = (ram_end - _HIGH_START) // _KIB
    words[_CMDLINE], words[_LOADER_NAME] = positions[:2]
    words[_MMAP_LENGTH], words[_MMAP_ADDR] = len(regions) * _REGION.size, region_list
    if modules:
        words[_FLAGS] |= InfoFlags.MODULES
        words[_MODS_COUNT], words[_MODS_ADDR] = len(modules), module_list
    entries = [
        _MODULE.pack(address, address + len(module.data), position, 0)
        for address, module, position in zip(addresses, modules, positions[2:], strict=True)
    ]
    return b"".join([_WORDS.pack(*words), *entries, *regions, texts])


def _layout_texts(base: int, texts: Iterable[str]) -> tuple[bytes, list[int]]:
    """Return the texts one after the other, each ended by a NUL, and their addresses."""
    block, positions = bytearray(), []
    for text in texts:
        if "\0" in text:
            raise ValueError(f"a text for the kernel contains a NUL: {text!r}")
        positions.append(base + len(block))
        # Words of the shell that are not UTF-8 reach the kernel as they were typed.
        block += text.encode("utf-8", "surrogateescape") + b"\0"
    return bytes(block), positions


def _low_gap(size: int, kernel: Sequence[tuple[int, int]]) -> int:
    """Find *size* bytes of low memory that the kernel leaves free."""
    base = _LOW_START
    for start, end in kernel:
        if base < end and start < base + size:
            base = end + -end % _BLOCK_ALIGNMENT
    if base + size > _LOW_END:
        raise BootInfoDoesNotFit(
            "the boot information (command line and module list)", size, max(0, _LOW_END - base)
        )
    return base
