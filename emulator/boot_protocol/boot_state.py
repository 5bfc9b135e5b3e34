"""How a boot loader leaves the machine: pieces of memory, and registers.

A kernel with a Multiboot header gets what that promises; any other is loaded, and entered with nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.boot_protocol import multiboot1_info
from emulator.boot_protocol.bios_data import bios_data
from emulator.boot_protocol.pc_memory import HIGH_START
from emulator.boot_protocol.rom import RSDP, bios_rom
from emulator.errors import KernelMismatch
from emulator.loader.multiboot1 import HeaderFlags, MultibootHeader, late_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.boot_protocol.hardware import Hardware
    from emulator.boot_protocol.modules import Module
    from emulator.boot_protocol.video_info import Screen
    from emulator.devices.vga.modes import VideoMode
    from emulator.loader.image import KernelImage
    from emulator.loader.multiboot1 import GraphicsRequest
    from emulator.loader.segments import Segment

_VIDEO_START = 0xA0000
_FIRST_STACK = 0x9000  # Multiboot leaves ESP undefined; some kernels count on one


class BootState(NamedTuple):
    """What the machine has to write and to set before the kernel starts.

    Attributes:
        pieces: (physical address, bytes), to be written in this order: the BIOS's, which a kernel in low memory may
            overwrite, and then those of the loader, apart from each other.
        registers: Values by name; all others are 0. Segments are flat, and interrupts off.
        modules: Physical ranges `[start, end)`, in the order in which they were given.
        mode: The graphics mode that is to be set; None: text.
    """

    pieces: tuple[tuple[int, bytes], ...]
    registers: dict[str, int]
    modules: tuple[tuple[int, int], ...]
    mode: VideoMode | None = None


def boot_state(
    image: KernelImage,
    ram_end: int,
    hardware: Hardware,
    command_line: str = "",
    modules: Sequence[Module] = (),
) -> BootState:
    """Return how BIOS and boot loader leave the machine for a kernel.

    Args:
        image: The kernel.
        ram_end: Physical end of RAM, above 1 MiB, at most `pc_memory.RAM_LIMIT`.
        hardware: What the BIOS has found.
        command_line: For the kernel, after its own name.
        modules: In the order in which the kernel is to see them.

    Raises:
        BadImage: The kernel requires something of Multiboot that there is not.
        BootInfoDoesNotFit: Modules or command line do not fit.
        KernelMismatch: There are modules or a command line, but no Multiboot header.
    """
    rom = bios_rom(hardware)
    segments = map(_in_ram, image.segments)
    pieces = (*bios_data(hardware), *rom, *segments)
    registers = {"eip": image.physical_entry, "esp": _FIRST_STACK, "eax": 0, "ebx": 0}
    if image.multiboot is None:
        if command_line or modules:
            what = "modules" if modules else "a command line"
            late = late_header(image.data)
            where = "" if late is None else f" in its first 8192 bytes; one lies at 0x{late:x}"
            raise KernelMismatch(image.path, f"cannot be given {what}: it has no Multiboot header{where}")
        return BootState(pieces, registers, ())
    mode = _mode(image.multiboot.graphics, hardware)
    if not isinstance(image.multiboot, MultibootHeader):
        from emulator.boot_protocol import multiboot2_info  # hardly any kernel needs it

        root = dict(rom).get(RSDP, b"")
        placement = multiboot2_info.place_boot_info(image, ram_end, command_line, modules, root, mode)
        magic = multiboot2_info.BOOTLOADER_MAGIC
    else:
        occupied = [(segment.physical, segment.end) for segment in image.segments]
        placement = multiboot1_info.place_boot_info(
            ram_end, occupied, image.name, command_line, modules, _screen(image.multiboot, mode)
        )
        magic = multiboot1_info.BOOTLOADER_MAGIC
    registers |= {"eax": magic, "ebx": placement.info_address}
    return BootState((*pieces, *placement.pieces), registers, placement.modules, mode)


def _mode(request: GraphicsRequest | None, hardware: Hardware) -> VideoMode | None:
    """Return the graphics mode that a kernel gets which would like one; None: text."""
    if request is None or not hardware.graphics:
        return None
    from emulator.devices.vga.modes import preferred_mode  # hardly any kernel asks

    return preferred_mode(*request)


def _screen(header: MultibootHeader, mode: VideoMode | None) -> Screen | None:
    """Return what a kernel of Multiboot 1 is told of the screen. QEMU's loader says nothing, GRUB does where the kernel asks."""
    if HeaderFlags.VIDEO_MODE not in header.flags:
        return None
    from emulator.boot_protocol.video_info import Screen

    return Screen(mode)


def _in_ram(segment: Segment) -> tuple[int, bytes]:
    """Return where a segment begins in RAM, and with what; the rest is zero, as fresh RAM is, but for what the BIOS has left low."""
    if segment.physical >= HIGH_START:
        return segment.physical, segment.data
    if segment.physical < _VIDEO_START:
        return segment.physical, segment.data.ljust(segment.size, b"\0")
    return HIGH_START, segment.data[HIGH_START - segment.physical :]  # ROM keeps its contents
