"""Draw the guest's text screen on a terminal as it changes, on the terminal's alternate screen.

Where the terminal is smaller, it shows the part with the cursor. In a graphics mode a line says that a terminal does not show it.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emulator.cli.terminal.output import Output
    from emulator.devices.vga.text import TextScreen
    from emulator.machine.machine import Machine

_ENTER: Final = b"\x1b[?1049h\x1b[2J"
_LEAVE: Final = b"\x1b[0m\x1b[?25h\x1b[?1049l"
_SHOW_CURSOR, _HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
_PLAIN: Final = "\x1b[0m"
_COLOURS: Final = (0, 4, 2, 6, 1, 5, 3, 7)  # of ECMA-48, by a PC's number
_BRIGHT: Final = 8
_GRAPHICS: Final = "kmemu: the kernel shows graphics, which a terminal does not; this is its text screen"


class ScreenView:
    """Shows the text screen of a machine.

    Args:
        machine: Whose guest writes to it.
        output: The terminal.
        status: A line to show below the screen; over its last line where there is no room, until `hide_status`.
    """

    def __init__(self, machine: Machine, output: Output, status: str) -> None:
        self._machine = machine
        self._output = output
        self._style = output.style
        self._status = status
        self._status_hidden = False
        self._shown: object = None  # what the lines were made of
        self._drawn: list[str] = []

    def open(self) -> None:
        """Begin to show it."""
        self._output.sequence(_ENTER)
        self._shown, self._drawn = None, []

    def close(self) -> None:
        """Give the terminal's own screen back."""
        self._output.sequence(_LEAVE)

    def show_status(self, status: str) -> None:
        """Show another line below the screen, or over its last one until `hide_status`."""
        self._status = status
        self._status_hidden = False

    def hide_status(self) -> None:
        """Show all of the screen from now on."""
        self._status_hidden = True

    def draw(self) -> None:
        """Show what has changed."""
        screen, size = self._machine.text_screen(), self._output.size
        if self._machine.shows_graphics:
            status = _GRAPHICS
        else:
            status = self._status if size[1] > screen.rows or not self._status_hidden else ""
        if self._shown != (screen, size, status):
            self._shown = (screen, size, status)
            self._draw(screen, status, *size)

    def _draw(self, screen: TextScreen, status: str, columns: int, rows: int) -> None:
        row, column = screen.cursor or (0, 0)
        top, left = _first(row, screen.rows, rows), _first(column, screen.columns, columns)
        lines = self._lines(screen, top, left, rows, columns)
        if rows > screen.rows:
            lines.append(status[:columns])
        elif status:
            lines[-1] = status[:columns]
        text = ""
        if len(lines) != len(self._drawn):  # the terminal has another size, maybe
            text = f"{_PLAIN}\x1b[2J"
            self._drawn = [""] * len(lines)
        for number, (line, before) in enumerate(zip(lines, self._drawn, strict=True)):
            if line != before:
                text += f"\x1b[{number + 1};1H{line}{_PLAIN}\x1b[K"
        self._drawn = lines
        is_shown = screen.cursor is not None
        cursor = f"\x1b[{row - top + 1};{column - left + 1}H{_SHOW_CURSOR}" if is_shown else _HIDE_CURSOR
        self._output.draw(text + cursor)

    def _lines(self, screen: TextScreen, top: int, left: int, rows: int, columns: int) -> list[str]:
        right = min(left + columns, screen.columns)
        lines = []
        for number, line in enumerate(screen.lines()[top : top + rows], top):
            start = number * screen.columns
            colours = screen.cells[2 * (start + left) + 1 : 2 * (start + right) : 2]
            lines.append(self._line(line.ljust(screen.columns)[left:right], colours))
        return lines

    def _line(self, text: str, colours: bytes) -> str:
        if not self._style.colour:
            return text
        parts = []
        for colour, cells in groupby(zip(text, colours, strict=True), lambda cell: cell[1]):
            parts.append(_sequence(colour) + "".join(character for character, _ in cells))
        return "".join(parts)


def _first(at: int, count: int, room: int) -> int:
    """Return the first of the rows, or columns, that are shown where there is not room for all."""
    return 0 if room >= count or at >= count else min(max(at - room + 1, 0), count - room)


def _sequence(colour: int) -> str:
    """Return what selects the colours of an attribute byte; bit 7 lets the cell blink, which is not shown."""
    text, ground = colour & 15, colour >> 4 & 7
    return f"\x1b[0;{_COLOURS[text % _BRIGHT] + (90 if text >= _BRIGHT else 30)};{_COLOURS[ground] + 40}m"
