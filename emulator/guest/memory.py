"""Addresses that a person typed or picked, and that may lead anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


def physical_of(machine: Machine, address: int) -> int | None:
    """Return the physical address of one that a person typed or picked, None for one that leads nowhere.

    A linear one goes through the page tables. Where that fails it may be physical already.
    """
    physical = machine.translate(address)
    if physical is not None and physical < len(machine.memory):
        return physical
    return address if address < len(machine.memory) else None
