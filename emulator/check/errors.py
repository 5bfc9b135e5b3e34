"""Errors of a check's own input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import BadInput, BudgetUsedUp, EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterable


class BadBaseline(BadInput):
    """A baseline cannot be used."""


class NoEnd(BudgetUsedUp):
    """A run that everything is measured by does not end by itself, within its budgets.

    Attributes:
        allocations: Calls that could be made to fail, up to there.
    """

    def __init__(self, error: BudgetUsedUp, allocations: int) -> None:
        self.allocations = allocations
        calls = "1 allocation" if allocations == 1 else f"{allocations} allocations"
        super().__init__(
            "the run without a failure did not end by itself: "
            f"{error.problem} after {error.instructions} instructions and {calls}",
            error.eip,
            error.location,
            error.instructions,
        )


class UnknownArea(EmulatorError):
    """A limit is for an area that is not watched.

    Attributes:
        name: The area.
        known: Those there are.
    """

    def __init__(self, option: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"{option}: no area {name!r}; there are: {', '.join(self.known)}")
