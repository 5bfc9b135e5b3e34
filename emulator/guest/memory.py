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


def physical_address(machine: Machine, address: int) -> int:
    """Return the same, where it has to be known.

    Raises:
        ValueError: There is no memory.
    """
    physical = physical_of(machine, address)
    if physical is None:
        if machine.address_space().is_paged:
            raise ValueError(f"0x{address:08x} is not mapped here, and is no physical address of memory")
        raise ValueError(f"there is no memory at 0x{address:08x}")
    return physical
