"""Reads of guest memory that may fail: whatever an address leads to, nothing is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


def load_linear(machine: Machine, address: int) -> int | None:
    """Return the word at a linear address, None where nothing is mapped."""
    data = machine.read_linear(address, WORD_SIZE)
    return int.from_bytes(data, "little") if len(data) == WORD_SIZE else None


def physical_of(machine: Machine, address: int) -> int | None:
    """Return the physical address of one that a person typed or picked, None for one that leads nowhere.

    A linear one goes through the page tables. Where that fails it may be physical already.
    """
    physical = machine.cpu.translate(address)
    if physical is not None and physical < len(machine.memory):
        return physical
    return address if address < len(machine.memory) else None
