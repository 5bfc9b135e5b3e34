"""The layers of a kernel's memory management, and the three ways to run each of them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, cast

from emulator.errors import MissingSymbol, UnknownLayer
from emulator.hle.kernels import BTRON, KERNELS, LITECORE, addresses, find_models, kernel_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.hle.kernels import Kernel
    from emulator.loader.symbols import Symbol
    from emulator.machine.machine import Machine
    from kernel_model.abi import Function
    from kernel_model.btron.abi import Btron
    from kernel_model.litecore.abi import LiteCore


class Mode(Enum):
    """How a layer runs."""

    NATIVE = "native"  # the guest's own code
    MODEL = "model"  # the Python model instead of it, on guest RAM
    LOCKSTEP = "lockstep"  # both; they must agree after every call


LAYERS = tuple(layer for kernel in KERNELS for layer in kernel.layers)


def find_litecore(machine: Machine) -> LiteCore | None:
    """LiteCore's models on the machine's RAM, or None when the kernel lacks LiteCore's symbols."""
    return cast("LiteCore | None", find_models(machine, LITECORE))


def find_btron(machine: Machine) -> Btron | None:
    """BTRON/386's models on the machine's RAM, or None when the kernel lacks BTRON's symbols."""
    return cast("Btron | None", find_models(machine, BTRON))


def attach_layers(machine: Machine, modes: Mapping[str, Mode]) -> None:
    """Choose how layers run from now on; layers not named stay as they are.

    A model finds the structures that native code has left, so this may happen in the middle of a run.

    Raises:
        UnknownLayer: There is no such layer.
        MissingSymbol: The kernel lacks symbols of a layer.
        UnsupportedFunction: Lockstep: a function's end cannot be found.
        ValueError: Lockstep on the reference MMU, which does not tell which pages are written.
    """
    chosen = {layer: mode for layer, mode in modes.items() if mode is not Mode.NATIVE}
    kernels = {}
    for layer in modes:
        kernel = kernel_of(layer)
        if kernel is None:
            raise UnknownLayer("layer", layer, LAYERS)
        kernels[layer] = kernel
    if Mode.LOCKSTEP in chosen.values() and machine.mmu == "reference":
        raise ValueError("lockstep needs the fast MMU")
    symbols = addresses(machine) if chosen else {}
    for layer in chosen:
        missing = kernels[layer].missing(symbols, layer)
        if missing:
            raise MissingSymbol(machine.image.path, missing, f"layer {layer}")
    for kernel in KERNELS:
        if kernel in [kernels[layer] for layer in chosen]:
            _attach(machine, kernel, symbols, chosen)


def _attach(machine: Machine, kernel: Kernel, symbols: Mapping[str, int], chosen: Mapping[str, Mode]) -> None:
    from emulator.hle.lockstep import Lockstep, WatchedMemory  # not every run needs them
    from emulator.hle.model import replace_function

    watched = Mode.LOCKSTEP in chosen.values()
    memory = WatchedMemory(machine.cpu) if watched else machine.memory
    model = kernel.models(memory, symbols, machine.print_for_guest)
    functions = [each for each in model.functions.values() if each.layer in chosen]
    places = {each.name: _function_symbol(machine, each) for each in functions}
    lockstep = Lockstep(machine, kernel, symbols)
    for function in functions:
        if chosen[function.layer] is Mode.LOCKSTEP:
            lockstep.watch(function.name, places[function.name])
    for function in functions:
        if chosen[function.layer] is Mode.MODEL:
            replace_function(machine, function, places[function.name].address)
    machine.cpu.flush_code()


def _function_symbol(machine: Machine, function: Function) -> Symbol:
    symbol = machine.image.symbol(function.name)
    if symbol is None:
        raise MissingSymbol(machine.image.path, [function.name], f"layer {function.layer}")
    return symbol
