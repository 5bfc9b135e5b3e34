"""The characters of text: int 10h, AH 11h.

The BIOS has no font in its ROM, so that none can be pointed at, nor be found in the adapter's memory. A picture of the screen has characters
that fit their height (`emulator.devices.vga.font`), unless the kernel has loaded others itself.

Source: Ralf Brown's list, file INTERRUP.LST; what depends on the BIOS as SeaBIOS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.bios.pc import DataArea
from emulator.bios.video import text
from emulator.devices.addresses import CRTC
from emulator.devices.vga.text import display_lines

if TYPE_CHECKING:
    from emulator.bios.pc import Call, Pc

_CHOOSE, _INFORMATION = 0x03, 0x30
_HEIGHTS: Final = {0x11: 14, 0x12: 8, 0x14: 16}  # of the BIOS's fonts, by service
_SMALL: Final = 8
_SEQUENCER, _CRTC = 0x3C4, CRTC[0]
_WHICH_FONTS: Final = 3  # register of the sequencer
_CRTC_REGISTERS: Final = range(25)
_MAX_SCAN: Final = 0x09
_PAGE_UNIT: Final = 0x800


def serve(call: Call) -> None:
    """Serve int 10h, AH 11h."""
    pc, data = call.pc, DataArea(call.pc)
    if call.al == _INFORMATION:
        call.cx, call.dl = data.get(text.HEIGHT), data.get(text.ROWS)
        pc.lacks("int 0x10, AX=1130, a font")
    elif call.al == _CHOOSE:
        text.put_register(pc, _SEQUENCER, _WHICH_FONTS, call.bl)
    elif call.al in _HEIGHTS and text.is_text(data):
        _show(pc, _HEIGHTS[call.al])
    else:
        call.lacks(ah=None, by="AX")


def _show(pc: Pc, height: int) -> None:
    """Give the rows of the screen the height of a font, and draw the cursor at their bottom."""
    data = DataArea(pc)
    scan_lines = _crtc(pc, _MAX_SCAN) & 0xE0 | height - 1
    text.put_register(pc, _CRTC, _MAX_SCAN, scan_lines)
    data.put(text.HEIGHT, height, 2)
    bottom = height - 1 if height == _SMALL else height - 2
    data.put(text.CURSOR_SHAPE, bottom - 1 << 8 | bottom, 2)
    text.show_shape(pc)
    rows = display_lines(bytes(_crtc(pc, register) for register in _CRTC_REGISTERS)) // height
    data.put(text.ROWS, rows - 1)
    size = 2 * data.get(text.COLUMNS, 2) * rows
    data.put(text.PAGE_SIZE, -(-size // _PAGE_UNIT) * _PAGE_UNIT, 2)


def _crtc(pc: Pc, register: int) -> int:
    pc.write_port(_CRTC, register)
    return pc.read_port(_CRTC + 1)
