"""VESA's BIOS extension for graphics: int 10h, AH=4F.

Source: VESA BIOS Extension Core Functions 3.0, section 4; what depends on the BIOS as SeaBIOS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.bios.pc import DataArea
from emulator.bios.video import modes
from emulator.boot_protocol.video_info import controller_info, mode_info
from emulator.devices import addresses
from emulator.devices.vga.modes import VIDEO_MODES

if TYPE_CHECKING:
    from emulator.bios.pc import Call

_DONE, _FAILED, _NO_SERVICE = 0x004F, 0x014F, 0x0100
_NOT_IN_THIS_MODE: Final = 0x03
_ENABLE, _BANK, _X, _Y = 4, 5, 8, 9  # registers of the display interface
_DAC_8_BITS: Final = 0x20
_NUMBER: Final = 0x1FF


def serve(call: Call) -> None:
    """Serve int 10h, AH=4F."""
    service = _SERVICES.get(call.al)
    if service is None or not call.pc.has_port(addresses.DISPLAY_INTERFACE[0]):
        call.lacks(ah=None, by="AX")
        call.ax = _NO_SERVICE
    else:
        service(call)


def _controller(call: Call) -> None:
    at = call.at("es", call.di)
    is_new = call.pc.read(at, 4) == b"VBE2"
    block = controller_info(at)
    call.pc.write(at, block if is_new else block[:256])
    call.ax = _DONE


def _mode(call: Call) -> None:
    mode = VIDEO_MODES.get(call.cx & _NUMBER)
    if mode is None:
        call.ax = _FAILED
        return
    call.pc.write(call.at("es", call.di), mode_info(mode))
    call.ax = _DONE


def _set_mode(call: Call) -> None:
    call.ax = _DONE if modes.set_vbe_mode(call.pc, call.bx & ~0xE00) else _FAILED


def _get_mode(call: Call) -> None:
    call.bx = DataArea(call.pc).get(modes.VBE_MODE, 2)
    call.ax = _DONE


def _bank(call: Call) -> None:
    if DataArea(call.pc).get(modes.VBE_MODE, 2) & modes.LINEAR:
        call.ah = _NOT_IN_THIS_MODE
        return
    if call.bl or call.bh > 1:
        call.ax = _NO_SERVICE
        return
    if call.bh:
        call.dx = modes.get_display(call.pc, _BANK)
    else:
        modes.set_display(call.pc, _BANK, call.dx)
    call.ax = _DONE


def _start(call: Call) -> None:
    pc = call.pc
    match call.bl:
        case 0x00 | 0x80:
            modes.set_display(pc, _X, call.cx)
            modes.set_display(pc, _Y, call.dx)
        case 0x01:
            call.bh = 0
            call.cx, call.dx = modes.get_display(pc, _X), modes.get_display(pc, _Y)
        case _:
            call.ax = _NO_SERVICE
            return
    call.ax = _DONE


def _dac(call: Call) -> None:
    """Set or tell how many bits a part of a colour has."""
    enable = modes.get_display(call.pc, _ENABLE)
    if call.bl == 0:
        enable = enable | _DAC_8_BITS if call.bh >= 8 else enable & ~_DAC_8_BITS  # noqa: PLR2004 - bits
        modes.set_display(call.pc, _ENABLE, enable | 0x80)
    elif call.bl != 1:
        call.ax = _NO_SERVICE
        return
    call.bh = 8 if enable & _DAC_8_BITS else 6
    call.ax = _DONE


_SERVICES: Final = {
    0x00: _controller,
    0x01: _mode,
    0x02: _set_mode,
    0x03: _get_mode,
    0x05: _bank,
    0x07: _start,
    0x08: _dac,
}
