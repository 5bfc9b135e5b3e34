"""The layers of a kernel's memory management, and the three ways to run each of them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, cast

from emulator.errors import BadImage, UnknownName, missing_symbols
from emulator.hle import kernels
from emulator.hle.kernels import kernel_of, layer_names, outside_text, symbol_outside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.hle.kernel_layers import KernelLayers
    from emulator.hle.kernels import Kernel
    from emulator.machine.machine import Machine


class Mode(Enum):
    """How a layer runs."""

    NATIVE = "native"  # the guest's own code
    MODEL = "model"  # the Python model instead of it, on guest RAM
    LOCKSTEP = "lockstep"  # both; they must agree after every call


class LockstepCalls(NamedTuple):
    """How many calls were made in lockstep.

    Attributes:
        compared: Model and native code agreed after each of them.
        given_up: Calls that did not return through their `ret`, or into which something from outside intervened. They
            were not compared. Those to which the handler of an exception has not come back are among them.
    """

    compared: int = 0
    given_up: int = 0

    def __str__(self) -> str:
        calls = f"{self.compared} call{'s' * (self.compared != 1)} compared"
        return f"{calls}, {self.given_up} given up" if self.given_up else calls


def attach_layers(machine: Machine, modes: Mapping[str, Mode]) -> None:
    """Choose how layers run from now on; layers not named stay as they are.

    A model finds the structures that native code has left, and the other way round, so modes may change in the middle of
    a run, any number of times. Snapshots keep how layers ran: `Snapshot.reset` brings it back.

    Raises:
        UnknownName: There is no such layer.
        KernelMismatch: The kernel lacks symbols of a layer.
        UnsupportedFunction: Lockstep: a function's end cannot be found.
        ValueError: Lockstep on the reference MMU, which does not report which pages are written, or the machine runs.

    After any of these errors all layers run as before.
    """
    machine.check_rests("attach_layers()")
    layers = machine.layers if isinstance(machine.layers, Layers) else Layers(machine)
    layers.choose(modes)
    machine.layers = layers


def lockstep_calls(machine: Machine) -> LockstepCalls | None:
    """Return how many calls were made in lockstep so far; None: no layer of the machine runs in lockstep, or ever did."""
    return machine.layers.lockstep_calls() if isinstance(machine.layers, Layers) else None


def modelled_layers(machine: Machine) -> frozenset[str]:
    """Return the layers that run as models now: what these call inside one another is no call of the guest's."""
    return machine.layers.modelled() if isinstance(machine.layers, Layers) else frozenset()


class Layers:
    """How the layers of one machine run.

    Args:
        machine: The machine.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._kernels: dict[str, KernelLayers] = {}

    def choose(self, modes: Mapping[str, Mode]) -> None:
        """See `attach_layers`."""
        by_kernel: dict[str, dict[str, Mode]] = {}
        for layer, mode in modes.items():
            kernel = kernel_of(layer)
            if kernel is None:
                raise UnknownName("layer", layer, layer_names())
            by_kernel.setdefault(kernel.name, {})[layer] = mode
        if Mode.LOCKSTEP in modes.values() and self._machine.mmu == "reference":
            raise ValueError("lockstep needs kmemu's MMU, not the reference")
        for kernel in kernels.KERNELS:
            chosen = by_kernel.get(kernel.name, {})
            if kernel.name in self._kernels:
                self._kernels[kernel.name].choose(chosen)
            elif any(mode is not Mode.NATIVE for mode in chosen.values()):
                self._attach(kernel, chosen)

    def _attach(self, kernel: Kernel, modes: Mapping[str, Mode]) -> None:
        from emulator.hle.kernel_layers import KernelLayers  # not every run needs it

        for layer in modes:
            missing = kernel.missing(self._machine.image.symbols, layer)
            if missing:
                raise missing_symbols(self._machine.image.path, missing, f"layer {layer}")
        outside = symbol_outside(self._machine, kernel, modes)
        if outside is not None:
            raise BadImage(self._machine.image.path, outside_text(outside), value=outside.address)
        layers = KernelLayers(self._machine, kernel)
        layers.choose(modes)
        self._kernels[kernel.name] = layers

    def lockstep_calls(self) -> LockstepCalls | None:
        """See the function `lockstep_calls`."""
        calls = [each for one in self._kernels.values() if (each := one.lockstep_calls()) is not None]
        return LockstepCalls(*map(sum, zip(*calls, strict=True))) if calls else None

    def modelled(self) -> frozenset[str]:
        """See `modelled_layers`."""
        return frozenset().union(*(each.modelled() for each in self._kernels.values()))

    # The machine's state, see `emulator.machine.layer_state.LayerModes`.

    def save(self) -> object:
        """Return how all layers run, and how far the calls in lockstep are."""
        return {name: layers.save() for name, layers in self._kernels.items()}

    def restore(self, state: object) -> None:
        """Go back to what `save` returned."""
        saved = cast("dict[str, object]", state or {})
        for name, layers in self._kernels.items():
            layers.restore(saved.get(name))

    def open_call(self) -> str:
        """Return a line about the innermost open call in lockstep; "" if there is none."""
        return next((text for each in self._kernels.values() if (text := each.open_call())), "")
