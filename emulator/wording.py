"""Write single values for people: sizes, counts, shares, addresses, and text that is safe to show on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MORE_CALLERS: Final = "..."
"""The function's name at the end of a backtrace that may have more levels."""

_LONGEST_QUOTE: Final = 60  # characters
_FIRST_SEEN, _LAST_SEEN = 0x20, 0x7E  # of ASCII
_PLAIN_KEY: Final = r"[A-Za-z0-9_.*?-]{1,60}"


def printable(text: str) -> str:
    r"""Replace what a terminal could take for a command, or would not show, by escapes such as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def ascii_text(data: bytes) -> str:
    """Return bytes as the characters that they are in ASCII, and a dot for each that is none or cannot be seen."""
    return "".join(chr(byte) if _FIRST_SEEN <= byte <= _LAST_SEEN else "." for byte in data)


def counted(number: int, noun: str, separator: str = "") -> str:
    """Return ``1 block``, ``0 blocks``, ``5 blocks``; with a *separator* of thousands, ``65,536 blocks``."""
    return f"{number} {noun}" if number == 1 else f"{number:{separator}} {noun}s"


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


def shortened(value: object) -> str:
    """Return a value of any kind as it would be written in Python, for a message: one line, at most 60 characters."""
    text = ascii(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."


def shown_keys(keys: Iterable[str]) -> str:
    """Return the path of a key in a document for a message, such as ``heap.alloc``: one line, each key at most 60 characters."""
    import re  # few runs show a key

    return ".".join(key if re.fullmatch(_PLAIN_KEY, key) else shortened(key)[1:-1] for key in keys)


def code_address(address: int, function: str, offset: int, *, inlined: bool = False) -> str:
    """Return ``kmain+0x42``, ``zalloc (inlined)``; where the function is not known (""), the address: ``0x00101042``."""
    if function == MORE_CALLERS:
        return function
    if inlined:
        return f"{function or '(unknown function)'} (inlined)"
    return f"{function}+0x{offset:x}" if function else f"0x{address:08x}"


def code_location(
    address: int,
    function: str,
    offset: int,
    file: str,
    line: int,
    inlined: bool = False,  # noqa: FBT001, FBT002 - frames are spread into it
) -> str:
    """Return ``kmain+0x42 (firmware/scenarios/demo.c:31)``, as kernels write it; less where *file* or *line* is not known."""
    place = code_address(address, function, offset, inlined=inlined)
    if not file:
        return place
    return f"{place} ({file}:{line})" if line else f"{place} ({file})"
