"""How text may look on the terminal it is for, and text that is safe to show there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH_MIN, WIDTH_MAX = 40, 120
BOLD = "1"
DIM = "2"


class Style(NamedTuple):
    """What the output can show.

    Attributes:
        width: Columns, `WIDTH_MIN` to `WIDTH_MAX`.
        colour: ANSI escape sequences are understood.
        unicode: So are characters beyond ASCII.
    """

    width: int = 80
    colour: bool = False
    unicode: bool = False

    def paint(self, text: str, code: str) -> str:
        """Give *text* a colour or weight: the parameters of "Select Graphic Rendition" (ECMA-48, 8.3.117)."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code and text else text


def printable(text: str) -> str:
    r"""Replace what a terminal could take for a command, or would not show, by escapes such as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def human_size(size: int) -> str:
    """Return a size in bytes for people: ``128 B``, ``44.8 KiB``, ``4 MiB``."""
    value, units = float(size), ["GiB", "MiB", "KiB", "B"]
    while round(value, 1) >= 1 << 10 and len(units) > 1:
        value /= 1 << 10
        units.pop()
    return f"{value:.1f}".removesuffix(".0") + f" {units[-1]}"


def address_range(start: int, end: int) -> str:
    """Return ``0x00100000-0x00500000``."""
    return f"0x{start:08x}-0x{end:08x}"


def labelled(label: str, text: str, style: Style, indent: int = 10) -> Iterator[str]:
    """Lay out *text* in lines behind a bold label; a word too long for a line is cut."""
    room = style.width - indent
    line, lines = "", []
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
        while len(line) > room:
            lines.append(line[:room])
            line = line[room:]
    head = style.paint(label, BOLD) + " " * (indent - len(label))
    for each in [*lines, line]:
        yield (head + each).rstrip()
        head = " " * indent
