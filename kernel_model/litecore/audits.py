"""The audits of LiteCore: its heap, its memmap and its locks.

Theory. Everything happens with the lock of its structure held, so all invariants of heap and memmap hold while no lock is
held, wherever the kernel is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import Defect, Invariant, variable
from kernel_model.litecore import heap_reader, memmap
from kernel_model.litecore.memmap_reader import memmap_defects
from kernel_model.litecore.spinlock import FREE, HELD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel_model.audit import Audit
    from kernel_model.litecore.heap_reader import HeapReader
    from kernel_model.litecore.memmap import Memmap
    from kernel_model.memory import Memory

_LOCKS: Final = {"heap_lock": heap_reader.AREA, "memmap_lock": memmap.AREA}
_LOCK_VALUE: Final = Invariant("lock-value", "neither 0 nor 1")


class HeapAudit:
    """Checks the kernel heap. See `kernel_model.audit.Audit`."""

    structure = "heap"
    areas = (heap_reader.AREA,)

    def __init__(self, heap: HeapReader) -> None:
        self._heap = heap

    def defects(self) -> list[Defect]:
        """See `Audit.defects`. A valid heap costs about a tenth of a microsecond for each block."""
        return [] if self._heap.is_valid() else self._heap.validate()


class MemmapAudit:
    """Checks the frame allocator's struct and bitmap. See `kernel_model.audit.Audit`."""

    structure = "memmap"
    areas = (memmap.AREA,)

    def __init__(self, memory: Memory, memory_size: int, model: Memmap, address: int) -> None:
        self._memory = memory
        self._size = memory_size
        self._memmap = model
        self._address = address

    def defects(self) -> list[Defect]:
        """See `Audit.defects`."""
        return list(memmap_defects(self._memory, self._size, self._memmap, self._address))


class LockAudit:
    """Checks the words of the spin locks. See `kernel_model.audit.Audit`."""

    structure = "locks"
    areas = tuple(_LOCKS.values())

    def __init__(self, memory: Memory, symbols: Mapping[str, int]) -> None:
        self._memory = memory
        self._addresses = {name: symbols[name] for name in _LOCKS}

    def defects(self) -> list[Defect]:
        """See `Audit.defects`."""
        values = {name: self._memory.load_u32(address) for name, address in self._addresses.items()}
        return [
            Defect(_LOCK_VALUE, _LOCKS[name], variable(name, self._addresses[name]), value)
            for name, value in values.items()
            if value not in (FREE, HELD)
        ]

    def any_held(self) -> bool:
        """Return whether the kernel is in the middle of changing a structure."""
        return any(self._memory.load_u32(address) == HELD for address in self._addresses.values())


def audits(
    memory: Memory, memory_size: int, symbols: Mapping[str, int], heap: HeapReader, frames: Memmap
) -> tuple[Audit, ...]:
    """Return all audits of one kernel.

    Args:
        memory: Guest memory.
        memory_size: Its bytes.
        symbols: Addresses by the names of the C code.
        heap: The model of the heap; only read from.
        frames: The model of the memmap; only read from.
    """
    return (
        HeapAudit(heap),
        MemmapAudit(memory, memory_size, frames, symbols["memmap"]),
        LockAudit(memory, symbols),
    )
