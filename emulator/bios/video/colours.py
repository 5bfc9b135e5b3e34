"""Colours of the graphics adapter: int 10h, AH=10.

Source: Ralf Brown's list, file INTERRUP.LST; what depends on the BIOS as SeaBIOS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emulator.bios.pc import Call, Pc

_ATTRIBUTE, _ATTRIBUTE_READ, _STATUS = 0x3C0, 0x3C1, 0x3DA
_MASK, _PALETTE_READ, _PALETTE_WRITE, _PALETTE = 0x3C6, 0x3C7, 0x3C8, 0x3C9
_DISPLAYED: Final = 0x20
_BORDER: Final = 0x11


def serve(call: Call) -> None:
    """Serve int 10h, AH=10."""
    if call.al < 0x10:  # noqa: PLR2004 - those of the palette's 256 colours
        _attributes(call)
    else:
        _many_colours(call)


def _attribute(pc: Pc, register: int, value: int | None = None) -> int:
    """Return an attribute register, or set it first."""
    pc.read_port(_STATUS)  # from now on an index comes first
    pc.write_port(_ATTRIBUTE, register)
    if value is not None:
        pc.write_port(_ATTRIBUTE, value)
    value = pc.read_port(_ATTRIBUTE_READ)
    pc.read_port(_STATUS)
    pc.write_port(_ATTRIBUTE, _DISPLAYED)
    pc.read_port(_STATUS)
    return value


def set_colours(pc: Pc, first: int, parts: bytes) -> None:
    """Set colours from one on: red, green and blue of each, 6 bits or 8."""
    pc.write_port(_PALETTE_WRITE, first & 0xFF)
    for part in parts:
        pc.write_port(_PALETTE, part)


def _colours_read(pc: Pc, first: int, count: int) -> bytes:
    pc.write_port(_PALETTE_READ, first & 0xFF)
    return bytes(pc.read_port(_PALETTE) for _ in range(3 * count))


def _attributes(call: Call) -> None:
    pc = call.pc
    match call.al:
        case 0x00:
            _attribute(pc, call.bl & 0x1F, call.bh)
        case 0x01:
            _attribute(pc, _BORDER, call.bh)
        case 0x02:
            for register, value in enumerate(pc.read(call.at("es", call.dx), 17)):
                _attribute(pc, register, value)
        case 0x03:
            mode = _attribute(pc, 0x10) & ~0x08
            _attribute(pc, 0x10, mode | (call.bl & 1) << 3)
        case 0x07:
            call.bh = _attribute(pc, call.bl & 0x1F)
        case 0x08:
            call.bh = _attribute(pc, _BORDER)
        case 0x09:
            pc.write(call.at("es", call.dx), bytes(_attribute(pc, register) for register in range(17)))
        case _:
            call.lacks(ah=None, by="AX")


def _many_colours(call: Call) -> None:
    pc = call.pc
    match call.al:
        case 0x10:
            set_colours(pc, call.bl, bytes((call.dh, call.ch, call.cl)))
        case 0x12:
            set_colours(pc, call.bl, pc.read(call.at("es", call.dx), 3 * call.cx))
        case 0x15:
            call.dh, call.ch, call.cl = _colours_read(pc, call.bl, 1)
        case 0x17:
            pc.write(call.at("es", call.dx), _colours_read(pc, call.bl, call.cx))
        case 0x18:
            pc.write_port(_MASK, call.bl)
        case 0x19:
            call.bl = pc.read_port(_MASK)
        case _:
            call.lacks(ah=None, by="AX")
