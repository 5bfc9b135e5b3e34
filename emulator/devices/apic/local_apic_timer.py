"""The timer of the local APIC: counts down from a number of clocks, once or again and again.

Source: Intel SDM vol. 3A, 11.5.4; its rate of 1 GHz, and a period of one clock more than the count, as in QEMU 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MASKED, PERIODIC = 1 << 16, 1 << 17
"""Of its local vector."""

_DIVIDE = 0xB  # bits of the divide configuration that there are


class LocalApicTimer:
    """The timer. A clock is a nanosecond before it is divided.

    Args:
        now_ns: Returns the virtual time.

    Attributes:
        entry: Its local vector.
        initial: Where it counts down from; 0: it stands.
        divide: How its clock is divided.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self.entry = MASKED
        self.initial = self.divide = 0
        self._shift = self._loaded_ns = 0
        self._ticked_ns = 0  # ticks up to then were noticed, or are lost

    def set_entry(self, value: int) -> None:
        """Write its local vector."""
        self.entry = value
        self.lose_ticks()

    def set_initial(self, count: int) -> None:
        """Start, from *count*; 0: stop."""
        self.initial, self._loaded_ns = count, self._now_ns()
        self.lose_ticks()

    def set_divide(self, value: int) -> None:
        """Divide its clock by 2, 4 ... 128, 1."""
        self.divide = value & _DIVIDE
        self._shift = (value & 3 | value >> 1 & 4) + 1 & 7

    def current(self) -> int:
        """Return what is left to count."""
        passed = self._now_ns() - self._loaded_ns >> self._shift
        if not self.entry & PERIODIC:
            return max(self.initial - passed, 0)
        return self.initial - passed % (self.initial + 1)

    def next_tick_ns(self) -> int | None:
        """Return when it ticks next; None: never."""
        if self.entry & MASKED or not self.initial:
            return None
        period = self.initial + 1 << self._shift
        if not self.entry & PERIODIC:
            due = self._loaded_ns + period
            return due if due > self._ticked_ns else None
        return self._loaded_ns + ((self._ticked_ns - self._loaded_ns) // period + 1) * period

    def take_tick(self, now_ns: int) -> bool:
        """Tell whether it has ticked since that was last asked."""
        due = self.next_tick_ns()
        if due is None or due > now_ns:
            return False
        self._ticked_ns = now_ns
        return True

    def lose_ticks(self) -> None:
        """Forget ticks up to now."""
        self._ticked_ns = self._now_ns()

    def save(self) -> tuple[int, ...]:
        """Return its state."""
        return self.entry, self.initial, self.divide, self._shift, self._loaded_ns, self._ticked_ns

    def restore(self, state: tuple[int, ...]) -> None:
        """Go back to a state that `save` returned."""
        self.entry, self.initial, self.divide, self._shift, self._loaded_ns, self._ticked_ns = state
