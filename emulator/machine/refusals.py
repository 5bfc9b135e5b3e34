"""Allocations that fail although there is memory: which of them do."""

from __future__ import annotations

from typing import Protocol


class Refusals(Protocol):
    """Decides about allocations: calls of recorded functions that take memory, numbered from 1.

    The answers depend on nothing but the allocation, so that a run that is repeated from a snapshot is the same.
    """

    def next_after(self, number: int) -> int:
        """Return the number of the next allocation behind *number* that is to be asked about; 0: there is none."""

    def answer(self, number: int) -> int | None:
        """Return EAX for the allocation at whose entry the machine stands, if it fails; None: it goes on."""
