"""What a debugger stops at: breakpoints, watchpoints, events."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Access


class Point:
    """Something that a debugger stops at, until it is removed.

    Args:
        debugger: Whose it is.
        number: From 1, not used again.

    Attributes:
        number: As given.
        enabled: Whether it stops anything.
        hits: How often it has stopped a move forwards.
    """

    def __init__(self, debugger: Debugger, number: int) -> None:
        self.number = number
        self.enabled = True
        self.hits = 0
        self._debugger = debugger

    def remove(self) -> None:
        """Take it away. Doing that again has no effect."""
        self._debugger.remove(self)


class Breakpoint(Point):
    """An instruction; of a function or a line of which the compiler has made copies one in each.

    Attributes:
        addresses: Linear.
        condition: Whether to stop there; None: always.
    """

    def __init__(
        self,
        debugger: Debugger,
        number: int,
        addresses: tuple[int, ...],
        condition: Callable[[Debugger], bool] | None,
    ) -> None:
        super().__init__(debugger, number)
        self.addresses = addresses
        self.condition = condition


class Watchpoint(Point):
    """Some bytes of memory.

    Attributes:
        address: Linear, when it was made.
        physical: Where each page's bytes of it lie.
        size: How many bytes.
        access: Which accesses stop.
        condition: Whether to stop after one; None: always.
    """

    def __init__(
        self,
        debugger: Debugger,
        number: int,
        address: int,
        physical: tuple[range, ...],
        access: Access,
        condition: Callable[[Debugger], bool] | None,
    ) -> None:
        super().__init__(debugger, number)
        self.address = address
        self.physical = physical
        self.size = sum(map(len, physical))
        self.access = access
        self.condition = condition


class EventPoint(Point):
    """An event: a recorded function's entry, or its return.

    Attributes:
        event: Its number.
    """

    def __init__(self, debugger: Debugger, number: int, event: int) -> None:
        super().__init__(debugger, number)
        self.event = event
