"""Find the dead part of a stack: what lies below ESP was given up and means nothing any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.symbols import data_symbol_lookup, is_writable, writable_symbols
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine

_DEPTH_GUESS = 2048  # bytes of a stack of which nothing is known but ESP
_DEPTH_MAX = 16 << 10  # of a stack without a name, which begins where the data before it ends


def stack_start(image: KernelImage, esp: int) -> int | None:
    """Return where the memory of a stack begins: with the data symbol that the word below ESP lies in.

    Boot code often names only the upper end, ``.skip 16384; stack_top:``. Such a stack begins after the data before it, 16 KiB below ESP at most.
    None: it is not in the kernel's data, or that has no symbols.
    """
    word = esp - WORD_SIZE
    found = data_symbol_lookup(image)(word)
    if found is not None:
        return found.address
    symbols = writable_symbols(image)
    if not symbols or not is_writable(image, word):
        return None
    ends = [each.address + each.size for each in symbols if each.address <= word]
    return max(esp - _DEPTH_MAX, *ends, *(each.virtual for each in image.segments if each.virtual <= word))


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
