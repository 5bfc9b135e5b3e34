"""The registry of the kernels whose memory management has models.

Which kernel a machine runs is asked here and nowhere else. Whoever needs something that depends on it (models, audits,
names of errors, a reader of the memory map, checks) takes it from the kernel's entry. An entry names its parts and imports
none of them, so it can name parts in rooms to the right of this one, and starting kmemu does not pay for what a run does not
need. A kernel is added by an entry in `KERNELS` and by its own modules.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from emulator.loader.elf.symbols import Symbol
    from emulator.machine.machine import Machine
    from kernel_model.abi import Function
    from kernel_model.audit import Audit, Location
    from kernel_model.btron.abi import Btron
    from kernel_model.cpu import Cpu
    from kernel_model.litecore.abi import LiteCore
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


class Kernel(NamedTuple):
    """The entry of a kernel. Parts are named as ``module:attribute``; see `load`.

    Attributes:
        name: Of the kernel, and of the built-in profile of its functions.
        layers: The layers that can be modelled, the lowest first.
        base_layer: A kernel that has what the models of this layer need is this kernel. Layers above it may be missing.
        abi: Module with ``LAYER_SYMBOLS``, the symbols of data that each layer's model needs.
        models_class: Makes `Models` from a memory, addresses by symbol, a function that prints, and a CPU.
        error_numbers: Names of the errors that calls return, by unsigned result; "" if it has none.
        memory_map: Function that reads the memory map, see `emulator.guest.memory_map.reader.Reader`; "" if there is none.
        address_spaces: Function that names the kernel's address spaces, see `emulator.guest.memory_map.kernel_spaces`: the models
            come in, and a list that gets what cannot be read; None comes out where it is not known which there are. "" if there is none.
        tasks: Class that reads the kernel's tasks, a `emulator.guest.tasks.TaskReader`; "" if it has none.
        checks: Class with what is checked besides the audits, a subclass of
            `emulator.check.structures.kernel_checks.KernelChecks`; "" if there is nothing.
    """

    name: str
    layers: tuple[str, ...]
    base_layer: str
    abi: str
    models_class: str
    error_numbers: str = ""
    memory_map: str = ""
    address_spaces: str = ""
    tasks: str = ""
    checks: str = ""

    @property
    def symbols(self) -> Mapping[str, tuple[str, ...]]:
        """Symbols of data that each layer's model needs."""
        return cast("Mapping[str, tuple[str, ...]]", load(f"{self.abi}:LAYER_SYMBOLS"))

    def missing(self, symbols: Mapping[str, object], layer: str) -> list[str]:
        """Return the symbols of a layer that a kernel file lacks."""
        return [name for name in self.symbols[layer] if name not in symbols]

    def is_in(self, symbols: Mapping[str, object]) -> bool:
        """Return whether a kernel file with these symbols is this kernel."""
        return not self.missing(symbols, self.base_layer)

    def layers_in(self, symbols: Mapping[str, object]) -> tuple[str, ...]:
        """Return the layers of which a kernel file has all symbols of data."""
        return tuple(layer for layer in self.layers if not self.missing(symbols, layer))

    def models(
        self,
        memory: Memory,
        symbols: Mapping[str, int],
        console: Callable[[str], None],
        cpu: Cpu | None = None,
    ) -> Models:
        """Return the models on some memory, with the CPU that runs the kernel; None: they only read, or there is none."""
        make = load(f"{self.abi}:{self.models_class}")
        return cast(
            "Models", make(memory, symbols, console) if cpu is None else make(memory, symbols, console, cpu)
        )


def load(part: str) -> Any:  # noqa: ANN401 - the part of a kernel may be anything
    """Import a part of a kernel's entry.

    Args:
        part: ``module:attribute``.
    """
    module, _, attribute = part.partition(":")
    return getattr(importlib.import_module(module), attribute)


