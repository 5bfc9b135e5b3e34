"""Find the dead part of a stack: what lies below ESP was given up and means nothing any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.symbols import data_symbol_lookup
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine

_DEPTH_GUESS = 2048  # bytes of a stack of which nothing is known but ESP


def stack_start(image: KernelImage, esp: int) -> int | None:
    """Return where the memory of a stack begins: with the data symbol that the word below ESP lies in; None without one."""
    found = data_symbol_lookup(image)(esp - WORD_SIZE)
    return None if found is None else found.address


def dead_stack(machine: Machine) -> range:
    """Return the physical addresses of the stack below ESP, down to where its memory begins.

    Where nothing says where that is, 2 KiB are assumed.
    """
    registers = machine.registers()
    esp = registers.esp
    top = machine.translate(registers.on_stack(esp))
    if top is None:
        return range(0)
    start = stack_start(machine.image, esp)
    depth = _DEPTH_GUESS if start is None else esp - start
    return range(max(0, top - depth), top)
