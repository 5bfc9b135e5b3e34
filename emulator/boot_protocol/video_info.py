"""What a kernel is told of a graphics mode that has been set for it: the frame buffer, and VBE's blocks of information.

Source: Multiboot Specification 0.6.96, section 3.3; VESA BIOS Extension Core Functions 3.0, 4.3 and 4.4.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices.addresses import FRAME_BUFFER
from emulator.devices.vga.modes import VIDEO_MODES, palette_256

if TYPE_CHECKING:
    from emulator.devices.vga.modes import VideoMode

CONTROLLER_SIZE: Final = 512
MODE_SIZE: Final = 256
LINEAR_MODE: Final = 1 << 14
"""Bit of a mode's number: with a linear frame buffer."""

_FRAME = struct.Struct("<QIIIBB")
_INDEXED, _RGB, _TEXT = 0, 1, 2
_MEMORY_SIZE = FRAME_BUFFER[1] - FRAME_BUFFER[0]
_VERSION = 0x0300
_BANK_KIB = 64
# Attributes of a mode: it is there, with all information, in colour, graphics, no VGA, linear frame buffer.
_MODE_ATTRIBUTES = 0x00BB
_WINDOW_ATTRIBUTES = 7  # it is there, readable and writable
_PACKED, _DIRECT = 4, 6  # memory models
_SPARE_IS_USABLE = 2
_COLOURS: Final = {
    15: (5, 10, 5, 5, 5, 0),
    16: (5, 11, 6, 5, 5, 0),
    24: (8, 16, 8, 8, 8, 0),
    32: (8, 16, 8, 8, 8, 0),
}
"""Depth -> size and lowest bit of red, green and blue."""


class Screen(NamedTuple):
    """What a kernel that asks is told of the screen.

    Attributes:
        mode: The graphics mode that has been set; None: text.
    """

    mode: VideoMode | None

    @property
    def frame(self) -> bytes:
        """Address, pitch, width, height, depth and type, as both versions of Multiboot have them."""
        mode = self.mode
        if mode is None:
            return _FRAME.pack(0xB8000, 160, 80, 25, 16, _TEXT)
        kind = _RGB if mode.depth in _COLOURS else _INDEXED
        return _FRAME.pack(FRAME_BUFFER[0], mode.pitch, mode.width, mode.height, mode.depth, kind)

    @property
    def colours(self) -> bytes:
        """Lowest bit and size of red, green and blue of a pixel; empty where it is a number of a palette, or there are none."""
        if self.mode is None or self.mode.depth not in _COLOURS:
            return b""
        red, red_at, green, green_at, blue, blue_at = _COLOURS[self.mode.depth]
        return bytes((red_at, red, green_at, green, blue_at, blue))

    @property
    def palette(self) -> bytes:
        """Red, green and blue of 256 colours; empty where pixels have no palette."""
        if self.mode is None or self.mode.depth in _COLOURS:
            return b""
        return bytes(part << 2 | (part & 1) * 3 for part in palette_256())

    def vbe_at(self, address: int) -> bytes:
        """Return VBE's information about the controller, and then about the mode; nothing for text.

        Args:
            address: Where it will lie, below 1 MiB, on a 16-byte boundary: it has pointers into itself.
        """
        return b"" if self.mode is None else controller_info(address) + mode_info(self.mode)


def controller_info(address: int) -> bytes:
    """Return the block of information about the controller, of `CONTROLLER_SIZE` bytes.

    Args:
        address: Where it will lie, up to 0x10ffef: it has pointers of real mode into itself.
    """
    head = struct.Struct("<4sHHHIHHH")
    segment, name_at = min(address >> 4, 0xFFFF), head.size + 20
    name = b"kmemu\0"
    modes_at = name_at + len(name)
    modes = struct.pack(f"<{len(VIDEO_MODES) + 1}H", *VIDEO_MODES, 0xFFFF)
    name_offset, modes_offset = (address - 16 * segment + at & 0xFFFF for at in (name_at, modes_at))
    start = head.pack(b"VESA", _VERSION, name_offset, segment, 1, modes_offset, segment, _MEMORY_SIZE >> 16)
    return (start.ljust(name_at, b"\0") + name + modes).ljust(CONTROLLER_SIZE, b"\0")


def mode_info(mode: VideoMode) -> bytes:
    """Return the block of information about a mode, of `MODE_SIZE` bytes."""
    colours, size = _COLOURS.get(mode.depth, (0,) * 6), mode.pitch * mode.height
    block = struct.pack(
        "<HBBHHHHIHHHBBBBBBBBB",
        _MODE_ATTRIBUTES,
        _WINDOW_ATTRIBUTES,
        0,  # there is no second window
        _BANK_KIB,
        _BANK_KIB,
        0xA000,
        0,
        0,  # no function that moves the window
        mode.pitch,
        mode.width,
        mode.height,
        8,  # a character
        16,
        1,  # plane
        mode.depth,
        1,  # bank: there are no interleaved ones
        _DIRECT if mode.depth in _COLOURS else _PACKED,
        0,
        min(_MEMORY_SIZE // (size + -size % (_BANK_KIB << 10)), 128) - 1,  # further pages
        1,
    )
    spare = {15: (1, 15), 32: (8, 24)}.get(mode.depth, (0, 0))
    block += bytes((*colours, *spare, _SPARE_IS_USABLE if mode.depth == 32 else 0))  # noqa: PLR2004 - bits of a pixel
    block += struct.pack("<IIHHBB", FRAME_BUFFER[0], 0, 0, mode.pitch, 0, 0) + bytes((*colours, *spare))
    return block.ljust(MODE_SIZE, b"\0")
