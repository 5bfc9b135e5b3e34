"""Damage in the heap of a known kernel, looked for after a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.hle.kernels import LITECORE, find_models
from kernel_model.litecore.abi import LiteCore
from kernel_model.text import defect_text

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from kernel_model.litecore.heap import Heap


class HeapWalk:
    """Looks at one heap."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap

    @classmethod
    def of(cls, machine: Machine) -> HeapWalk | None:
        """Return the walk for a machine's kernel; None where its heap is not known, or not in order from the start."""
        models = find_models(machine, LITECORE)
        if not isinstance(models, LiteCore) or models.heap.validate():
            return None
        return cls(models.heap)

    def damage(self) -> list[str]:
        """Return what is wrong now. This takes about a microsecond for each block."""
        return [defect_text(defect) for defect in self._heap.validate()]
