"""Modes of the graphics adapter: what its registers hold in each.

Source: IBM VGA Technical Reference, "BIOS tables"; values as SeaBIOS sets them on QEMU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.bios import video
from emulator.bios.pc import DataArea

if TYPE_CHECKING:
    from emulator.bios.pc import Pc

_TEXT: Final = 0xB8000
_TEXT_SIZE: Final = 0x8000
_USUAL_SHAPE: Final = 0x0607


class Mode(NamedTuple):
    """A mode."""

    columns: int
    page_size: int


_MODES: Final = {3: Mode(80, 0x1000)}


def set_mode(pc: Pc, number: int, *, clears: bool) -> bool:
    """Set a mode of the adapter, and what the data area says of it.

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
    if clears:
        pc.write(_TEXT, b"\x20\x07" * (_TEXT_SIZE // 2))
    data = DataArea(pc)
    data.put(0x49, number)
    data.put(video.COLUMNS, mode.columns, 2)
    data.put(video.PAGE_SIZE, mode.page_size, 2)
    data.put(video.CONTROL, 0x60 if clears else 0xE0)
    pc.write(0x450, bytes(16))
    data.put(video.CURSOR_SHAPE, _USUAL_SHAPE, 2)
    video.show_shape(pc)
    video.select_page(pc, 0)
    return True
