"""Where in the kernel's code an access belongs to: to an instruction, or to the call of a function that accesses what its callers name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from emulator.machine.core.core_types import Access

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.guest.symbolizer import Symbolizer

_OF_CALLERS: Final = re.compile(
    r"_*(k|arch_|asan_|fast_|rt_)?(mem(set|cpy|pcpy|move|cmp|chr|zero|clear|fill|copy)|bzero|bcopy|bcmp|str(n?len|n?cpy|n?cmp|n?cat|r?chr|str))"
)


def code_place(
    symbolizer: Symbolizer, eip: int, callers: Sequence[int], access: Access = Access.READ
) -> tuple[int, ...]:
    """Return the place that an access belongs to, as addresses of code, innermost first.

    It is the instruction; in a function of the kind of memset() with the calls out of which it was entered; of a jump only the call.

    Args:
        symbolizer: Of the kernel.
        eip: The instruction.
        callers: Return addresses of the calls around it, innermost first.
        access: How it accessed memory.
    """
    if access is Access.FETCH:
        return tuple(callers[:1])
    place = [eip]
    frame = symbolizer.instruction(eip)
    for caller in callers:
        if not _OF_CALLERS.match(frame.function):
            break
        place.append(caller)
        frame = symbolizer.caller(caller)[-1]
    return tuple(place)
