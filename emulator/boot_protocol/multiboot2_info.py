"""The information that a Multiboot 2 kernel is given: a list of tags in low memory.

All tags that there are, are given, whether the kernel asks for them or not; layout and order are GRUB's. As by GRUB, the command line does not
begin with the kernel's name, nor the text of a module with its name.

Source: Specification of Multiboot 2 (GNU), section 3.6, and the structures of its multiboot2.h.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emulator.boot_protocol.elf_sections import elf_sections
from emulator.boot_protocol.modules import place_modules
from emulator.boot_protocol.multiboot1_info import BOOTLOADER_NAME, Placement
from emulator.boot_protocol.pc_memory import HIGH_START, KIB, LOW_END, low_gap, memory_map, text_bytes
from emulator.boot_protocol.video_info import LINEAR_MODE, Screen
from emulator.loader.multiboot2 import HeaderTag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.boot_protocol.elf_sections import ElfSections
    from emulator.boot_protocol.modules import Module
    from emulator.devices.vga.modes import VideoMode
    from emulator.loader.image import KernelImage

BOOTLOADER_MAGIC: Final = 0x36D76289
"""In EAX when the kernel starts; EBX holds the address of the information."""

_TAG = struct.Struct("<II")  # type, size with these; the next one begins at a multiple of 8
_REGION = struct.Struct("<QQII")  # base, length, type, 0
_AVAILABLE, _RESERVED = 1, 2
_FIRST_DISK, _FIRST_PARTITION, _NO_PARTITION = 0x80, 0, 0xFFFFFFFF


class Tag:
    """Kinds of information."""

    END: Final = 0
    COMMAND_LINE: Final = 1
    LOADER_NAME: Final = 2
    MODULE: Final = 3
    MEMORY: Final = 4
    BOOT_DEVICE: Final = 5
    MEMORY_MAP: Final = 6
    VBE: Final = 7
    FRAME_BUFFER: Final = 8
    ELF_SECTIONS: Final = 9
    ACPI_1_ROOT: Final = 14
    LOAD_BASE: Final = 21


def place_boot_info(
    image: KernelImage,
    ram_end: int,
    command_line: str,
    modules: Sequence[Module],
    root: bytes,
    mode: VideoMode | None = None,
) -> Placement:
    """Compose the information and find places for it, the modules and the kernel's symbols.

    Args:
        image: The kernel, with a Multiboot 2 header.
        ram_end: Physical end of RAM, above 1 MiB, at most `pc_memory.RAM_LIMIT`.
        command_line: May be empty.
        modules: In the order in which the kernel is to see them. Each begins on a page boundary.
        root: ACPI's root pointer; empty: there is none.
        mode: The graphics mode that has been set; None: text.

    Raises:
        BootInfoDoesNotFit: Not enough low memory, or not enough RAM after the kernel for the modules.
        ValueError: *ram_end* is out of range, or a text contains a NUL.
    """
    kernel = [(segment.physical, segment.end) for segment in image.segments]
    sections = elf_sections(image, ram_end)
    occupied = [*kernel, *((address, address + len(data)) for address, data in sections.pieces)]
    addresses = place_modules(modules, ram_end, occupied, command_line)
    placed = list(zip(modules, addresses, strict=True))
    tags = [
        *([_tag(Tag.LOAD_BASE, struct.pack("<I", image.start))] if _relocatable(image) else []),
        _tag(Tag.COMMAND_LINE, text_bytes(command_line)),
        _tag(Tag.LOADER_NAME, text_bytes(BOOTLOADER_NAME)),
        *(
            _tag(Tag.MODULE, struct.pack("<II", at, at + len(module.data)) + text_bytes(module.arguments))
            for module, at in placed
        ),
        _memory_map(ram_end),
        *([_elf_sections(sections)] if sections.total else []),
        _tag(Tag.MEMORY, struct.pack("<II", LOW_END // KIB, (ram_end - HIGH_START) // KIB)),
        _tag(Tag.BOOT_DEVICE, struct.pack("<III", _FIRST_DISK, _FIRST_PARTITION, _NO_PARTITION)),
        *_screen(Screen(mode)),
        *([_tag(Tag.ACPI_1_ROOT, root)] if root else []),
        _tag(Tag.END, b""),
    ]
    block = b"".join(tags)
    info = _TAG.pack(_TAG.size + len(block), 0) + block
    base = low_gap(len(info), kernel)
    return Placement(
        base,
        ((base, info), *sections.pieces, *((at, module.data) for module, at in placed)),
        tuple((at, at + len(module.data)) for module, at in placed),
    )


def _tag(kind: int, body: bytes) -> bytes:
    """Return a tag, filled up to a multiple of 8 bytes."""
    size = _TAG.size + len(body)
    return _TAG.pack(kind, size) + body + bytes(-size % 8)


def _screen(screen: Screen) -> list[bytes]:
    palette = screen.palette
    colours = struct.pack("<H", len(palette) // 3) + palette if palette else screen.colours
    tags = [_tag(Tag.FRAME_BUFFER, screen.frame + bytes(2) + colours)]
    if screen.mode is not None:
        number = struct.pack(
            "<HHHH", LINEAR_MODE | screen.mode.number, 0, 0, 0
        )  # no interface of protected mode
        tags.insert(0, _tag(Tag.VBE, number + screen.vbe_at(0)))
    return tags


def _elf_sections(sections: ElfSections) -> bytes:
    head = struct.pack("<III", sections.total, len(sections.headers) // sections.total, sections.names)
    return _tag(Tag.ELF_SECTIONS, head + sections.headers)


def _relocatable(image: KernelImage) -> bool:
    return HeaderTag.RELOCATABLE in getattr(image.multiboot, "tags", ())


def _memory_map(ram_end: int) -> bytes:
    regions = b"".join(
        _REGION.pack(start, end - start, _AVAILABLE if available else _RESERVED, 0)
        for start, end, available in memory_map(ram_end)
    )
    return _tag(Tag.MEMORY_MAP, struct.pack("<II", _REGION.size, 0) + regions)
