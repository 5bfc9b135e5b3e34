"""The registers of a VGA besides the CRT controller: sequencer, graphics controller, attributes, palette, status.

They keep what is written, from what a PC's firmware leaves in text mode on, and say what the CPU finds at 0xA0000: RAM in text modes,
else the frame buffer, as it is or as planes. The status says when the beam returns, 70 times a second of virtual time.

Source: IBM VGA/XGA Technical Reference; what firmware leaves as on QEMU's `pc` with `-vga std`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices import addresses
from emulator.devices.device import FastPort, Planes, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.devices.device import VideoMemory

_ATTRIBUTE, _ATTRIBUTE_READ, _MISC_WRITE = 0x3C0, 0x3C1, 0x3C2
_SEQUENCER, _GRAPHICS = 0x3C4, 0x3CE
_MASK, _PALETTE_READ, _PALETTE_WRITE, _PALETTE = 0x3C6, 0x3C7, 0x3C8, 0x3C9
_MISC_READ, STATUS = 0x3CC, 0x3DA

_FRAME_NS: Final = 1_000_000_000 // 70
_RETRACE_NS: Final = _FRAME_NS // 20
_RETRACE: Final = 0x09  # the beam returns, nothing is displayed
_PALETTE_READING, _DISPLAYED = 0x03, 0x20

_SEQUENCER_START: Final = bytes.fromhex("03 00 03 00 02 00 00 00")
_GRAPHICS_START: Final = bytes.fromhex("00 00 00 00 00 10 0e 0f ff 00 00 00 00 00 00 00")
_ATTRIBUTES_START: Final = bytes.fromhex("00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f 0c 00 0f 08 00")
_COLOURS: Final = 256

# Bits of registers that can be written.
_SEQUENCER_BITS: Final = bytes.fromhex("03 3d 0f 3f 0e 00 00 ff")
_GRAPHICS_BITS: Final = bytes.fromhex("0f 0f 0f 1f 03 7b 0f 0f ff 00 00 00 00 00 00 00")

_MAP_MASK, _MEMORY_MODE = 2, 4  # registers of the sequencer
_CHAIN_4, _ALL_PLANES = 0x08, 0x0F
_SET, _SET_ENABLED, _COMPARE, _OPERATION, _READ_PLANE, _MODE, _MISCELLANEOUS, _CARE, _BIT_MASK = range(9)
"""Registers of the graphics controller."""
_ODD_EVEN, _COMPARES, _SHIFT, _SHIFT_256 = 0x10, 0x08, 0x60, 0x40  # of its mode
_WINDOW, _AT_A0000, _GRAPHICS_MODE = (
    0x0C,
    0x04,
    0x01,
)  # of its miscellaneous register; 0x0C is 0 for 128 KiB from there on


def _palette_at_start() -> bytes:
    """Return red, green and blue of the 64 colours of text mode, 6 bits each; the others are black."""
    parts = [
        0x2A * (number >> high & 1) + 0x15 * (number >> low & 1)
        for number in range(64)
        for high, low in ((2, 5), (1, 4), (0, 3))
    ]
    return bytes(parts).ljust(3 * _COLOURS, b"\0")


class Registers(NamedTuple):
    """What a picture of the screen depends on, besides the CRT controller.

    Attributes:
        sequencer: Its 8 registers.
        graphics: The 16 registers of the graphics controller.
        attributes: The 21 registers of the attribute controller.
        palette: Red, green and blue of 256 colours.
        dac_bits: How many bits each of them has, 6 or 8.
        is_on: Whether anything is displayed.
    """

    sequencer: bytes
    graphics: bytes
    attributes: bytes
    palette: bytes
    dac_bits: int
    is_on: bool


class _State(NamedTuple):
    """What snapshots keep."""

    sequencer: bytes = _SEQUENCER_START
    graphics: bytes = _GRAPHICS_START
    attributes: bytes = _ATTRIBUTES_START
    palette: bytes = _palette_at_start()
    misc: int = 0x67
    sequencer_index: int = 0
    graphics_index: int = 0
    attribute_index: int = _DISPLAYED
    attribute_data_next: bool = False  # the next byte at 0x3C0 is data
    palette_state: int = 0
    palette_read: int = 0  # of the next byte, in bytes
    palette_write: int = 0
    dac_bits: int = 6
    bank: int = 0
    is_linear: bool = False  # whatever the sequencer says


class VgaPorts:
    """These registers.

    Args:
        now_ns: The virtual clock.
        video: The frame buffer.

    Attributes:
        video: The same.
    """

    ports = addresses.VGA

    def __init__(self, now_ns: Callable[[], int], video: VideoMemory) -> None:
        self._now_ns, self.video = now_ns, video
        self._state = _State()

    @property
    def registers(self) -> Registers:
        """What a picture of the screen depends on."""
        state = self._state
        return Registers(
            state.sequencer,
            state.graphics,
            state.attributes,
            state.palette,
            state.dac_bits,
            bool(state.attribute_index & _DISPLAYED),
        )

    @property
    def shows_graphics(self) -> bool:
        """Whether it is in a graphics mode."""
        return bool(self._state.graphics[_MISCELLANEOUS] & _GRAPHICS_MODE)

    def set_bank(self, offset: int) -> None:
        """Let the window at 0xA0000 begin at an offset in the frame buffer, in bytes."""
        self._state = self._state._replace(bank=offset)
        self._show()

    def set_palette(self, colours: bytes) -> None:
        """Set red, green and blue of all 256 colours."""
        self._state = self._state._replace(palette=colours)

    def set_dac_bits(self, bits: int) -> None:
        """Let a part of a colour in the palette have 6 or 8 bits."""
        self._state = self._state._replace(dac_bits=bits)

    def set_graphics(self, *, planes: bool) -> None:
        """Go to a mode of the display interface, of planes or of bytes one after the other."""
        graphics = bytearray(self._state.graphics)
        graphics[_MISCELLANEOUS] = graphics[_MISCELLANEOUS] & ~_WINDOW | _AT_A0000 | _GRAPHICS_MODE
        graphics[_MODE] = graphics[_MODE] & ~_SHIFT | (0 if planes else _SHIFT_256)
        self._state = self._state._replace(graphics=bytes(graphics), is_linear=not planes)
        self._show()

    def end_graphics(self) -> None:
        """Leave it: the sequencer says again how the CPU gets at memory."""
        self._state = self._state._replace(is_linear=False)
        self._show()

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        write_bytes(self._write, port, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """The status is fast until it changes, unless a read of it changes what the next byte at 0x3C0 is."""
        if self._state.attribute_data_next:
            return {}
        now = self._now_ns()
        frame = now - now % _FRAME_NS
        returns = frame + _FRAME_NS - _RETRACE_NS
        until = returns if now < returns else frame + _FRAME_NS
        return {STATUS: FastPort(constant=self._status(now), until_ns=until)}

    def save(self) -> object:
        """Return all registers."""
        return self._state

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, _State):
            raise TypeError(f"not a state of VgaPorts: {state!r}")
        self._state = state  # the video memory has gone back by itself

    def _status(self, now_ns: int) -> int:
        return _RETRACE if now_ns % _FRAME_NS >= _FRAME_NS - _RETRACE_NS else 0

    def _read(self, port: int) -> int:
        state = self._state
        if port == STATUS:
            self._state = state._replace(attribute_data_next=False)
            return self._status(self._now_ns())
        if port == _PALETTE:
            at = state.palette_read
            self._state = state._replace(palette_read=(at + 1) % len(state.palette))
            return state.palette[at]
        attribute = state.attribute_index & 0x1F
        return {
            _ATTRIBUTE: 0 if state.attribute_data_next else state.attribute_index,
            _ATTRIBUTE_READ: state.attributes[attribute] if attribute < len(state.attributes) else 0,
            _SEQUENCER: state.sequencer_index,
            _SEQUENCER + 1: state.sequencer[state.sequencer_index],
            _PALETTE_READ: state.palette_state,
            _PALETTE_WRITE: state.palette_write // 3,
            _MISC_READ: state.misc,
            _GRAPHICS: state.graphics_index,
            _GRAPHICS + 1: state.graphics[state.graphics_index],
        }.get(port, 0)

    def _write(self, port: int, byte: int) -> None:
        state = self._state
        match port:
            case 0x3C0:
                self._write_attribute(byte)
            case 0x3C2:
                self._state = state._replace(misc=byte & ~0x10)
            case 0x3C4:
                self._state = state._replace(sequencer_index=byte & 7)
            case 0x3C5:
                byte &= _SEQUENCER_BITS[state.sequencer_index]
                self._state = state._replace(sequencer=_put(state.sequencer, state.sequencer_index, byte))
                self._show()
            case 0x3C7:
                self._state = state._replace(palette_read=3 * byte, palette_state=_PALETTE_READING)
            case 0x3C8:
                self._state = state._replace(palette_write=3 * byte, palette_state=0)
            case 0x3C9:
                at = state.palette_write
                palette = _put(state.palette, at, byte)
                self._state = state._replace(palette=palette, palette_write=(at + 1) % len(palette))
            case 0x3CE:
                self._state = state._replace(graphics_index=byte & 15)
            case 0x3CF:
                byte &= _GRAPHICS_BITS[state.graphics_index]
                self._state = state._replace(graphics=_put(state.graphics, state.graphics_index, byte))
                self._show()
            case _:
                pass

    def _show(self) -> None:
        """Let the CPU find at 0xA0000 what the registers say."""
        sequencer, graphics, bank = self._state.sequencer, self._state.graphics, self._state.bank
        chain4 = bool(sequencer[_MEMORY_MODE] & _CHAIN_4)
        if graphics[_MISCELLANEOUS] & _WINDOW not in {0, _AT_A0000}:
            self.video.show_ram()
        elif self._state.is_linear or (chain4 and sequencer[_MAP_MASK] == _ALL_PLANES):
            self.video.show_part(bank)
        else:
            self.video.show_planes(_planes(sequencer, graphics), bank)

    def _write_attribute(self, byte: int) -> None:
        """Take index and data in turn."""
        state = self._state
        index = state.attribute_index & 0x1F
        if not state.attribute_data_next:
            state = state._replace(attribute_index=byte & 0x3F)
        elif index < len(state.attributes):
            state = state._replace(attributes=_put(state.attributes, index, byte))
        self._state = state._replace(attribute_data_next=not state.attribute_data_next)


def _planes(sequencer: bytes, graphics: bytes) -> Planes:
    return Planes(
        chain4=bool(sequencer[_MEMORY_MODE] & _CHAIN_4),
        odd_even=bool(graphics[_MODE] & _ODD_EVEN),
        map_mask=sequencer[_MAP_MASK],
        set_value=graphics[_SET],
        set_enabled=graphics[_SET_ENABLED],
        compare=graphics[_COMPARE],
        care=graphics[_CARE],
        compares=bool(graphics[_MODE] & _COMPARES),
        operation=graphics[_OPERATION] >> 3,
        rotate=graphics[_OPERATION] & 7,
        read_plane=graphics[_READ_PLANE],
        write_mode=graphics[_MODE] & 3,
        bit_mask=graphics[_BIT_MASK],
    )


def _put(registers: bytes, at: int, byte: int) -> bytes:
    return registers[:at] + bytes((byte,)) + registers[at + 1 :]
