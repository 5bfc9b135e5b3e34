"""How the layers of the kernel run, as a part of the state of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


class LayerModes(Protocol):
    """How the layers of a machine's kernel run (`emulator.hle.layers`). That belongs to the state of the machine."""

    def save(self) -> object:
        """Return the state now, for `restore`."""

    def restore(self, state: object) -> None:
        """Go back to a state; None is that of a machine whose layers all run native. RAM has gone back by itself."""

    def open_call(self) -> str:
        """Return what has to be said of a call that the guest is in, for people; empty if there is nothing."""


class LayersOf:
    """The layers of a machine as a part of its state; they may be attached after a snapshot.

    Args:
        machine: It.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def save(self) -> object:
        """Return how they run; None: none is attached."""
        layers = self._machine.layers
        return None if layers is None else layers.save()

    def restore(self, state: object) -> None:
        """Go back to that."""
        if self._machine.layers is not None:
            self._machine.layers.restore(state)
