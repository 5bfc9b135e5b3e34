"""Inspect a kernel file: what it holds, and which of its layers can be modelled."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from emulator.hle import kernels
from emulator.profile.discovery.areas import draft_areas
from emulator.profile.known import find_profile
from emulator.wording import code_location
from kernel_model.memory import ByteMemory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.hle.kernels import Kernel
    from emulator.loader.image import KernelImage
    from emulator.loader.multiboot1 import MultibootHeader
    from emulator.loader.multiboot2 import Multiboot2Header
    from emulator.loader.segments import Segment

_FUNCTIONS_TRIED = 64


class Inspection(NamedTuple):
    """What a kernel file holds.

    Attributes:
        kernel: The kernel as the user named it.
        file_size: Bytes.
        is_elf: Whether it is an ELF file, and loaded as one.
        entry: Linked address of the first instruction.
        entry_location: The same, as function, offset and source line.
        end: The linker symbol ``__end``.
        symbol_count: Number of defined symbols.
        function_count: Number of those that are functions.
        has_lines: Whether there is line information for the functions.
        missing: Layer -> the symbols that its model needs and that are not there.
        needed: Layer -> how many symbols its model needs.
        profile: Title of the built-in profile that fits; "": none does.
        allocators: Functions that look like allocators, the best first, where no profile fits.
        modelled: Name of the kernel whose layers can be modelled, up to its base layer at least; None: none that is known.
    """

    kernel: str
    file_size: int
    is_elf: bool
    segments: tuple[Segment, ...]
    entry: int
    entry_location: str
    end: int | None
    multiboot: MultibootHeader | Multiboot2Header | None
    symbol_count: int
    function_count: int
    has_lines: bool
    missing: Mapping[str, tuple[str, ...]]
    modelled: str | None
    needed: Mapping[str, int]
    profile: str
    allocators: tuple[str, ...]

    def is_near(self, layer: str) -> bool:
        """Return whether a kernel that lacks symbols of a layer has half of them: then it is worth to name those."""
        return 2 * len(self.missing[layer]) <= self.needed[layer]

    def has_layer(self, layer: str) -> bool:
        """Return whether a layer is one of the kernel that is modelled, be it in this file or not."""
        kernel = kernels.kernel_of(layer)
        return kernel is not None and kernel.name == self.modelled


def inspect_image(image: KernelImage, kernel: str) -> Inspection:
    """Return what is known of a kernel file, which is not run.

    Args:
        image: The file.
        kernel: As the user named it.

    Raises:
        BadImage: The symbol table is damaged.
    """
    symbols = image.symbols
    functions = [symbol for symbol in symbols.values() if symbol.kind == "function"]
    end = image.symbol("__end")
    needed = {layer: names for kernel in kernels.KERNELS for layer, names in _needed(kernel).items()}
    missing = {layer: tuple(name for name in names if name not in symbols) for layer, names in needed.items()}
    profile = find_profile(image)
    return Inspection(
        kernel,
        len(image.data),
        image.is_elf,
        image.segments,
        image.entry,
        code_location(*image.location(image.entry)),
        None if end is None else end.address,
        image.multiboot,
        len(symbols),
        len(functions),
        any(image.source_line(each.address) for each in islice(functions, _FUNCTIONS_TRIED)),
        missing,
        next((each.name for each in kernels.KERNELS if _can_be_modelled(each, missing)), None),
        {layer: len(names) for layer, names in needed.items()},
        "" if profile is None else profile.title,
        _allocators(image) if profile is None else (),
    )


def _allocators(image: KernelImage) -> tuple[str, ...]:
    taken = [each for area in draft_areas(image) for each in area.suggestions if each.is_taken]
    return tuple(each.name for each in taken)


def _can_be_modelled(kernel: Kernel, missing: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether a kernel's base layer, and all layers below it, lack nothing."""
    last = kernel.layers.index(kernel.base_layer)
    return not any(missing[layer] for layer in kernel.layers[: last + 1])


def _needed(kernel: Kernel) -> dict[str, list[str]]:
    every_symbol = {name: 0 for names in kernel.symbols.values() for name in names}
    functions = kernel.models(
        ByteMemory(0, 0), every_symbol, print
    ).functions.values()  # for their names only
    return {
        layer: [*kernel.symbols[layer], *(each.name for each in functions if each.layer == layer)]
        for layer in kernel.layers
    }
