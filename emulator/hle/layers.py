"""The layers of a kernel's memory management, and the three ways to run each of them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from emulator.errors import MissingSymbol, UnknownLayer
from kernel_model.litecore.abi import LAYER_SYMBOLS, LiteCore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.boot.symbols import Symbol
    from emulator.machine.machine import Machine
    from kernel_model.litecore.abi import Function


class Mode(Enum):
    """How a layer runs."""

    NATIVE = "native"  # the guest's own code
    MODEL = "model"  # the Python model instead of it, on guest RAM
    LOCKSTEP = "lockstep"  # both; they must agree after every call


LAYERS = tuple(LAYER_SYMBOLS)


def find_litecore(machine: Machine) -> LiteCore | None:
    """LiteCore's models on the machine's RAM, or None when the kernel lacks LiteCore's symbols."""
    symbols = _addresses(machine)
    if any(name not in symbols for names in LAYER_SYMBOLS.values() for name in names):
        return None
    return LiteCore(machine.memory, symbols, machine.print_for_guest)


def attach_layers(machine: Machine, modes: Mapping[str, Mode]) -> None:
    """Choose how layers run from now on; layers not named stay as they are.

    A model finds the structures that native code has left, so this may happen in the middle of a run.

    Raises:
        UnknownLayer: There is no such layer.
        MissingSymbol: The kernel lacks symbols of a layer.
        UnsupportedFunction: Lockstep: a function's end cannot be found.
        ValueError: Lockstep on the reference MMU, which does not tell which pages are written.
    """
    for layer in modes:
        if layer not in LAYERS:
            raise UnknownLayer("layer", layer, LAYERS)
    chosen = {layer: mode for layer, mode in modes.items() if mode is not Mode.NATIVE}
    if not chosen:
        return
    if Mode.LOCKSTEP in chosen.values() and machine.mmu == "reference":
        raise ValueError("lockstep needs the fast MMU")
    symbols = _addresses(machine)
    for layer in chosen:
        missing = [name for name in LAYER_SYMBOLS[layer] if name not in symbols]
        if missing:
            raise MissingSymbol(machine.image.path, missing, f"layer {layer}")
    _attach(machine, symbols, chosen)


def _attach(machine: Machine, symbols: Mapping[str, int], chosen: Mapping[str, Mode]) -> None:
    from emulator.hle.lockstep import Lockstep  # not every run needs it
    from emulator.hle.model import replace_function

    model = LiteCore(machine.memory, symbols, machine.print_for_guest)
    functions = [each for each in model.functions.values() if each.layer in chosen]
    places = {each.name: _function_symbol(machine, each) for each in functions}
    lockstep = Lockstep(machine, symbols)
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


def _addresses(machine: Machine) -> dict[str, int]:
    return {name: symbol.address for name, symbol in machine.image.symbols.items()}
