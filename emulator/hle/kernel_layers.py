"""Run the layers of a kernel that has models: replace their functions, watch them, or leave them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from emulator.errors import UnsupportedFunction, missing_symbols
from emulator.hle.binding import Bound
from emulator.hle.layers import Mode
from emulator.hle.lockstep import Lockstep, LockstepState
from emulator.hle.memory_views import ModelMemory, WatchedMemory
from emulator.hle.model import ReplacedFunction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.hle.kernels import Kernel, Models
    from emulator.hle.layers import LockstepCalls
    from emulator.hle.lockstep import WatchedFunction
    from emulator.machine.machine import Machine


class _State(NamedTuple):
    modes: Mapping[str, Mode]
    lockstep: LockstepState


class KernelLayers:
    """The layers of one kernel on one machine, all native at first.

    Args:
        machine: The machine.
        kernel: The kernel that it runs. It has all symbols that its models need.
    """

    def __init__(self, machine: Machine, kernel: Kernel) -> None:
        self._machine = machine
        self._bound = Bound(machine, kernel)
        self._plain = self._bound.models(ModelMemory(machine))
        self._watched_models: Models | None = None
        self._modes = dict.fromkeys(kernel.layers, Mode.NATIVE)
        self._lockstep: Lockstep | None = None
        self._replaced: dict[str, ReplacedFunction] = {}
        self._watched: dict[str, WatchedFunction] = {}

    def choose(self, modes: Mapping[str, Mode]) -> None:
        """Run these layers in these modes from now on.

        Raises:
            KernelMismatch: The kernel lacks a function of theirs. Nothing is changed.
            UnsupportedFunction: Lockstep: a function's end cannot be found. Nothing is changed.
        """
        modes = {layer: mode for layer, mode in modes.items() if mode is not self._modes[layer]}
        for layer, mode in modes.items():
            self._check(layer, mode)
        for layer, mode in modes.items():
            for name in self._names(layer, Mode.MODEL):
                if self._modes[layer] is Mode.MODEL:
                    self._replaced[name].repair()
                if mode is Mode.MODEL:
                    self._replace(name)
                    self._replaced[name].patch()
            self._switch(layer, mode)
        if modes:
            self._bind()
            self._machine.flush_code()

    def lockstep_calls(self) -> LockstepCalls | None:
        """Return how many calls were made in lockstep; None: no layer ever ran in lockstep."""
        return None if self._lockstep is None else self._lockstep.calls

    def modelled(self) -> list[str]:
        """Return the layers that run as models now."""
        return [layer for layer, mode in self._modes.items() if mode is Mode.MODEL]

    def save(self) -> _State:
        """Return how the layers run, and how far the calls in lockstep are."""
        lockstep = LockstepState() if self._lockstep is None else self._lockstep.save()
        return _State(dict(self._modes), lockstep)

    def restore(self, state: object) -> None:
        """Go back to what `save` returned; None: to all native. RAM has the functions' first bytes of that time already."""
        modes, lockstep = cast("_State | None", state) or (
            dict.fromkeys(self._modes, Mode.NATIVE),
            LockstepState(),
        )
        changed = {layer: mode for layer, mode in modes.items() if mode is not self._modes[layer]}
        for layer, mode in changed.items():
            self._switch(layer, mode)
        if changed:
            self._bind()
        if self._lockstep is not None:
            self._lockstep.restore(lockstep)

    def open_call(self) -> str:
        """Return a line about the innermost open call in lockstep; "" if there is none."""
        return "" if self._lockstep is None else self._lockstep.open_call()

    def _names(self, layer: str, mode: Mode) -> list[str]:
        """Return the functions of a layer on which a mode has an effect."""
        functions = [each for each in self._plain.functions.values() if each.layer == layer]
        return [each.name for each in functions if each.replaces or mode is not Mode.MODEL]

    def _check(self, layer: str, mode: Mode) -> None:
        if mode is Mode.NATIVE:
            return
        symbols = self._machine.image.symbols
        missing = [name for name in self._names(layer, mode) if name not in symbols]
        if missing:
            raise missing_symbols(self._machine.image.path, missing, f"layer {layer}")
        for name in self._names(layer, mode):
            if not self._machine.image.code(symbols[name].address, 1):
                raise UnsupportedFunction(name, f"its symbol at 0x{symbols[name].address:08x} covers no code")
        if mode is Mode.LOCKSTEP:
            self._lockstep = self._lockstep or Lockstep(self._bound)
            for name in self._names(layer, mode):
                self._lockstep.exits(name)

    def _switch(self, layer: str, mode: Mode) -> None:
        """Switch the probes of a layer's functions to a mode."""
        names = self._names(layer, Mode.LOCKSTEP)
        if self._modes[layer] is Mode.LOCKSTEP and self._lockstep is not None:
            self._lockstep.give_up(names)
        self._modes[layer] = mode
        for name in names:
            if mode is Mode.LOCKSTEP and name not in self._watched and self._lockstep is not None:
                self._watched[name] = self._lockstep.watch(name)
            if name in self._replaced:
                self._replaced[name].switch(mode is Mode.MODEL)
            if name in self._watched:
                self._watched[name].switch(mode is Mode.LOCKSTEP)

    def _replace(self, name: str) -> None:
        if name not in self._replaced:
            self._replaced[name] = ReplacedFunction(self._bound, self._plain.functions[name])

    def _bind(self) -> None:
        """Let writes of models inside a watched call count as the native code's."""
        models = self._plain
        if Mode.LOCKSTEP in self._modes.values():
            if self._watched_models is None:
                self._watched_models = self._bound.models(WatchedMemory(self._machine))
            models = self._watched_models
        for name, replaced in self._replaced.items():
            replaced.function = models.functions[name]
