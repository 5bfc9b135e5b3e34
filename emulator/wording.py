"""Write single values for people: sizes, counts, shares, addresses, and text that is safe to show on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Replace what a terminal could take for a command, or would not show, by escapes such as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def counted(number: int, noun: str) -> str:
    """Return ``1 block``, ``0 blocks``, ``5 blocks``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percent(share: float) -> str:
    """Return a share from 0 to 1 as ``37 %``."""
    return f"{100 * share:.0f} %"


def human_size(size: int) -> str:
    """Return a size in bytes: ``128 B``, ``44.8 KiB``, ``4 MiB``."""
    value, units = float(size), ["GiB", "MiB", "KiB", "B"]
    while round(value, 1) >= 1 << 10 and len(units) > 1:
        value /= 1 << 10
        units.pop()
    return f"{value:.1f}".removesuffix(".0") + f" {units[-1]}"


def address_range(start: int, end: int) -> str:
    """Return ``0x00100000-0x00500000``."""
    return f"0x{start:08x}-0x{end:08x}"
