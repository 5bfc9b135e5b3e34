"""The part of a stack that is given up: what lies below ESP means nothing any more."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from emulator.guest.symbols import data_objects

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

_DEPTH_GUESS = 2048  # bytes of a stack of which nothing is known but ESP


def dead_stack(machine: Machine) -> range:
    """Return the physical addresses of the stack below ESP, down to the stack's end.

    The stack ends with the object symbol that it lies in; without one, 2 KiB are assumed.
    """
    registers = machine.registers()
    esp = registers.esp
    top = machine.translate(registers.on_stack(esp))
    if top is None:
        return range(0)
    start = _object_start(machine, esp)
    depth = _DEPTH_GUESS if start is None else esp - start
    return range(max(0, top - depth), top)


def _object_start(machine: Machine, address: int) -> int | None:
    """Return where the data object begins that an address lies in, or ends at: there an empty stack has its top."""
    objects = data_objects(machine.image)
    index = bisect_left(objects, address, key=lambda each: each.address) - 1  # the last one that starts below
    if index < 0 or address > objects[index].address + objects[index].size:
        return None
    return objects[index].address
