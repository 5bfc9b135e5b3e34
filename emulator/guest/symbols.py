"""Symbols of a kernel whose symbol table may be damaged: then it has none."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from emulator.errors import BadImage
from emulator.loader.functions.demangling import demangled
from emulator.loader.functions.names import plain_name
from emulator.loader.segments import SegmentFlags

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.loader.elf.symbols import Symbol
    from emulator.loader.image import KernelImage


def function_at(image: KernelImage, address: int) -> tuple[str, int] | None:
    """Return the plain name of the function that a linear address lies in, and the offset in it."""
    try:
        found = image.function_at(address)
    except BadImage:
        return None
    return None if found is None else (plain_name(found[0].name), found[1])


def symbol(image: KernelImage, name: str) -> Symbol | None:
    """Return the symbol called *name*, if there is one."""
    try:
        return image.symbol(name)
    except BadImage:
        return None


def data_objects(image: KernelImage) -> list[Symbol]:
    """Return all symbols of data that carry a size, by address."""
    try:
        symbols = image.symbols.values()
    except BadImage:
        return []
    objects = (each for each in symbols if each.kind == "object" and each.size)
    return sorted(objects, key=lambda each: each.address)


def data_symbol_lookup(image: KernelImage) -> Callable[[int], Symbol | None]:
    """Return what finds the symbol that a linear address in a writable segment lies in; a label reaches to the next symbol.

    Its name is demangled.
    """
    symbols = writable_symbols(image)
    symbols.sort(key=lambda each: (each.address, each.size))
    starts = [each.address for each in symbols]

    def symbol_at(address: int) -> Symbol | None:
        index = bisect_right(starts, address) - 1
        if index < 0 or not is_writable(image, address):
            return None
        found = symbols[index]
        if found.size and address >= found.address + found.size:
            return None
        return found._replace(name=demangled(found.name))

    return symbol_at


def writable_symbols(image: KernelImage) -> list[Symbol]:
    """Return all symbols in writable segments."""
    try:
        return [each for each in image.symbols.values() if is_writable(image, each.address)]
    except BadImage:
        return []


def is_writable(image: KernelImage, address: int) -> bool:
    """Return whether a linear address lies in a writable segment of the kernel."""
    return any(
        each.flags & SegmentFlags.W and each.virtual <= address < each.virtual + each.size
        for each in image.segments
    )
