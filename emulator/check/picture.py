"""Memory around an address, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kernel_model.memory import Memory

_LINE: Final = 16
_LINES_AROUND: Final = 2
_WORD: Final = 4


def picture_of(memory: Memory, memory_size: int, address: int, linear: int | None = None) -> tuple[str, ...]:
    """Return the bytes around a word, sixteen a line; the line with the word begins with ``>``, a line below points at it.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        address: Physical address of the word.
        linear: What the kernel calls this address; the lines begin with such addresses. None: the same.
    """
    shift = 0 if linear is None else linear - address
    middle = address - address % _LINE
    first = max(middle - _LINES_AROUND * _LINE, 0)
    last = min(middle + (_LINES_AROUND + 1) * _LINE, memory_size)
    lines = []
    for start in range(first, last, _LINE):
        data = memory.read(start, min(_LINE, memory_size - start))
        mark = ">" if start == middle else " "
        lines.append(f"{mark}0x{start + shift:08x}: {data.hex(' ')}")
        if start == middle:
            before = len(f">0x{start:08x}: ") + 3 * (address % _LINE)
            lines.append(" " * before + "^" * (3 * min(_WORD, _LINE - address % _LINE) - 1))
    return tuple(lines)
