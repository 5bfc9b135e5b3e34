"""Modes of the graphics adapter: what its registers hold in each, and what the data area says of it.

Modes of VGA are set through its registers, those of VBE through the display interface of QEMU's adapter.

Source: IBM VGA Technical Reference, "BIOS tables"; values as SeaBIOS sets them on QEMU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.bios.pc import DataArea
from emulator.bios.video import text
from emulator.bios.video.colours import set_colours
from emulator.devices import addresses
from emulator.devices.vga.modes import VIDEO_MODES, palette_256

if TYPE_CHECKING:
    from emulator.bios.pc import Pc
    from emulator.devices.vga.modes import VideoMode

LINEAR, KEEPS_MEMORY = 0x4000, 0x8000
"""Bits of a VBE mode: with a linear frame buffer; the screen is not cleared."""
VBE_MODE: Final = 0xBA
"""Where the data area has the mode of VBE."""

_TEXT: Final = addresses.TEXT_MEMORY[0]
_TEXT_SIZE: Final = 0x8000
_USUAL_SHAPE: Final = 0x0607
_MODE: Final = 0x49
_SEQUENCER, _MISC, _CRTC, _GRAPHICS, _ATTRIBUTE, _STATUS = 0x3C4, 0x3C2, 0x3D4, 0x3CE, 0x3C0, 0x3DA
_DISPLAYED: Final = 0x20
_MASK: Final = 0x3C6
_PROTECTION, _UNPROTECTED = 0x11, 0x7F
_INDEX, _DATA, _ = addresses.DISPLAY_INTERFACE
_WIDTH, _HEIGHT, _DEPTH, _ENABLE, _BANK = 1, 2, 3, 4, 5  # registers of the display interface
_ON, _LINEAR, _KEEP = 0x01, 0x40, 0x80
_ANY_GRAPHICS: Final = (640, 480, 8)


class Mode(NamedTuple):
    """A mode of a VGA.

    Attributes:
        columns: Characters in a line.
        rows: Lines of text.
        height: Lines of a character.
        page_size: Bytes of a page.
        misc: Miscellaneous output register.
        sequencer: Its registers from 1 on.
        crtc: Those of the CRT controller.
        graphics: Those of the graphics controller.
        attributes: Those of the attribute controller.
        is_256: Whether it has 256 colours; else it has those of text.
    """

    columns: int
    rows: int
    height: int
    page_size: int
    misc: int
    sequencer: bytes
    crtc: bytes
    graphics: bytes
    attributes: bytes
    is_256: bool = False


_MODES: Final = {
    0x03: Mode(
        80, 25, 16, 0x1000, 0x67,
        bytes.fromhex("00 03 00 02"),
        bytes.fromhex("5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff"),
        bytes.fromhex("00 00 00 00 00 10 0e 0f ff"),
        bytes.fromhex("00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f 0c 00 0f 08"),
    ),
    0x12: Mode(
        80, 30, 16, 0xA000, 0xE3,
        bytes.fromhex("01 0f 00 06"),
        bytes.fromhex("5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 ea 8c df 28 00 e7 04 e3 ff"),
        bytes.fromhex("00 00 00 00 00 00 05 0f ff"),
        bytes.fromhex("00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f 01 00 0f 00"),
    ),
    0x13: Mode(
        40, 25, 8, 0x2000, 0x63,
        bytes.fromhex("01 0f 00 0e"),
        bytes.fromhex("5f 4f 50 82 54 80 bf 1f 00 41 00 00 00 00 00 00 9c 8e 8f 28 40 96 b9 a3 ff"),
        bytes.fromhex("00 00 00 00 00 40 05 0f ff"),
        bytes.fromhex("00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 41 00 0f 00"),
        is_256=True,
    ),
}  # fmt: skip


def set_mode(pc: Pc, number: int, *, clears: bool) -> bool:
    """Set a mode of a VGA.

    Args:
        pc: Whose.
        number: 0 to 0x7F.
        clears: Whether the screen becomes blank.

    Returns:
        Whether there is such a mode; else nothing is changed.
    """
    mode = _MODES.get(number)
    if mode is None:
        return False
    is_text = number in text.TEXT_MODES
    if pc.has_port(_INDEX):
        set_display(pc, _ENABLE, 0)
        if clears or is_text:
            _clear(pc)
    _set_registers(pc, mode)
    _set_colours(pc, palette_256() if mode.is_256 else _text_colours())
    if clears and is_text:
        pc.write(_TEXT, b"\x20\x07" * (_TEXT_SIZE // 2))
    _note(pc, number, mode.columns, mode.rows, mode.height, mode.page_size, clears=clears)
    text.select_page(pc, 0)
    return True


def set_vbe_mode(pc: Pc, number: int) -> bool:
    """Set a mode of VBE, or of VGA by its number.

    Args:
        pc: Whose.
        number: With bits `LINEAR` and `KEEPS_MEMORY`.

    Returns:
        Whether there is such a mode; else nothing is changed.
    """
    clears = not number & KEEPS_MEMORY
    mode = VIDEO_MODES.get(number & 0x1FF)
    if mode is None:
        is_set = set_mode(pc, number & 0x1FF, clears=clears)
    else:
        _set_vbe(pc, mode, number, clears=clears)
        is_set = True
    if is_set:
        DataArea(pc).put(VBE_MODE, number & ~KEEPS_MEMORY & 0xFFFF, 2)
    return is_set


def _set_vbe(pc: Pc, mode: VideoMode, number: int, *, clears: bool) -> None:
    enable = _ON | (_LINEAR if number & LINEAR else 0) | (0 if clears else _KEEP)
    display(pc, mode.width, mode.height, mode.depth, enable)
    if mode.depth == 8:  # noqa: PLR2004 - bits, which are numbers of colours
        _set_colours(pc, palette_256())
    _note(pc, 0xFF, mode.width // 8, mode.height // 16, 16, 0x1000, clears=clears)


def display(pc: Pc, width: int, height: int, depth: int, enable: int) -> None:
    """Set a mode of the display interface."""
    set_display(pc, _ENABLE, 0)
    for register, value in (
        (_WIDTH, width),
        (_HEIGHT, height),
        (_DEPTH, depth),
        (_ENABLE, enable),
        (_BANK, 0),
    ):
        set_display(pc, register, value)


def _clear(pc: Pc) -> None:
    """Clear the adapter's memory, in which fonts of text are, too, and nothing else.

    Setting a mode of the display interface does that; it is set for a moment.
    """
    sizes = [get_display(pc, register) for register in (_WIDTH, _HEIGHT, _DEPTH)]
    display(pc, *_ANY_GRAPHICS, _ON)
    set_display(pc, _ENABLE, 0)
    for register, value in zip((_WIDTH, _HEIGHT, _DEPTH), sizes, strict=True):
        set_display(pc, register, value)


def set_display(pc: Pc, register: int, value: int) -> None:
    """Write a register of the display interface."""
    pc.write_port(_INDEX, register, 2)
    pc.write_port(_DATA, value, 2)


def get_display(pc: Pc, register: int) -> int:
    """Return a register of the display interface."""
    pc.write_port(_INDEX, register, 2)
    return pc.read_port(_DATA, 2)


def _set_registers(pc: Pc, mode: Mode) -> None:
    pc.write_port(_MISC, mode.misc)
    for index, value in enumerate(mode.sequencer, 1):
        text.put_register(pc, _SEQUENCER, index, value)
    text.put_register(pc, _CRTC, _PROTECTION, mode.crtc[_PROTECTION] & _UNPROTECTED)
    for index, value in enumerate(mode.crtc):
        text.put_register(pc, _CRTC, index, value)
    for index, value in enumerate(mode.graphics):
        text.put_register(pc, _GRAPHICS, index, value)
    pc.read_port(_STATUS)  # from now on an index comes first
    for index, value in enumerate(mode.attributes):
        pc.write_port(_ATTRIBUTE, index)
        pc.write_port(_ATTRIBUTE, value)
    pc.write_port(_ATTRIBUTE, _DISPLAYED)


def _text_colours() -> bytes:
    """Return the 64 colours of text."""
    return bytes(
        0x2A * (number >> high & 1) + 0x15 * (number >> low & 1)
        for number in range(64)
        for high, low in ((2, 5), (1, 4), (0, 3))
    ).ljust(3 * 256, b"\0")


def _set_colours(pc: Pc, parts: bytes) -> None:
    pc.write_port(_MASK, 0xFF)
    set_colours(pc, 0, parts)


def _note(pc: Pc, number: int, columns: int, rows: int, height: int, page_size: int, *, clears: bool) -> None:  # noqa: PLR0913 - of a mode
    """Say in the data area which mode is set."""
    data = DataArea(pc)
    data.put(_MODE, number)
    data.put(text.COLUMNS, columns, 2)
    data.put(text.PAGE_SIZE, page_size, 2)
    data.put(text.ROWS, rows - 1)
    data.put(text.HEIGHT, height, 2)
    data.put(text.CONTROL, 0x60 if clears else 0xE0)
    data.put(text.SWITCHES, 0xF9)
    data.put(VBE_MODE, number, 2)
    pc.write(DataArea.START + text.CURSORS, bytes(16))
    data.put(text.CURSOR_SHAPE, _USUAL_SHAPE if number in text.TEXT_MODES else 0, 2)
    data.put(text.PAGE_START, 0, 2)
    data.put(text.PAGE, 0)
