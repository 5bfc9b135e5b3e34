"""What the BIOS makes of scan codes: a character and a number for each key, alone and with Shift, Ctrl or Alt.

Source: Ralf Brown's list, table 00006 (keyboard scan codes).
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple


class Codes(NamedTuple):
    """What a key is in the buffer, the scan code in the upper half: alone, with Shift, Ctrl, Alt. 0: nothing."""

    alone: int = 0
    shift: int = 0
    control: int = 0
    alt: int = 0


# Rows of the keyboard by the scan code that they begin with: characters alone, and with Shift.
_ROWS: Final = (
    (0x02, "1234567890-=", "!@#$%^&*()_+"),
    (0x10, "qwertyuiop[]", "QWERTYUIOP{}"),
    (0x1E, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (0x2B, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
)
_CONTROL: Final = {
    **{chr(0x60 + code): code for code in range(1, 27)},
    "[": 27,
    "\\": 28,
    "]": 29,
    "6": 30,
    "-": 31,
}
_CONTROL_2: Final = 0x0300
_ALT_DIGITS: Final = 0x78  # of the key 1
_KEYPAD: Final = "789-456+1230."
_KEYPAD_CONTROL: Final = (0x77, 0x8D, 0x84, 0x8E, 0x73, 0x8F, 0x74, 0x90, 0x75, 0x91, 0x76, 0x92, 0x93)
_KEYPAD_SIGNS: Final = (0x4A, 0x4E)  # minus and plus
_F1, _F11 = 0x3B, 0x57
_OTHERS: Final = {
    0x01: Codes(0x011B, 0x011B, 0x011B, 0x0100),
    0x0E: Codes(0x0E08, 0x0E08, 0x0E7F, 0x0E00),
    0x0F: Codes(0x0F09, 0x0F00, 0x9400, 0xA500),
    0x1C: Codes(0x1C0D, 0x1C0D, 0x1C0A, 0xA600),
    0x37: Codes(0x372A, 0x372A, 0x9600, 0x3700),
    0x39: Codes(0x3920, 0x3920, 0x3920, 0x3920),
}


@cache
def key_codes() -> dict[int, Codes]:
    """Return what each scan code of set 1 stands for; Shift, Ctrl, Alt and the locks are not among them."""
    codes = dict(_OTHERS)
    for first, alone, shifted in _ROWS:
        for scan, (low, high) in enumerate(zip(alone, shifted, strict=True), first):
            codes[scan] = _typed(scan, low, high)
    for number, (sign, control) in enumerate(zip(_KEYPAD, _KEYPAD_CONTROL, strict=True)):
        scan = 0x47 + number
        plain = scan << 8 | (ord(sign) if scan in _KEYPAD_SIGNS else 0)
        codes[scan] = Codes(plain, scan << 8 | ord(sign), control << 8)
    for number in range(10):
        codes[_F1 + number] = Codes(*(code + number << 8 for code in (0x3B, 0x54, 0x5E, 0x68)))
    for number in range(2):
        codes[_F11 + number] = Codes(*(code + number << 8 for code in (0x85, 0x87, 0x89, 0x8B)))
    return codes


def _typed(scan: int, low: str, high: str) -> Codes:
    """Return the codes of a key with a character."""
    upper = scan << 8
    control = upper | _CONTROL[low] if low in _CONTROL else _CONTROL_2 if low == "2" else 0
    is_digit = scan < 0x0E  # noqa: PLR2004 - the first row
    alt = _ALT_DIGITS + scan - 2 << 8 if is_digit else upper
    return Codes(upper | ord(low), upper | ord(high), control, alt)
