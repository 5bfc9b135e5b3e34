"""Turn what a terminal sends into the keys that were pressed, as `emulator.devices.keyboard.key_text` names them.

What no key of a US keyboard types is left out.

Source: xterm control sequences, "PC-Style Function Keys"; ECMA-48.
"""

from __future__ import annotations

import re
from typing import Final

# The control character of each key; of the others, ctrl and a letter.
_CONTROLS: Final = {
    0x00: "ctrl+space",
    0x08: "backspace",
    0x09: "tab",
    0x0A: "enter",
    0x0D: "enter",
    0x1B: "esc",
    0x1C: "ctrl+\\",
    0x1D: "ctrl+]",
    0x1E: "ctrl+6",
    0x1F: "ctrl+-",
    0x7F: "backspace",
}
_FINALS: Final = dict(
    zip(
        b"ABCDHFPQRSZ",
        ("up", "down", "right", "left", "home", "end", "f1", "f2", "f3", "f4", "shift+tab"),
        strict=True,
    )
)
_NUMBERS: Final = {
    number: name
    for numbers, names in (
        ((1, 2, 3, 4, 5, 6, 7, 8), "home insert delete end pageup pagedown home end"),
        ((11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 23, 24), "f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12"),
    )
    for number, name in zip(numbers, names.split(), strict=True)
}
_MODIFIERS: Final = ("shift", "alt", "ctrl")  # by bits of the modifier, which is counted from 1

_PLAIN: Final = "`-=[]\\;',./ "  # besides letters and digits: keys that need no shift

# A sequence of a key, alt with another key, or one byte.
_PIECE: Final = re.compile(
    rb"\x1b(?:\[|O)(?P<first>[0-9]*)(?:;(?P<modifier>[0-9]+))?(?P<final>[A-Za-z~])"
    rb"|\x1b(?P<alt>[^\x1b])"
    rb"|(?P<byte>.)",
    re.DOTALL,
)


def typed_keys(data: bytes) -> str:
    """Return the keys that a terminal reports.

    Args:
        data: What it sent, each sequence whole.
    """
    return "".join(map(_key, _PIECE.finditer(data)))


def _key(piece: re.Match[bytes]) -> str:
    if piece["final"] is not None:
        return _of_sequence(piece["first"], piece["modifier"], piece["final"])
    if piece["alt"] is not None:
        name = _of_byte(piece["alt"][0]).strip("{}")
        is_one_key = len(name) > 1 or name.isalnum() or name in _PLAIN
        return f"{{alt+{name}}}" if name and is_one_key else ""
    return _of_byte(piece["byte"][0])


def _of_sequence(first: bytes, modifier: bytes | None, final: bytes) -> str:
    name = _NUMBERS.get(int(first or 0)) if final == b"~" else _FINALS.get(final[0])
    if name is None:
        return ""
    bits = int(modifier or 1) - 1
    held = [each for bit, each in enumerate(_MODIFIERS) if bits >> bit & 1]
    return f"{{{'+'.join([*held, name])}}}"


def _of_byte(byte: int) -> str:
    name = _CONTROLS.get(byte)
    if name is not None:
        return f"{{{name}}}"
    if byte < ord(" "):
        return f"{{ctrl+{chr(byte + 0x60)}}}"
    character = chr(byte)
    return "" if byte > ord("~") else character * 2 if character in "{}" else character