LITECORE = Kernel(
    "LiteCore",
    ("memmap", "heap", "paging", "vspace"),
    "heap",
    "kernel_model.litecore.abi",
    "LiteCore",
    memory_map="emulator.guest.memory_map.litecore_reader:read_litecore",
    address_spaces="emulator.guest.memory_map.kernel_spaces:litecore_spaces",
    checks="emulator.check.structures.litecore_checks:LiteCoreChecks",
)
BTRON = Kernel(
    "BTRON/386",
    ("pmem", "kmem", "pools", "regions"),
    "pools",
    "kernel_model.btron.abi",
    "Btron",
    error_numbers="kernel_model.btron.errors:ERROR_NAMES",
    memory_map="emulator.guest.memory_map.btron_reader:read_btron",
    address_spaces="emulator.guest.memory_map.kernel_spaces:btron_spaces",
    tasks="emulator.guest.tasks:BtronTasks",
    checks="emulator.check.structures.btron_checks:BtronChecks",
)
KERNELS = (LITECORE, BTRON)


def recognize(machine: Machine, kernels: Iterable[Kernel] | None = None) -> tuple[Kernel, Models] | None:
    """Return the kernel that a machine runs, and its models on the machine's RAM; None: it is none that is known.

    A machine runs a kernel if it has all symbols of data that the models of its base layer need.

    Args:
        machine: Any.
        kernels: The kernels that are considered; None: all of `KERNELS`.

    Raises:
        BadImage: The symbol table is damaged.
    """
    symbols = addresses(machine)
    for kernel in KERNELS if kernels is None else kernels:
        if kernel.is_in(symbols):
            return kernel, kernel.models(
                machine.memory, symbols, machine.consoles.print_for_guest, machine.cpu
            )
    return None


def kernel_named(name: str) -> Kernel | None:
    """Return the kernel of this name, which is that of its profile, too."""
    return next((kernel for kernel in KERNELS if kernel.name == name), None)


def error_names(profile_name: str) -> Mapping[int, str]:
    """Return the names of the errors that calls return, by unsigned result; empty for a kernel whose names are not known.

    Args:
        profile_name: Of the profile of the calls.
    """
    kernel = kernel_named(profile_name)
    return load(kernel.error_numbers) if kernel is not None and kernel.error_numbers else {}


def kernel_of(layer: str) -> Kernel | None:
    """Return the kernel that has this layer."""
    return next((kernel for kernel in KERNELS if layer in kernel.layers), None)


def layer_names() -> tuple[str, ...]:
    """Return the names of all layers of all kernels."""
    return tuple(layer for kernel in KERNELS for layer in kernel.layers)


def find_litecore(machine: Machine) -> LiteCore | None:
    """Return LiteCore's models on the machine's RAM, or None when the kernel lacks LiteCore's symbols.

    For tests of that kernel; code that works with any kernel takes what `recognize` finds.
    """
    found = recognize(machine, [LITECORE])
    return cast("LiteCore | None", found and found[1])


def find_btron(machine: Machine) -> Btron | None:
    """Return BTRON/386's models on the machine's RAM, or None when the kernel lacks BTRON's symbols. See `find_litecore`."""
    found = recognize(machine, [BTRON])
    return cast("Btron | None", found and found[1])


def addresses(machine: Machine) -> dict[str, int]:
    """Return the addresses of all symbols, as linked; without those where the machine has no memory."""
    image, end = machine.image, len(machine.memory)
    return {
        name: symbol.address
        for name, symbol in image.symbols.items()
        if image.physical(symbol.address) + WORD_SIZE <= end
    }


def symbol_outside(machine: Machine, kernel: Kernel, layers: Iterable[str]) -> Symbol | None:
    """Return the first symbol that these layers need and the kernel has where the machine has no memory; None: none."""
    inside = addresses(machine)
    names = (name for layer in layers for name in kernel.missing(inside, layer))
    return next((symbol for name in names if (symbol := machine.image.symbol(name))), None)


def outside_text(symbol: Symbol) -> str:
    """Return a line that says that a symbol is where the machine has no memory."""
    return f"symbol {symbol.name} at 0x{symbol.address:08x} lies outside of memory"
