"""Lay text out for the terminal or the file that it is for: width, colours, characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH_MIN, WIDTH_MAX = 40, 120
BOLD, DIM = "1", "2"
RED, GREEN = "31", "32"


class Style(NamedTuple):
    """What the output can show.

    Attributes:
        width: Columns that memory maps and paragraphs take, `WIDTH_MIN` to `WIDTH_MAX`.
        colour: ANSI escape sequences are understood.
        unicode: So are characters beyond ASCII.
        room: Columns of the terminal, `WIDTH_MIN` or more; None where lines may have any length, in a pipe or a file.
    """

    width: int = 80
    colour: bool = False
    unicode: bool = False
    room: int | None = None

    @property
    def mark(self) -> str:
        """What stands where something was left out."""
        return "…" if self.unicode else ".."

    def paint(self, text: str, code: str) -> str:
        """Give *text* a colour or weight: the parameters of "Select Graphic Rendition" (ECMA-48, 8.3.117)."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code and text else text

    def cut(self, text: str, taken: int = 0) -> str:
        """Leave out the end of a text that the terminal has no room for, and mark that. Not for values.

        Args:
            text: Comes last in its line.
            taken: Columns of the line before it.
        """
        if self.room is None or taken + len(text) <= self.room:
            return text
        return text[: max(self.room - taken - len(self.mark), 0)] + self.mark

    def folded(self, text: str, indent: int = 4) -> list[str]:
        """Break a line that the terminal has no room for between its words. Words stay whole, however long.

        Args:
            text: The line, without colours.
            indent: Columns before what does not fit on the first line.
        """
        lines: list[str] = []
        while self.room is not None and len(text) > self.room:
            first_word = len(text) - len(text.lstrip())
            at = text.rfind(" ", first_word, self.room + 1)
            if at < 0:
                at = text.find(" ", first_word)
            if at < 0:
                break
            lines.append(text[:at].rstrip())
            text = " " * indent + text[at:].lstrip()
        return [*lines, text]


def rule(text: str, style: Style) -> str:
    """Return a line across that carries *text*."""
    across = "─" if style.unicode else "-"
    return style.paint(f"{across * 2} {text} ".ljust(style.width, across), BOLD)


def labelled(label: str, text: str, style: Style, indent: int = 10) -> Iterator[str]:
    """Lay *text* out in lines after a bold label, below the label where that is too long. Words stay whole, however long."""
    room = style.width - indent
    line, lines = "", []
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    head = style.paint(label, BOLD) + " " * (indent - len(label))
    if len(label) >= indent:
        yield head
        head = " " * indent
    for each in [*lines, line]:
        yield (head + each).rstrip()
        head = " " * indent
