"""Read and translate at addresses that a person typed or picked, and that may lead anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


def physical_of(machine: Machine, address: int) -> int | None:
    """Return the physical address for an address that a person typed or picked, or None if there is no memory.

    The address counts as linear. Where it is not mapped it counts as physical.
    """
    physical = machine.translate(address)
    if physical is not None and physical < len(machine.memory):
        return physical
    return address if address < len(machine.memory) else None
