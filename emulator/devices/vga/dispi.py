"""The display interface of Bochs and QEMU: graphics modes with a linear frame buffer, set through an index and a data port.

The registers are in memory, too, with those of the VGA before them. What is set reaches the VGA's registers as in QEMU.

Source: QEMU, docs/specs/standard-vga.rst; the ranges of the registers are those of QEMU 7.2.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices import addresses
from emulator.devices.device import write_bytes
from emulator.devices.vga.modes import palette_256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.devices.device import Device, FastPort
    from emulator.devices.vga.ports import VgaPorts
    from emulator.devices.vga.text import VgaText

_INDEX = addresses.DISPLAY_INTERFACE[0]
_REGISTER_SIZE = 2  # bytes; the only size of an access
_BANK_SIZE: Final = 1 << 16
_IDENTITIES: Final = range(0xB0C0, 0xB0C6)
_LARGEST = (16000, 12000, 32)  # width, height, depth
_VGA_REGISTERS, _DISPI_REGISTERS, _EXTENSION = 0x400, 0x500, 0x600
_NOBODY = 0xFF
_LITTLE_ENDIAN: Final = (8).to_bytes(4, "little") + (0x1E1E1E1E).to_bytes(4, "little")
"""Size of the extension registers, and the byte order of pixels."""


class Register(IntEnum):
    """What the index selects."""

    ID = 0
    WIDTH = 1
    HEIGHT = 2
    DEPTH = 3
    ENABLE = 4
    BANK = 5
    VIRTUAL_WIDTH = 6
    VIRTUAL_HEIGHT = 7
    X_OFFSET = 8
    Y_OFFSET = 9
    MEMORY = 10


_SIZES = (
    Register.WIDTH,
    Register.HEIGHT,
    Register.DEPTH,
    Register.VIRTUAL_WIDTH,
    Register.X_OFFSET,
    Register.Y_OFFSET,
)


class Enable:
    """Bits of the register `ENABLE`."""

    ON: Final = 0x01
    LARGEST: Final = 0x02  # sizes and depth read as the largest there are
    DAC_8_BITS: Final = 0x20
    LINEAR: Final = 0x40
    KEEP_MEMORY: Final = 0x80


class Mode(NamedTuple):
    """A graphics mode that is set.

    Attributes:
        width: In pixels.
        height: The same.
        depth: Bits of a pixel: 4, 8, 15, 16, 24 or 32.
        pitch: Bytes from one line to the next.
        start: Where the first line begins in the frame buffer, in bytes.
    """

    width: int
    height: int
    depth: int
    pitch: int
    start: int


class Dispi:
    """The registers.

    Args:
        vga: Gets the bank, and what a mode means to it.
        crtc: The same.
        changed: See `emulator.devices.board.Wires`; called with this device and the other two.
    """

    ports = addresses.DISPLAY_INTERFACE

    def __init__(self, vga: VgaPorts, crtc: VgaText, changed: Callable[[Device], None]) -> None:
        self._vga, self._crtc, self._video = vga, crtc, vga.video
        self._changed = changed
        self._index = 0
        self._registers = [_IDENTITIES[-1], *[0] * (Register.MEMORY - 1)]
        self._start = 0

    @property
    def mode(self) -> Mode | None:
        """The mode that is set; None: the VGA's registers say what is shown."""
        if not self._is_on:
            return None
        width, height, depth = self._registers[Register.WIDTH : Register.DEPTH + 1]
        return Mode(width, height, depth, self._pitch(), self._start)

    def set_mode(self, width: int, height: int, depth: int) -> Mode:
        """Set a mode as a BIOS does: with a linear frame buffer, which is cleared, and with 8 bits a pixel the colours of `palette_256`.

        Returns:
            What has been set, which differs where there is no such mode.
        """
        self._set(Register.ENABLE, 0)
        for register, value in ((Register.WIDTH, width), (Register.HEIGHT, height), (Register.DEPTH, depth)):
            self._set(register, value)
        self._set(Register.ENABLE, Enable.ON | Enable.LINEAR)
        if depth == 8:  # noqa: PLR2004 - bits of a pixel
            self._vga.set_palette(palette_256())
        mode = self.mode
        assert mode is not None  # noqa: S101 - it has just been set
        return mode

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`: all ones, if it is not of 16 bits."""
        if size != _REGISTER_SIZE:
            return (1 << 8 * size) - 1
        return self._index if port == _INDEX else self._get(self._index)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`, if it is of 16 bits."""
        if size != _REGISTER_SIZE:
            return
        if port == _INDEX:
            self._index = value
        else:
            self._set(self._index, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Nothing is fast."""
        return {}

    def read_memory(self, offset: int, size: int) -> int:
        """Answer a load from the registers in memory. As in QEMU, that of one of these registers selects it."""
        return int.from_bytes(bytes(self._read_byte(offset + index) for index in range(size)), "little")

    def write_memory(self, offset: int, size: int, value: int) -> None:
        """Take a store; a byte is a word whose upper half is 0."""
        if _DISPI_REGISTERS <= offset < _DISPI_REGISTERS + _REGISTER_SIZE * len(Register):
            for index in range(0, size, _REGISTER_SIZE):
                self._index = (offset - _DISPI_REGISTERS + index) // _REGISTER_SIZE
                self._set(self._index, value >> 8 * index & 0xFFFF)
        elif _VGA_REGISTERS <= offset < _VGA_REGISTERS + 0x20:
            write_bytes(self._write_vga, offset - _VGA_REGISTERS + 0x3C0, size, value)

    def fast_words(self) -> Mapping[int, int]:
        """Nothing is fast."""
        return {}

    def save(self) -> object:
        """Return all registers."""
        return self._index, tuple(self._registers), self._start

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (int(index), tuple(registers), int(start)):
                self._index, self._registers, self._start = index, list(registers), start
            case _:
                raise TypeError(f"not a state of Dispi: {state!r}")

    @property
    def _is_on(self) -> bool:
        return bool(self._registers[Register.ENABLE] & Enable.ON)

    def _get(self, index: int) -> int:
        if index == Register.MEMORY:
            return len(self._video) // _BANK_SIZE
        if index >= len(self._registers):
            return 0
        if self._registers[Register.ENABLE] & Enable.LARGEST and Register.WIDTH <= index <= Register.DEPTH:
            return _LARGEST[index - Register.WIDTH]
        return self._registers[index]

    def _set(self, index: int, value: int) -> None:
        if index == Register.ID and value in _IDENTITIES:
            self._registers[index] = value
        elif index in _SIZES:
            self._registers[index] = value
            self._fit()
        elif index == Register.BANK:
            self._registers[index] = value % (len(self._video) // _BANK_SIZE)
            self._vga.set_bank(self._registers[index] * _BANK_SIZE)
        elif index == Register.ENABLE:
            self._enable(value)
        for device in (self, self._vga, self._crtc):
            self._changed(device)

    def _enable(self, value: int) -> None:
        registers = self._registers
        if value & Enable.ON and not self._is_on:
            for register in (Register.VIRTUAL_WIDTH, Register.X_OFFSET, Register.Y_OFFSET):
                registers[register] = 0
            registers[Register.ENABLE] |= Enable.ON
            self._fit()
            if not value & Enable.KEEP_MEMORY:
                self._video.clear(registers[Register.HEIGHT] * self._pitch())
        else:
            self._vga.set_bank(0)
            if not value & Enable.ON:
                self._vga.end_graphics()
        registers[Register.ENABLE] = value
        self._vga.set_dac_bits(8 if value & Enable.DAC_8_BITS else 6)

    def _pitch(self) -> int:
        return self._registers[Register.VIRTUAL_WIDTH] * _bits(self._registers[Register.DEPTH]) // 8

    def _fit(self) -> None:
        """Bring the registers of a mode that is on into their ranges, and let the VGA know."""
        if not self._is_on:
            return
        registers, size = self._registers, len(self._video)
        widest, highest, _ = _LARGEST
        if registers[Register.DEPTH] not in {4, 8, 15, 16, 24, 32}:
            registers[Register.DEPTH] = 8
        width = min(max(registers[Register.WIDTH] & ~7, 8), widest)
        virtual = min(registers[Register.VIRTUAL_WIDTH] & ~7, widest)
        registers[Register.WIDTH], registers[Register.VIRTUAL_WIDTH] = width, max(virtual, width)
        pitch = self._pitch()
        lines = size // pitch
        height = min(max(registers[Register.HEIGHT], 1), highest, lines)
        registers[Register.HEIGHT], registers[Register.VIRTUAL_HEIGHT] = height, lines
        x = min(registers[Register.X_OFFSET], widest)
        y = min(registers[Register.Y_OFFSET], highest)
        step = _bits(registers[Register.DEPTH])
        if x * step // 8 + (y + height) * pitch > size:
            y = 0
            if x * step // 8 + height * pitch > size:
                x = 0
        registers[Register.X_OFFSET], registers[Register.Y_OFFSET] = x, y
        self._start = (x * step // 8 + y * pitch) & ~3
        self._vga.set_graphics(planes=registers[Register.DEPTH] == 4)  # noqa: PLR2004 - a bit each
        self._crtc.set_graphics(width, height, pitch)

    def _read_byte(self, offset: int) -> int:
        if _DISPI_REGISTERS <= offset < _DISPI_REGISTERS + _REGISTER_SIZE * len(Register):
            self._index = (offset - _DISPI_REGISTERS) // _REGISTER_SIZE
            return self._get(self._index) >> 8 * (offset % _REGISTER_SIZE) & 0xFF
        if _VGA_REGISTERS <= offset < _VGA_REGISTERS + 0x20:
            return self._read_vga(offset - _VGA_REGISTERS + 0x3C0)
        if _EXTENSION <= offset < _EXTENSION + len(_LITTLE_ENDIAN):
            return _LITTLE_ENDIAN[offset - _EXTENSION]
        return _NOBODY

    def _read_vga(self, port: int) -> int:
        if port in self._crtc.ports:
            return self._crtc.read_port(port, 1)
        if port not in self._vga.ports:
            return _NOBODY
        value = self._vga.read_port(port, 1)
        self._changed(self._vga)
        return value

    def _write_vga(self, port: int, byte: int) -> None:
        if port in self._crtc.ports:
            self._crtc.write_port(port, 1, byte)
        elif port in self._vga.ports:
            self._vga.write_port(port, 1, byte)
            self._changed(self._vga)


def _bits(depth: int) -> int:
    return 16 if depth == 15 else depth  # noqa: PLR2004 - 5 bits a colour, and one that nobody looks at
