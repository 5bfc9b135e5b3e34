"""Where a function is entered, and what is kept of each call there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from emulator.loader.functions.locations import Computed, Location


class Entry(NamedTuple):
    """Where a function is entered. One that the compiler has copied is entered at several addresses.

    Attributes:
        address: Linked address of its first instruction.
        end: Where its code ends; the same as *address* where that is not known.
        values: What to keep of each call.
        block: Computes, at the return, the block that a call has made; None: nothing does.
        head: The code of the function of which this is a piece only: calls from there have begun before. None: it is a whole one.
        is_inlined: It is a copy inside of another function, which nobody calls, and which does not return: its calls begin and end at
            one event, without a result.
    """

    address: int
    end: int
    values: tuple[Location, ...]
    block: Computed | None = None
    head: range | None = None
    is_inlined: bool = False
