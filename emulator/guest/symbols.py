"""Symbols of a kernel whose symbol table may be damaged: then it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import BadImage

if TYPE_CHECKING:
    from emulator.loader.elf.symbols import Symbol
    from emulator.loader.image import KernelImage


def function_at(image: KernelImage, address: int) -> tuple[str, int] | None:
    """Return the name of the function that a linear address lies in, and the offset in it."""
    try:
        found = image.function_at(address)
    except BadImage:
        return None
    return None if found is None else (found[0].name, found[1])


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
