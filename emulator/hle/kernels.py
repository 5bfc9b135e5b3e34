"""The kernels whose memory management has models."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from emulator.loader.elf.symbols import Symbol
    from emulator.machine.machine import Machine
    from kernel_model.abi import Function
    from kernel_model.audit import Audit, Location
    from kernel_model.memory import Memory


class Models(Protocol):
    """The models of one kernel, as its `abi` module makes them."""

    functions: Mapping[str, Function]

    def locate(self, address: int, size: int = 1) -> Location | None:
        """Return what the *size* bytes, 1 to 4, from a physical address on are; None: nothing that is known.

        Raises:
            IndexError: The kernel's pointers lead out of memory.
        """

    def linear(self, address: int) -> int:
        """Return what the kernel calls a physical address."""

    def audits(self, memory_size: int) -> Sequence[Audit]:
        """Return the audits of the kernel's structures, in the order in which what they find is reported.

        Args:
            memory_size: Bytes of guest memory.
        """


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel with models. They are imported when they are needed.

    Attributes:
        name: For people.
        layers: The layers that can be modelled, the lowest first.
    """

    name: str
    layers: tuple[str, ...]
    _module: str
    _class: str

    @property
    def symbols(self) -> Mapping[str, tuple[str, ...]]:
        """Symbols of data that each layer's model needs."""
        return cast("Mapping[str, tuple[str, ...]]", importlib.import_module(self._module).LAYER_SYMBOLS)

    def missing(self, symbols: Mapping[str, object], layer: str) -> list[str]:
        """Which symbols of a layer a kernel file lacks."""
        return [name for name in self.symbols[layer] if name not in symbols]

    def models(self, memory: Memory, symbols: Mapping[str, int], console: Callable[[str], None]) -> Models:
        """The models on some memory."""
        made = getattr(importlib.import_module(self._module), self._class)(memory, symbols, console)
        return cast("Models", made)


LITECORE = Kernel("LiteCore", ("memmap", "heap"), "kernel_model.litecore.abi", "LiteCore")
BTRON = Kernel("BTRON/386", ("pmem", "kmem", "pools"), "kernel_model.btron.abi", "Btron")
KERNELS = (LITECORE, BTRON)


def kernel_of(layer: str) -> Kernel | None:
    """The kernel that has this layer."""
    return next((kernel for kernel in KERNELS if layer in kernel.layers), None)


def find_models(machine: Machine, kernel: Kernel) -> Models | None:
    """A kernel's models on the machine's RAM, or None when the machine runs another kernel."""
    symbols = addresses(machine)
    if any(kernel.missing(symbols, layer) for layer in kernel.layers):
        return None
    return kernel.models(machine.memory, symbols, machine.print_for_guest)


def addresses(machine: Machine) -> dict[str, int]:
    """Addresses of all symbols, as linked; without those where the machine has no memory."""
    image, end = machine.image, len(machine.memory)
    return {
        name: symbol.address
        for name, symbol in image.symbols.items()
        if image.physical(symbol.address) + WORD_SIZE <= end
    }


def symbol_outside(machine: Machine, kernel: Kernel, layers: Iterable[str]) -> Symbol | None:
    """The first symbol that these layers need and the kernel has where the machine has no memory; None: there is none."""
    inside = addresses(machine)
    names = (name for layer in layers for name in kernel.missing(inside, layer))
    return next((symbol for name in names if (symbol := machine.image.symbol(name))), None)


def outside_text(symbol: Symbol) -> str:
    """Say that a symbol is where the machine has no memory."""
    return f"symbol {symbol.name} at 0x{symbol.address:08x} lies outside of memory"
