"""What the screen shows, as a picture: text and graphics, from registers and memory of the adapter.

Pixels are those that QEMU shows, but for the shapes of characters, where the guest has loaded none, and a cursor that does not blink.

Source: IBM VGA/XGA Technical Reference.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.devices.addresses import TEXT_MEMORY
from emulator.devices.vga.font import GLYPH_ROWS, glyphs
from emulator.devices.vga.text import display_lines

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from emulator.devices.vga.dispi import Mode
    from emulator.devices.vga.ports import Registers

    Array = NDArray[Any]

# Registers of the CRT controller.
_COLUMNS, _OVERFLOW, _MAX_SCAN, _CURSOR_START, _CURSOR_END = 0x01, 0x07, 0x09, 0x0A, 0x0B
_START, _CURSOR, _OFFSET, _MODE, _COMPARE = 0x0C, 0x0E, 0x13, 0x17, 0x18
_DOUBLE_SCAN, _NO_CURSOR = 0x80, 0x20
# Of the others.
_CLOCKING, _FONTS, _SHIFT, _MISCELLANEOUS = 1, 3, 5, 6
_8_DOTS, _HALF_CLOCK, _GRAPHICS, _TEXT_WINDOW = 0x01, 0x08, 0x01, 0x08
_ATTRIBUTE_MODE, _PLANE_ENABLE, _COLOUR_SELECT = 0x10, 0x12, 0x14
_LINE_GRAPHICS, _FOUR_BITS = 0x04, 0x80
_CELLS = (TEXT_MEMORY[1] - TEXT_MEMORY[0]) // 2


class Screenshot(NamedTuple):
    """A picture of the screen.

    Attributes:
        width: In pixels.
        height: The same.
        pixels: Red, green and blue of each, line by line.
    """

    width: int
    height: int
    pixels: bytes

    def png(self) -> bytes:
        """Return it as a PNG file."""
        from PIL import Image

        file = BytesIO()
        Image.frombytes("RGB", (self.width, self.height), self.pixels).save(file, format="PNG")
        return file.getvalue()


class Adapter(NamedTuple):
    """What a picture is made of.

    Attributes:
        vga: Registers of the VGA.
        crtc: Those of its CRT controller.
        mode: The mode of the display interface; None: the VGA's.
        memory: The frame buffer; empty: nobody has used it.
        text: `TEXT_MEMORY`.
    """

    vga: Registers
    crtc: bytes
    mode: Mode | None
    memory: memoryview
    text: memoryview

    def screenshot(self) -> Screenshot:
        """Return what the screen shows."""
        if self.mode is not None and self.mode.depth > 4:  # noqa: PLR2004 - bits of a pixel
            colours = _packed(self, self.mode)
        elif self.mode is not None or self.vga.graphics[_MISCELLANEOUS] & _GRAPHICS:
            colours = _graphics(self)
        else:
            colours = _text(self)
        if not self.vga.is_on:
            colours[:] = 0
        height, width, _ = colours.shape
        return Screenshot(width, height, colours.tobytes())


# -- modes of the display interface ----------------------------------------------------------------


def _packed(adapter: Adapter, mode: Mode) -> Array:
    """Return red, green and blue of pixels that follow each other in memory."""
    size = -(-mode.depth // 8)
    at = mode.start + mode.pitch * np.arange(mode.height)[:, None] + np.arange(mode.width * size)
    rows: Array = _memory(adapter)[at % len(adapter.memory)]
    if mode.depth == 8:  # noqa: PLR2004 - bits of a pixel
        indexed: Array = _palette(adapter.vga)[rows]
        return indexed
    pixels = rows.reshape(mode.height, mode.width, size)
    if size > 2:  # noqa: PLR2004 - bytes
        return np.ascontiguousarray(pixels[:, :, 2::-1])
    words = pixels[:, :, 0].astype(np.int64) | pixels[:, :, 1].astype(np.int64) << 8
    if mode.depth == 15:  # noqa: PLR2004
        parts = (words >> 7 & 0xF8, words >> 2 & 0xF8, words << 3 & 0xF8)
    else:
        parts = (_widened(words >> 11, 5), _widened(words >> 5, 6), _widened(words, 5))
    return np.stack(parts, axis=2).astype(np.uint8)


def _widened(part: Array, bits: int) -> Array:
    """Return a part of a colour with 8 bits, of which the lower ones repeat the upper ones, as QEMU does with this depth only."""
    part &= (1 << bits) - 1
    return part << 8 - bits | part >> 2 * bits - 8


def _palette(vga: Registers) -> Array:
    """Return red, green and blue of the 256 colours."""
    parts = np.frombuffer(vga.palette, np.uint8).reshape(256, 3)
    if vga.dac_bits == 8:  # noqa: PLR2004
        return parts
    return (parts << 2) | (parts & 1) * 3


def _colours(vga: Registers) -> Array:
    """Return red, green and blue of the 16 colours that attributes choose."""
    chosen = np.frombuffer(vga.attributes[:16], np.uint8).astype(np.int64)
    select = vga.attributes[_COLOUR_SELECT]
    if vga.attributes[_ATTRIBUTE_MODE] & _FOUR_BITS:
        chosen = (select & 0x0F) << 4 | chosen & 0x0F
    else:
        chosen = (select & 0x0C) << 4 | chosen & 0x3F
    return _palette(vga)[chosen]


# -- graphics of a VGA -----------------------------------------------------------------------------


def _graphics(adapter: Adapter) -> Array:
    """Return the pixels of planes, of a CGA's pairs of bits, or of bytes that are shown twice as wide."""
    vga, crtc, mode = adapter.vga, adapter.crtc, adapter.mode
    width = (crtc[_COLUMNS] + 1) * 8 if mode is None else mode.width
    height = display_lines(crtc) if mode is None else mode.height
    starts = _line_starts(adapter, height)
    memory = _memory(adapter)
    words = memory[(starts[:, None] + np.arange(width // 2)) % len(memory)].reshape(height, width // 8, 4)
    shift = vga.graphics[_SHIFT] >> 5 & 3
    if shift > 1:
        return np.repeat(_palette(vga)[words.reshape(height, width // 2)], 2, axis=1)
    enabled = np.array([0xFF if vga.attributes[_PLANE_ENABLE] >> plane & 1 else 0 for plane in range(4)])
    words &= enabled.astype(np.uint8)
    pixels = _pairs(words) if shift else _planes(words)
    if vga.sequencer[_CLOCKING] & _HALF_CLOCK:
        pixels = np.repeat(pixels, 2, axis=1)
    return _colours(vga)[pixels]


def _planes(words: Array) -> Array:
    """Return the colours of 8 pixels from each word, a bit from each byte."""
    bits = np.unpackbits(words[:, :, :, None], axis=3)
    colours = bits[:, :, 0] | bits[:, :, 1] << 1 | bits[:, :, 2] << 2 | bits[:, :, 3] << 3
    return colours.reshape(len(words), -1)


def _pairs(words: Array) -> Array:
    """Return the colours of 8 pixels from each word: 4 from bytes 0 and 2, then 4 from bytes 1 and 3, two bits from each."""
    shifts = np.array([6, 4, 2, 0], np.uint8)
    pairs = words[:, :, :, None] >> shifts & 3
    colours = np.concatenate(
        [pairs[:, :, 0] | pairs[:, :, 2] << 2, pairs[:, :, 1] | pairs[:, :, 3] << 2], axis=2
    )
    return colours.reshape(len(words), -1)


def _line_starts(adapter: Adapter, height: int) -> Array:
    """Return where each line on the screen begins in memory, in bytes."""
    crtc, mode = adapter.crtc, adapter.mode
    scan, step = crtc[_MAX_SCAN], crtc[_OFFSET] << 3
    is_double, is_cga = bool(scan & _DOUBLE_SCAN), adapter.vga.graphics[_SHIFT] >> 5 & 3 == 1
    times = (1 if is_cga else (scan & 0x1F) + 1) << is_double
    at = (crtc[_START] << 8 | crtc[_START + 1]) * 4
    compare = crtc[_COMPARE] | (crtc[_OVERFLOW] & 0x10) << 4 | (scan & 0x40) << 3
    if mode is not None:
        times, step, at, compare = 1, mode.pitch, mode.start, height
    starts, row, repeated, same = [], 0, 0, crtc[_MODE] & 3 ^ 3
    for line in range(height):
        starts.append(_cga_start(crtc[_MODE], at, row))
        repeated += 1
        if repeated == times:
            repeated = 0
            at += step if row & same == same else 0
            row += 1
        if line == compare:
            at = 0
    return np.array(starts)


def _cga_start(mode: int, at: int, row: int) -> int:
    """Return where a row begins, some of whose address bits may be those of the row's number."""
    if not mode & 1:
        bit = 14 + (mode >> 6 & 1)
        at = at & ~(1 << bit) | (row & 1) << bit
    if not mode & 2:
        at = at & ~0x8000 | (row & 2) << 14
    return at


def _memory(adapter: Adapter) -> Array:
    """Return the frame buffer, as it would be if what lies where text does were part of it."""
    if adapter.mode is None and adapter.vga.graphics[_MISCELLANEOUS] & _TEXT_WINDOW:
        pairs = np.frombuffer(adapter.text, np.uint8).reshape(-1, 2)
        return np.pad(pairs, ((0, 0), (0, 2))).reshape(-1)
    return np.frombuffer(adapter.memory or bytes(1 << 18), np.uint8)


# -- text ------------------------------------------------------------------------------------------


def _text(adapter: Adapter) -> Array:
    """Return the pixels of characters, each with its colours, and of the cursor."""
    vga, crtc = adapter.vga, adapter.crtc
    rows_of_cell = (crtc[_MAX_SCAN] & 0x1F) + 1
    columns, rows = crtc[_COLUMNS] + 1, max(display_lines(crtc) // rows_of_cell, 1)
    start = crtc[_START] << 8 | crtc[_START + 1]
    at = (start + crtc[_OFFSET] * 2 * np.arange(rows)[:, None] + np.arange(columns)) % _CELLS
    cells = np.frombuffer(adapter.text, np.uint8).reshape(_CELLS, 2)[at]
    codes, attributes = cells[:, :, 0], cells[:, :, 1]
    shapes = _shapes(adapter, codes, attributes, rows_of_cell)
    cursor = at == (crtc[_CURSOR] << 8 | crtc[_CURSOR + 1])
    if not crtc[_CURSOR_START] & _NO_CURSOR:
        first, last = crtc[_CURSOR_START] & 0x1F, crtc[_CURSOR_END] & 0x1F
        shapes[cursor, first : last + 1] = 1
    colours = _colours(vga)
    lit, unlit = colours[attributes & 0x0F], colours[attributes >> 4]
    pixels = np.where(shapes[..., None] == 1, lit[:, :, None, None], unlit[:, :, None, None])
    height, width = rows * rows_of_cell, columns * shapes.shape[3]
    return np.ascontiguousarray(pixels.transpose(0, 2, 1, 3, 4)).reshape(height, width, 3)


def _shapes(adapter: Adapter, codes: Array, attributes: Array, height: int) -> Array:
    """Return the pixels of the characters, 0 or 1: row, column, line, dot."""
    vga = adapter.vga
    fonts = vga.sequencer[_FONTS]
    second, first = (fonts >> 4 & 1 | fonts << 1 & 6, fonts >> 5 & 1 | fonts >> 1 & 6)
    bits = _glyphs(adapter, second, height)[codes]
    if first != second:
        bits = np.where((attributes & 8)[:, :, None] == 8, _glyphs(adapter, first, height)[codes], bits)  # noqa: PLR2004
    shapes = np.unpackbits(bits[..., None], axis=3)
    if vga.sequencer[_CLOCKING] & _HALF_CLOCK:
        return np.repeat(shapes, 2, axis=3)
    if vga.sequencer[_CLOCKING] & _8_DOTS:
        return shapes
    joins = (codes >= 0xB0) & (codes <= 0xDF) & bool(vga.attributes[_ATTRIBUTE_MODE] & _LINE_GRAPHICS)  # noqa: PLR2004
    ninth = shapes[..., 7:] * joins[:, :, None, None]
    return np.concatenate([shapes, ninth], axis=3)


def _glyphs(adapter: Adapter, number: int, height: int) -> Array:
    """Return the lines of the 256 characters of a font: the guest's, in plane 2, if it has loaded one there."""
    memory = np.frombuffer(adapter.memory or b"", np.uint8)
    start = number * 256 * GLYPH_ROWS
    loaded = memory[4 * start + 2 : 4 * (start + 256 * GLYPH_ROWS) : 4].reshape(-1, GLYPH_ROWS)
    font = loaded if loaded.any() else glyphs(height)
    return font[:, :height]
