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
from emulator.boot_protocol.pc_memory import (
    BLOCK_ALIGNMENT,
    HIGH_START,
    KIB,
    LOW_END,
    layout_texts,
    low_gap,
    memory_map,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emulator.boot_protocol.modules import Module
    from emulator.boot_protocol.video_info import Screen

BOOTLOADER_MAGIC: Final = 0x2BADB002
"""In EAX when the kernel starts; EBX holds the address of the information."""

BOOTLOADER_NAME: Final = "kmemu"
BOOT_DEVICE: Final = 0x8000FFFF
"""The first hard disk, its first partition, no further ones: what QEMU's loader says, whatever disks there are."""

_WORDS, _SCREEN_WORDS = 29, 30  # of the information, without and with what it says of the screen
# Positions in words.
_FLAGS, _MEM_LOWER, _MEM_UPPER, _BOOT_DEVICE, _CMDLINE, _MODS_COUNT, _MODS_ADDR = 0, 1, 2, 3, 4, 5, 6
_MMAP_LENGTH, _MMAP_ADDR, _LOADER_NAME = 11, 12, 16
_MODULE = struct.Struct("<IIII")  # start, end, string, reserved
_REGION = struct.Struct("<IQQI")  # bytes that follow, base, length, type
_REGION_REST = _REGION.size - 4
_AVAILABLE, _RESERVED = 1, 2
_VBE_CONTROL, _VBE_MODE_INFO, _VBE_MODE, _FRAME_BUFFER = 18, 19, 20, 22
_INFO_OFFSET = 0x500  # in the block; the memory map lies in front of it


class InfoFlags(IntFlag):
    """Which parts of the information are there."""

    MEMORY = 1 << 0
    BOOT_DEVICE = 1 << 1
    COMMAND_LINE = 1 << 2
    MODULES = 1 << 3
    MEMORY_MAP = 1 << 6
    LOADER_NAME = 1 << 9
    VBE = 1 << 11
    FRAME_BUFFER = 1 << 12


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
    screen: Screen | None = None,
) -> Placement:
    """Compose the information and place it and the modules.

    Args:
        ram_end: Physical end of RAM, above 1 MiB, at most `pc_memory.RAM_LIMIT`.
        occupied: Physical ranges `[start, end)` of the kernel's segments.
        kernel_name: First word of the command line, without directories.
        command_line: The rest; may be empty.
        modules: In the order in which the kernel is to see them. Each begins on a page boundary.
        screen: What the kernel is told of the screen; None: it has not asked.

    Raises:
        BootInfoDoesNotFit: Not enough low memory, or not enough RAM after the kernel for the modules.
        ValueError: *ram_end* is out of range, or a text contains a NUL.
    """
    kernel = sorted(occupied)
    text = f"{kernel_name} {command_line}"  # with a blank after the name in any case, as from QEMU's loader
    addresses = place_modules(modules, ram_end, kernel, text)
    size = len(_compose(0, ram_end, text, modules, addresses, screen))
    base = low_gap(size, kernel)
    block = _compose(base, ram_end, text, modules, addresses, screen)
    placed = list(zip(addresses, modules, strict=True))
    return Placement(
        base + _INFO_OFFSET,
        ((base, block), *((at, module.data) for at, module in placed)),
        tuple((at, at + len(module.data)) for at, module in placed),
    )


def _compose(
    base: int,
    ram_end: int,
    text: str,
    modules: Sequence[Module],
    addresses: Sequence[int],
    screen: Screen | None,
) -> bytes:
    """Return the block of low memory: memory map, information, module list, texts, and VBE's blocks."""
    regions = b"".join(
        _REGION.pack(_REGION_REST, start, end - start, _AVAILABLE if available else _RESERVED)
        for start, end, available in memory_map(ram_end)
    )
    module_list = base + _INFO_OFFSET + 4 * (_WORDS if screen is None else _SCREEN_WORDS)
    texts, positions = layout_texts(
        module_list + len(modules) * _MODULE.size,
        [text, BOOTLOADER_NAME, *(module.text for module in modules)],
    )
    words = [0] * (_WORDS if screen is None else _SCREEN_WORDS)
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
    blocks = b""
    if screen is not None:
        end = module_list + len(modules) * _MODULE.size + len(texts)
        texts += bytes(-end % BLOCK_ALIGNMENT)
        blocks = _put_screen(words, screen, end + -end % BLOCK_ALIGNMENT)
    info = struct.pack(f"<{len(words)}I", *words)
    return b"".join([regions.ljust(_INFO_OFFSET, b"\0"), info, *entries, texts, blocks])


def _put_screen(words: list[int], screen: Screen, address: int) -> bytes:
    """Put what the kernel is told of the screen into the information.

    Colours lie where GRUB and its header file have them, two bytes further on than the specification says.

    Args:
        words: Of the information.
        screen: What.
        address: Where VBE's blocks and the palette will lie.

    Returns:
        These.
    """
    from emulator.boot_protocol.video_info import CONTROLLER_SIZE, LINEAR_MODE  # hardly any kernel asks

    words[_FLAGS] |= InfoFlags.FRAME_BUFFER
    vbe, palette = screen.vbe_at(address), screen.palette
    colours = struct.pack("<IH", address + len(vbe), len(palette) // 3) if palette else screen.colours
    words[_FRAME_BUFFER:] = struct.unpack("<8I", (screen.frame + bytes(2) + colours).ljust(32, b"\0"))
    if screen.mode is not None:
        words[_FLAGS] |= InfoFlags.VBE
        words[_VBE_CONTROL], words[_VBE_MODE_INFO] = address, address + CONTROLLER_SIZE
        words[_VBE_MODE] = LINEAR_MODE | screen.mode.number
    return vbe + palette
