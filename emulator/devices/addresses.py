"""Where the devices of a PC are reached: ports, registers in memory `[start, end)`, and windows of video memory.

A device that nobody has touched yet has not been made, nor has its module been imported: this is what is known of it.
"""

from __future__ import annotations

from typing import Final

KEYBOARD: Final = (0x60, 0x64)
RTC: Final = (0x70, 0x71)
POST: Final = (0x80,)
SYSTEM_CONTROL: Final = (0x92,)
DMA: Final = (*range(0x10), 0x81, 0x82, 0x83, 0x87, 0x89, 0x8A, 0x8B, 0x8F, *range(0xC0, 0xE0))
DEBUG_CONSOLE: Final = (0xE9,)
DEBUG_EXIT: Final = (0xF4, 0xF5, 0xF6, 0xF7)
FLOPPY: Final = (0x3F1, 0x3F2, 0x3F3, 0x3F4, 0x3F5, 0x3F7)

IDE_CHANNELS: Final = (0x1F0, 0x170)
"""First ports of the channels; each has 8."""
IDE_DRIVES: Final = 2 * len(IDE_CHANNELS)
IDE_CONTROLS: Final = (0x3F6, 0x376)
IDE_BUS_MASTER: Final = 0xC000
"""Where a BIOS puts the ports of the bus masters; each channel has 8."""
IDE: Final = (
    *(port for base in IDE_CHANNELS for port in range(base, base + 8)),
    *IDE_CONTROLS,
    *range(IDE_BUS_MASTER, IDE_BUS_MASTER + 16),
)

DISPLAY_INTERFACE: Final = (0x1CE, 0x1CF, 0x1D0)

VGA: Final = (*range(0x3C0, 0x3D0), 0x3DA)
CRTC: Final = (0x3D4, 0x3D5)
TEXT_MEMORY: Final = (0xB8000, 0xC0000)
"""Where text lies, and the graphics of a CGA."""

COM1: Final = tuple(range(0x3F8, 0x400))
COM2: Final = tuple(range(0x2F8, 0x300))

ACPI: Final = (*range(0x600, 0x606), *range(0x608, 0x60C), *range(0xAFE0, 0xAFE4), 0xB004, 0xB005)
PCI: Final = tuple(range(0xCF8, 0xD00))

FRAME_BUFFER: Final = (0xFD000000, 0xFE000000)
"""Memory of the graphics adapter."""
GRAPHICS_REGISTERS: Final = (0xFEBF0000, 0xFEBF1000)
"""All of the adapter's registers, which are at ports, too."""

IO_APIC: Final = (0xFEC00000, 0xFEC01000)
LOCAL_APIC: Final = (0xFEE00000, 0xFEE01000)
