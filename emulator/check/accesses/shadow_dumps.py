"""Draws the bytes around a bad access, with the state of each: sixteen a line, as other sanitizers draw them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.machine.core.observed import Poison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.machine.core.observed import BadAccess

_LINE: Final = 16
_SIGNS: Final = {
    Poison.ACCESSIBLE: (".", "accessible"),
    Poison.UNINITIALISED: ("U", "never written"),
    Poison.FREED: ("F", "freed"),
    Poison.GAP: ("-", "in no block"),
    Poison.REDZONE: ("R", "beside a block"),
    Poison.RETURN: ("A", "return address"),
    Poison.READ_ONLY: ("C", "code or constants"),
    Poison.STACK: ("S", "beside a variable on the stack"),
    Poison.SCOPE: ("X", "of a variable out of scope"),
    Poison.GLOBAL: ("G", "beside a static variable"),
}


def shadow_dump(access: BadAccess) -> tuple[str, ...]:
    """Return memory around a bad access as it was then, by linear addresses, and the state of each byte as a sign after them.

    The line with the first bad byte begins with ``>``, and a line below points at what was accessed there. The last line explains the signs.
    """
    return (*_lines(access), _legend(access))


def _lines(access: BadAccess) -> Iterator[str]:
    first = access.linear - (access.physical - access.around)
    bad = access.linear + access.offset
    end = access.linear + max(access.size, access.offset + 1)
    for offset in range(0, len(access.memory), _LINE):
        start = first + offset
        data = access.memory[offset : offset + _LINE]
        states = access.shadow[offset : offset + _LINE]
        is_bad = start <= bad < start + _LINE
        signs = "".join(_SIGNS[Poison(state)][0] for state in states)
        yield f"{'>' if is_bad else ' '}0x{start:08x}: {data.hex(' ')}  {signs}"
        if is_bad:
            low, high = max(access.linear, start), min(end, start + _LINE)
            before = len(f">0x{start:08x}: ") + 3 * (low - start)
            yield " " * before + "^" * (3 * (high - low) - 1)


def _legend(access: BadAccess) -> str:
    present = (f"{sign} {what}" for state, (sign, what) in _SIGNS.items() if state in access.shadow)
    return f" each byte: {', '.join(present)}"
