"""Audit the heap of a known kernel after a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.hle.kernels import recognize
from kernel_model.text import defect_text

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from kernel_model.audit import Audit

_STRUCTURE = "heap"


class HeapWalk:
    """Audits one heap."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    @classmethod
    def of(cls, machine: Machine) -> HeapWalk | None:
        """Return the walk for a machine's kernel; None where its heap is not known, or is damaged from the start."""
        found = recognize(machine)
        if found is None:
            return None
        _, models = found
        audits = models.audits(len(machine.memory))
        heap = next((audit for audit in audits if audit.structure == _STRUCTURE), None)
        return None if heap is None or heap.defects() else cls(heap)

    def damage(self) -> list[str]:
        """Return a line for each defect that there is now. This takes about a microsecond for each block."""
        return [defect_text(defect) for defect in self._audit.defects()]
