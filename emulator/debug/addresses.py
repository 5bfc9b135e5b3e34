"""Read an address that a person typed: a number, or a symbol with an offset."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator.guest.symbols import symbol

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_WORD_END = 1 << 32


def read_address(text: str, image: KernelImage) -> int:
    """Read ``0x0010a008``, ``1089536``, ``heap_free_list``, ``&heap_free_list`` or ``memmap+0x8``.

    Returns:
        The address as the kernel writes it.

    Raises:
        ValueError: It is none of these; the text says why.
    """
    name, plus, more = text.strip().rpartition("+")
    base, offset = (name.strip(), more.strip()) if plus else (more, "0")
    address = _value(base, image)
    if _NUMBER.fullmatch(offset) is None:
        raise ValueError(f"{offset!r} is no number")
    address += _number(offset)
    if address >= _WORD_END:
        raise ValueError(f"0x{address:x} is no 32-bit address")
    return address


def _value(text: str, image: KernelImage) -> int:
    if _NUMBER.fullmatch(text):
        return _number(text)
    found = symbol(image, text.removeprefix("&"))
    if found is None:
        raise ValueError(f"{text!r} is no address and no symbol of the kernel")
    return found.address


def _number(digits: str) -> int:
    return int(digits, 16) if digits[:2].lower() == "0x" else int(digits[:20])
