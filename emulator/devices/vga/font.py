"""The shapes of characters where a guest has loaded none: those of UNSCII, which are in the public domain.

They are of code page 437, as those of a PC's BIOS.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from emulator.devices.vga.text import characters

if TYPE_CHECKING:
    from numpy.typing import NDArray

GLYPH_ROWS = 32
"""Lines of a character in memory, most of which are unused."""

_LOW = 8  # lines; screens with 50 rows have such characters
_STAND_INS = {"♂": "o", "♀": "o", "☼": "*", "↕": "↨", "⌂": "^", "∙": "·"}
_FLIPPED = {"↓": "↑"}  # from top to bottom
_MIRRORED = {"⌐": "¬"}


@cache
def glyphs(height: int) -> NDArray[np.uint8]:
    """Return the 256 characters, of 32 lines each, in which each bit is a dot.

    Args:
        height: Lines that are shown: characters of 8 or of 16 lines fit best.
    """
    if height > _LOW:
        from unscii.raw_unscii.unscii_16 import unscii_16_bytes as font
    else:
        from unscii.raw_unscii.unscii_8 import unscii_8_bytes as font
    shapes = np.zeros((256, GLYPH_ROWS), np.uint8)
    for code, character in enumerate(characters()):
        rows = font.get(ord(character))
        if character in _FLIPPED and rows is None:
            rows = font[ord(_FLIPPED[character])][::-1]
        elif character in _MIRRORED and rows is None:
            rows = [_mirrored(row) for row in font[ord(_MIRRORED[character])]]
        elif rows is None:
            rows = font[ord(_STAND_INS.get(character, "?"))]
        shapes[code, : len(rows)] = rows
    return shapes


def _mirrored(row: int) -> int:
    return int(f"{row:08b}"[::-1], 2)
