"""The information that a Multiboot 1 kernel is given: memory, command line, modules.

Everything but the modules goes into one block of low memory. The memory map and the information lie where QEMU's loader has
them, at 0x9000 and 0x9500; lists and texts follow, which that has after the kernel.

Source: Multiboot Specification 0.6.96, section 3.3.
"""

from __future__ import annotations

import struct
from enum import IntFlag
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.boot_protocol.modules import place_modules
from emulator.boot_protocol.pc_memory import HIGH_START, KIB, LOW_END, layout_texts, low_gap, memory_map

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emulator.boot_protocol.modules import Module

BOOTLOADER_MAGIC: Final = 0x2BADB002
"""In EAX when the kernel starts; EBX holds the address of the information."""

BOOTLOADER_NAME: Final = "kmemu"
BOOT_DEVICE: Final = 0x8000FFFF
"""The first hard disk, its first partition, no further ones: what QEMU's loader says, whatever disks there are."""

_WORDS = struct.Struct("<29I")  # the whole of multiboot_info, framebuffer fields included
# Positions in words.
_FLAGS, _MEM_LOWER, _MEM_UPPER, _BOOT_DEVICE, _CMDLINE, _MODS_COUNT, _MODS_ADDR = 0, 1, 2, 3, 4, 5, 6
_MMAP_LENGTH, _MMAP_ADDR, _LOADER_NAME = 11, 12, 16
_MODULE = struct.Struct("<IIII")  # start, end, string, reserved
_REGION = struct.Struct("<IQQI")  # bytes that follow, base, length, type
_REGION_REST = _REGION.size - 4
_AVAILABLE, _RESERVED = 1, 2
_INFO_OFFSET = 0x500  # in the block; the memory map lies in front of it


class InfoFlags(IntFlag):
    """Which parts of the information are there."""

    MEMORY = 1 << 0
    BOOT_DEVICE = 1 << 1
    COMMAND_LINE = 1 << 2
    MODULES = 1 << 3
    MEMORY_MAP = 1 << 6
    LOADER_NAME = 1 << 9


_GIVEN = (  # as QEMU's loader; modules count as given where there are none
    InfoFlags.MEMORY
    | InfoFlags.BOOT_DEVICE
    | InfoFlags.COMMAND_LINE
    | InfoFlags.MODULES
    | InfoFlags.MEMORY_MAP
    | InfoFlags.LOADER_NAME
)


class Placement(NamedTuple):
    """What has to be written where before the kernel starts.

    Attributes:
        info_address: Physical address of the information, for EBX.
        pieces: (physical address, bytes), apart from each other and from the kernel.
        modules: Physical ranges `[start, end)` of the modules.
    """

    info_address: int
    pieces: tuple[tuple[int, bytes], ...]
    modules: tuple[tuple[int, int], ...]


def place_boot_info(
    ram_end: int,
    occupied: Iterable[tuple[int, int]],
    kernel_name: str,
    command_line: str = "",
    modules: Sequence[Module] = (),
) -> Placement:
    """Compose the information and place it and the modules.

    Args:
        ram_end: Physical end of RAM, above 1 MiB, at most `pc_memory.RAM_LIMIT`.
        occupied: Physical ranges `[start, end)` of the kernel's segments.
        kernel_name: First word of the command line, without directories.
        command_line: The rest; may be empty.
        modules: In the order in which the kernel is to see them. Each begins on a page boundary.

    Raises:
        BootInfoDoesNotFit: Not enough low memory, or not enough RAM after the kernel for the modules.
        ValueError: *ram_end* is out of range, or a text contains a NUL.
    """
    kernel = sorted(occupied)
    text = f"{kernel_name} {command_line}"  # with a blank after the name in any case, as from QEMU's loader
    addresses = place_modules(modules, ram_end, kernel, text)
    size = len(_compose(0, ram_end, text, modules, addresses))
    base = low_gap(size, kernel)
    block = _compose(base, ram_end, text, modules, addresses)
    placed = list(zip(addresses, modules, strict=True))
    return Placement(
        base + _INFO_OFFSET,
        ((base, block), *((at, module.data) for at, module in placed)),
        tuple((at, at + len(module.data)) for at, module in placed),
    )


def _compose(
    base: int, ram_end: int, text: str, modules: Sequence[Module], addresses: Sequence[int]
) -> bytes:
    """Return the block of low memory: memory map, information, module list, texts."""
    regions = b"".join(
        _REGION.pack(_REGION_REST, start, end - start, _AVAILABLE if available else _RESERVED)
        for start, end, available in memory_map(ram_end)
    )
    module_list = base + _INFO_OFFSET + _WORDS.size
    texts, positions = layout_texts(
        module_list + len(modules) * _MODULE.size,
        [text, BOOTLOADER_NAME, *(module.text for module in modules)],
    )
    words = [0] * 29
    words[_FLAGS] = _GIVEN
    words[_MEM_LOWER] = LOW_END // KIB
    words[_MEM_UPPER] = (ram_end - HIGH_START) // KIB
    words[_BOOT_DEVICE] = BOOT_DEVICE
    words[_CMDLINE], words[_LOADER_NAME] = positions[:2]
    words[_MODS_COUNT], words[_MODS_ADDR] = len(modules), module_list
    words[_MMAP_LENGTH], words[_MMAP_ADDR] = len(regions), base
    entries = [
        _MODULE.pack(address, address + len(module.data), position, 0)
        for address, module, position in zip(addresses, modules, positions[2:], strict=True)
    ]
    return b"".join([regions.ljust(_INFO_OFFSET, b"\0"), _WORDS.pack(*words), *entries, texts])
