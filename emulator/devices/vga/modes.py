"""The graphics modes that a BIOS of QEMU's adapter knows, by the numbers of VBE.

Source: VESA BIOS Extension Core Functions 3.0, section 3; the numbers beyond VESA's are those of SeaBIOS, which QEMU has.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class VideoMode(NamedTuple):
    """A graphics mode with a linear frame buffer.

    Attributes:
        number: Of VBE.
        width: In pixels.
        height: The same.
        depth: Bits of a pixel: 8, 15, 16, 24 or 32.
    """

    number: int
    width: int
    height: int
    depth: int

    @property
    def pitch(self) -> int:
        """Bytes from one line to the next."""
        return self.width * -(-self.depth // 8)


_HIGH_COLOUR = (15, 16, 24)
_TRUE_COLOUR = (16, 24, 32)
_GROUPS = (  # first number, width, height, depths of it and the numbers that follow
    (0x100, 640, 400, (8,)),
    (0x101, 640, 480, (8,)),
    (0x103, 800, 600, (8,)),
    (0x105, 1024, 768, (8,)),
    (0x107, 1280, 1024, (8,)),
    (0x10D, 320, 200, _HIGH_COLOUR),
    (0x110, 640, 480, _HIGH_COLOUR),
    (0x113, 800, 600, _HIGH_COLOUR),
    (0x116, 1024, 768, _HIGH_COLOUR),
    (0x119, 1280, 1024, _HIGH_COLOUR),
    (0x11C, 1600, 1200, (8, *_HIGH_COLOUR)),
    (0x140, 320, 200, (32,)),
    (0x141, 640, 400, (32,)),
    (0x142, 640, 480, (32,)),
    (0x143, 800, 600, (32,)),
    (0x144, 1024, 768, (32,)),
    (0x145, 1280, 1024, (32,)),
    (0x146, 320, 200, (8,)),
    (0x147, 1600, 1200, (32,)),
    (0x148, 1152, 864, (8, *_HIGH_COLOUR, 32)),
    (0x175, 1280, 768, _TRUE_COLOUR),
    (0x178, 1280, 800, _TRUE_COLOUR),
    (0x17B, 1280, 960, _TRUE_COLOUR),
    (0x17E, 1440, 900, _TRUE_COLOUR),
    (0x181, 1400, 1050, _TRUE_COLOUR),
    (0x184, 1680, 1050, _TRUE_COLOUR),
    (0x187, 1920, 1200, _TRUE_COLOUR),
    (0x18A, 2560, 1600, _TRUE_COLOUR),
    (0x18D, 1280, 720, _TRUE_COLOUR),
    (0x190, 1920, 1080, _TRUE_COLOUR),
    (0x193, 1600, 900, _TRUE_COLOUR),
    (0x196, 2560, 1440, _TRUE_COLOUR),
    (0x199, 3840, 2160, (16,)),
)
VIDEO_MODES: Final = {
    first + index: VideoMode(first + index, width, height, depth)
    for first, width, height, depths in _GROUPS
    for index, depth in enumerate(depths)
}
"""By their numbers."""

_DEFAULT: Final = VIDEO_MODES[0x17A]


def preferred_mode(width: int, height: int, depth: int) -> VideoMode:
    """Return the mode that comes nearest to what a kernel would like, as a boot loader chooses it.

    That is the mode itself; or the one of this size with the most colours; or, if there is no such size or any will do,
    1280 x 800 with 32 bits, which GRUB takes on QEMU.

    Args:
        width: In pixels; 0: any.
        height: The same.
        depth: Bits of a pixel; 0: any.
    """
    fitting = [mode for mode in VIDEO_MODES.values() if (mode.width, mode.height) == (width, height)]
    exact = [mode for mode in fitting if mode.depth == depth]
    return max(exact or fitting or [_DEFAULT], key=lambda mode: mode.depth)


# -- colours ---------------------------------------------------------------------------------------

_GREYS = bytes.fromhex("00 05 08 0b 0e 11 14 18 1c 20 24 28 2d 32 38 3f")
_RAMPS = (  # from the darkest to the lightest part of a colour, for each brightness and saturation
    *((0, 16, 31, 47, 63), (31, 39, 47, 55, 63), (45, 49, 54, 58, 63)),
    *((0, 7, 14, 21, 28), (14, 17, 21, 24, 28), (20, 22, 24, 26, 28)),
    *((0, 4, 8, 12, 16), (8, 10, 12, 14, 16), (11, 12, 13, 15, 16)),
)


def palette_256() -> bytes:
    """Return red, green and blue of the colours that a BIOS sets for 8 bits a pixel, 6 bits each."""
    parts = bytearray()
    for number in (0, 1, 2, 3, 4, 5, 20, 7, *range(56, 64)):
        parts += bytes(
            0x2A * (number >> high & 1) + 0x15 * (number >> low & 1) for high, low in ((2, 5), (1, 4), (0, 3))
        )
    for grey in _GREYS:
        parts += bytes((grey,) * 3)
    for ramp in _RAMPS:
        for hue in range(24):
            parts += bytes(_part(ramp, hue, purest) for purest in (8, 16, 0))  # red, green, blue
    return bytes(parts).ljust(3 * 256, b"\0")


def _part(ramp: tuple[int, ...], hue: int, purest: int) -> int:
    """Return how much red, green or blue a hue (0 to 23) has: the less, the farther it is from the hue *purest*, which has no other."""
    distance = min((hue - purest) % 24, (purest - hue) % 24)
    return ramp[min(max(8 - distance, 0), 4)]
