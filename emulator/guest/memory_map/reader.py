"""Read what a machine's memory is used for.

The guest may have overwritten everything, or may never have set it up. So nothing is believed before it is checked,
and there is a limit to how many blocks are read; what makes no sense is left out, with a note that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emulator.errors import BadImage
from emulator.guest.memory_map.memory_map import MemoryMap
from emulator.guest.memory_map.regions import (
    FRAME_SIZE,
    Region,
    RegionKind,
    add_regions,
    by_address,
    joined,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.guest.memory_map.regions import Span
    from emulator.hle.kernels import Models
    from emulator.machine.machine import Machine

Reader = Callable[["Machine", "Models", list[Region], list[Region]], MemoryMap]
"""Reads the memory map of one kernel. `emulator.hle.kernels.Kernel.memory_map` names it.

Args: the machine, stopped; the kernel's models on the machine's memory, only read from; the kernel's segments; boot modules.
"""

_NAMES_SHOWN = 4


def read_memory_map(machine: Machine, modules: Iterable[Span] = ()) -> MemoryMap:
    """Read what a machine's memory is used for now.

    Args:
        machine: Stopped.
        modules: Where boot modules lie: `Machine.modules`.
    """
    found, models = _structures(machine, modules)
    if not machine.cpu.page_directory():
        return found
    from emulator.guest.memory_map.paging import with_spaces  # most runs do without paging

    return with_spaces(machine, found, models)


def _structures(machine: Machine, modules: Iterable[Span]) -> tuple[MemoryMap, Models | None]:
    """Return the memory map without address spaces, and the kernel's models."""
    from emulator.hle.kernels import load, recognize  # only here are the models needed

    # Less than a page between two segments is padding.
    spans = joined(((each.physical, each.end) for each in machine.image.segments), gap=FRAME_SIZE - 1)
    image = [Region(*span, RegionKind.IMAGE) for span in spans]
    reserved = [Region(*span, RegionKind.RESERVED) for span in modules]
    try:
        found = recognize(machine)
        why = "" if found is not None else _why_unknown(machine)
    except BadImage as error:
        found, why = None, error.problem
    if found is None:
        return _without_structures(machine, add_regions(image, reserved), why), None
    kernel, models = found
    if not kernel.memory_map:
        unread = f"the memory map of {kernel.name} cannot be read"
        known = _without_structures(machine, add_regions(image, reserved), unread)
        return known._replace(kernel=kernel.name), models
    read: Reader = load(kernel.memory_map)
    return read(machine, models, image, reserved)._replace(kernel=kernel.name), models


def _without_structures(machine: Machine, regions: list[Region], why: str) -> MemoryMap:
    notes = (f"frames and heap are unknown: {why}",)
    ram = (machine.ram.start, machine.ram.end)
    return MemoryMap(ram, tuple(by_address(regions)), notes=notes)


def _why_unknown(machine: Machine) -> str:
    """Say why a machine's kernel is none of those that are known."""
    from emulator.hle.kernels import KERNELS, outside_text, symbol_outside
    from emulator.profile.discovery.candidates import likely_names

    for kernel in KERNELS:
        if kernel.is_in(machine.image.symbols):
            outside = symbol_outside(machine, kernel, kernel.layers_in(machine.image.symbols))
            if outside is not None:
                return outside_text(outside)
    names = " and of ".join(kernel.name for kernel in KERNELS)
    allocators = likely_names(machine.image)[:_NAMES_SHOWN]
    it_has = f"; for kmemu check, kmemu init describes {', '.join(allocators)}" if allocators else ""
    return f"kmemu reads those of {names}{it_has}"
