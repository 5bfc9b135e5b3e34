"""Allocations: calls of recorded functions that take memory, numbered from 1, and observers that may choose what one returns.

An observer of allocations is asked at the first instruction of a call, and may let it return without having done anything.
The run loop knows no observer: it arms the core before a part of a run, and lets this module settle a stop after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from emulator.machine.core.handle import lib

if TYPE_CHECKING:
    from emulator.machine.core.handle import Core


class AllocationObserver(Protocol):
    """Decides about allocations.

    The answers depend on nothing but the allocation, so that a run that is repeated from a snapshot is the same.
    """

    def next_after(self, number: int) -> int:
        """Return the number of the next allocation after *number* that is to be asked about; 0: there is none."""

    def answer(self, number: int) -> int | None:
        """Return EAX for the allocation at whose entry the machine stands, if it fails; None: it goes on."""


class AttachedObserver:
    """An observer that is asked until it is closed; made by `Allocations.observe`."""

    def __init__(self, observers: list[AllocationObserver], observer: AllocationObserver) -> None:
        self._observers = observers
        self._observer = observer

    def close(self) -> None:
        """Ask it no more; again it does nothing."""
        self._observers[:] = [each for each in self._observers if each is not self._observer]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class Allocations:
    """The allocations of one machine.

    Args:
        core: Of the machine.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._observers: list[AllocationObserver] = []

    def observe(self, observer: AllocationObserver) -> AttachedObserver:
        """Ask an observer about allocations from now on. The first of several that gives an answer decides.

        Raises:
            ValueError: It is asked already.
        """
        if any(each is observer for each in self._observers):
            raise ValueError("this observer is asked about allocations already")
        self._observers.append(observer)
        return AttachedObserver(self._observers, observer)

    @property
    def count(self) -> int:
        """Allocations so far, without those that are passed."""
        count: int = lib.kc_allocations(self._core.raw)
        return count

    @property
    def here(self) -> int:
        """Number of the allocation at whose first instruction the last run has ended; 0: it ended elsewhere."""
        number: int = lib.kc_at_allocation(self._core.raw)
        return number

    def pass_stack(self, stack: int, yes: bool) -> None:  # noqa: FBT001 - a switch
        """Pass allocations with this call stack, a number from 1, from now on, without giving them a number; or not."""
        lib.kc_pass_stack(self._core.raw, stack, yes)

    def return_here(self, eax: int) -> None:
        """Leave the function at whose entry the last run has ended, as if it had done nothing but return *eax*.

        Raises:
            ValueError: The last run ended elsewhere.
        """
        self._core.check_machine_rests("return_here()")
        self._return(eax)

    def _return(self, eax: int) -> None:
        if lib.kc_return(self._core.raw, eax):
            raise ValueError("the machine does not stand at the entry of a recorded function")

    def arm(self, last: int) -> None:
        """Let the next run of the CPU stop at an allocation.

        Args:
            last: Its number, 0: none. Before it, the CPU stops where an observer has to be asked.
        """
        if not self._observers:  # no more than one call of C while nobody wants anything
            lib.kc_stop_at_allocation(self._core.raw, max(last - self.count, 0) if last else 0)
            return
        count = self.count
        wanted = [last, *(each.next_after(count) for each in self._observers)]
        lib.kc_stop_at_allocation(
            self._core.raw, min((each - count for each in wanted if each > count), default=0)
        )

    def settle(self) -> bool:
        """Let the allocation at which the machine stands return what an observer says, and return whether one did."""
        if not self._observers:
            return False
        number = self.here
        for observer in self._observers if number else ():
            result = observer.answer(number)
            if result is not None:
                self._return(result)
                return True
        return False

    def stopped_to_ask(self, wanted: int) -> bool:
        """Return whether the machine may have stopped only to ask, and not at the allocation that was *wanted* (0: none)."""
        return bool(self._observers) and self.here != (wanted or -1)
