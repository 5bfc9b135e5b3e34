"""VGA text mode: the screen's cells in memory, 80 x 25 at the start, and the cursor.

The CRT controller is an index port and a data port. Here its registers have an effect on what the screen shows only.

Source: IBM VGA/XGA Technical Reference, "CRT Controller Registers".
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from emulator.devices import addresses
from emulator.devices.device import read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.devices.device import FastPort

INDEX_PORT, DATA_PORT = addresses.CRTC

_TEXT_MODE = bytes.fromhex("5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff")
"""What a PC's firmware leaves; the cursor is at the top."""
_REGISTERS = len(_TEXT_MODE)
(
    _WIDTH,
    _OVERFLOW,
    _MAX_SCAN,
    _CURSOR_SHAPE,
    _START,
    _CURSOR,
    _VERTICAL_END,
    _HEIGHT,
    _OFFSET,
    _MODE,
    _COMPARE,
) = (*(0x01, 0x07, 0x09, 0x0A, 0x0C, 0x0E, 0x11, 0x12, 0x13, 0x17, 0x18),)
_NO_CURSOR = 0x20
_LOCKED = 0x80  # of the vertical end: registers 0 to 7 are, but for this bit of the overflow register
_COMPARE_BIT_8 = 0x10
_NOBODY = 0xFF

# Code page 437 has graphics where ASCII has control characters, and a NUL shows as a blank.
_GRAPHICS = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"


@cache
def characters() -> str:
    """Return the character of each byte as shown on the screen; 0x7F is a house, 0xFF a blank."""
    ascii_part = bytes(range(0x20, 0x7F)).decode("ascii")
    return _GRAPHICS + ascii_part + "⌂" + bytes(range(0x80, 0xFF)).decode("cp437") + " "


def display_lines(registers: bytes | bytearray) -> int:
    """Return how many lines of pixels the screen shows, as the registers of its controller say."""
    overflow = registers[_OVERFLOW]
    return (registers[_HEIGHT] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1


class TextScreen(NamedTuple):
    """What the screen shows in a text mode.

    Attributes:
        cells: A character and its colours for each cell, row by row.
        columns: Cells of a row.
        cursor: Row and column; None: there is none on the screen.
    """

    cells: bytes
    columns: int
    cursor: tuple[int, int] | None

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.cells) // (2 * self.columns)

    def lines(self) -> list[str]:
        """Return the rows without trailing blanks."""
        shown = characters()
        text = "".join([shown[byte] for byte in self.cells[::2]])
        return [text[start : start + self.columns].rstrip() for start in range(0, len(text), self.columns)]


class VgaText:
    """The CRT controller of a colour adapter in text mode."""

    ports = addresses.CRTC

    def __init__(self) -> None:
        self._index = 0
        self._registers = bytearray(_TEXT_MODE)

    def screen(self, memory: bytes | bytearray | memoryview) -> TextScreen:
        """Return the text on the screen.

        Args:
            memory: What lies where text does, `addresses.TEXT_MEMORY`; rows go on at its start after its end.
        """
        registers = self._registers
        columns, step = registers[_WIDTH] + 1, 2 * registers[_OFFSET]
        rows = max(display_lines(registers) // ((registers[_MAX_SCAN] & 0x1F) + 1), 1)
        start, cursor = (int.from_bytes(registers[at : at + 2], "big") for at in (_START, _CURSOR))
        end = 2 * (start + (rows - 1) * step + columns)
        shown = bytes(memory) * -(-end // len(memory))
        firsts = range(2 * start, 2 * (start + rows * step), 2 * step) if step else [2 * start] * rows
        cells = b"".join([shown[first : first + 2 * columns] for first in firsts])
        row, column = divmod(cursor - start, step) if step else (0, cursor - start)
        is_shown = (
            row in range(rows) and column in range(columns) and not registers[_CURSOR_SHAPE] & _NO_CURSOR
        )
        return TextScreen(cells, columns, (row, column) if is_shown else None)

    @property
    def registers(self) -> bytes:
        """All registers."""
        return bytes(self._registers)

    def set_graphics(self, width: int, height: int, pitch: int) -> None:
        """Go to a graphics mode of some width and height in pixels, with lines of so many bytes."""
        registers, last = self._registers, height - 1
        registers[_MODE] |= 3
        registers[_OFFSET] = pitch >> 3 & 0xFF
        registers[_WIDTH] = (width >> 3) - 1 & 0xFF
        registers[_HEIGHT] = last & 0xFF
        registers[_OVERFLOW] = (
            registers[_OVERFLOW] & ~0x42 | last >> 7 & 2 | last >> 3 & 0x40 | _COMPARE_BIT_8
        )
        registers[_COMPARE] = 0xFF
        registers[_MAX_SCAN] = registers[_MAX_SCAN] & ~0x9F | 0x40

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`: the index, or the register that it selects."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`. Both ports in one 16-bit write are usual."""
        write_bytes(self._write, port, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Nothing is fast."""
        return {}

    def save(self) -> object:
        """Return index and registers."""
        return self._index, bytes(self._registers)

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (int(index), bytes(registers)):
                self._index, self._registers = index, bytearray(registers)
            case _:
                raise TypeError(f"not a state of VgaText: {state!r}")

    def _read(self, port: int) -> int:
        if port == INDEX_PORT:
            return self._index
        if port == DATA_PORT and self._index < _REGISTERS:
            return self._registers[self._index]
        return _NOBODY

    def _write(self, port: int, byte: int) -> None:
        if port == INDEX_PORT:
            self._index = byte
        elif port == DATA_PORT and self._index < _REGISTERS:
            if self._index <= _OVERFLOW and self._registers[_VERTICAL_END] & _LOCKED:
                if self._index < _OVERFLOW:
                    return
                byte = self._registers[_OVERFLOW] & ~_COMPARE_BIT_8 | byte & _COMPARE_BIT_8
            self._registers[self._index] = byte
