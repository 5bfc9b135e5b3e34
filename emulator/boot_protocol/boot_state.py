"""How a boot loader leaves the machine: pieces of memory, and registers.

A kernel with a Multiboot 1 header gets what that promises; a plain ELF file is loaded, and entered with nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.boot_protocol.bios_data import bios_data
from emulator.boot_protocol.multiboot1 import BOOTLOADER_MAGIC, find_header
from emulator.boot_protocol.multiboot1_info import place_boot_info
from emulator.boot_protocol.pc_memory import HIGH_START
from emulator.boot_protocol.rom import bios_rom
from emulator.errors import KernelMismatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.boot_protocol.hardware import Hardware
    from emulator.boot_protocol.modules import Module
    from emulator.loader.image import KernelImage, Segment

_FIRST_STACK = 0x9000  # Multiboot leaves ESP undefined; some kernels count on one


class BootState(NamedTuple):
    """What the machine has to write and to set before the kernel starts.

    Attributes:
        pieces: (physical address, bytes), to be written in this order: the BIOS's, which a kernel in low memory may
            overwrite, and then those of the loader, apart from each other.
        registers: Values by name; all others are 0. Segments are flat, and interrupts off.
    """

    pieces: tuple[tuple[int, bytes], ...]
    registers: dict[str, int]


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
    segments = ((segment.physical, _contents(segment)) for segment in image.segments)
    pieces = (*bios_data(hardware), *bios_rom(hardware), *segments)
    registers = {"eip": image.physical_entry, "esp": _FIRST_STACK, "eax": 0, "ebx": 0}
    if find_header(image.data, image.path):
        occupied = [(segment.physical, segment.end) for segment in image.segments]
        placement = place_boot_info(ram_end, occupied, image.name, command_line, modules)
        registers |= {"eax": BOOTLOADER_MAGIC, "ebx": placement.info_address}
        return BootState((*pieces, *placement.pieces), registers)
    if command_line or modules:
        what = "modules" if modules else "a command line"
        raise KernelMismatch(image.path, f"cannot be given {what}: it has no Multiboot header")
    return BootState(pieces, registers)


def _contents(segment: Segment) -> bytes:
    """Return what a segment begins with; the rest is zero, as fresh RAM is, but for what the BIOS has left low."""
    return segment.data if segment.physical >= HIGH_START else segment.data.ljust(segment.size, b"\0")
