"""The audits of BTRON/386: its pages, its byte allocator and its memory pools.

Theory. Everything happens with interrupts off. So all invariants hold while they are on, wherever the kernel is and
whatever tasks wait in a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.btron import kmem, pmem
from kernel_model.btron.kmem_reader import KmemReader
from kernel_model.btron.page_reader import page_defects
from kernel_model.btron.pools.reader import PoolReader

if TYPE_CHECKING:
    from kernel_model.audit import Audit, Defect
    from kernel_model.btron.abi import Btron
    from kernel_model.memory import Memory


class PageAudit:
    """Checks the page table. See `kernel_model.audit.Audit`."""

    structure = "page table"
    areas = (pmem.AREA,)

    def __init__(self, memory: Memory, memory_size: int, pages: pmem.Pmem) -> None:
        self._memory = memory
        self._size = memory_size
        self._pmem = pages

    def defects(self) -> list[Defect]:
        """See `Audit.defects`."""
        return list(page_defects(self._memory, self._size, self._pmem))


class KmemAudit:
    """Checks the extents and the free list of the byte allocator. See `kernel_model.audit.Audit`."""

    structure = "kmem"
    areas = (kmem.AREA,)

    def __init__(self, memory: Memory, memory_size: int, model: kmem.Kmem) -> None:
        self._memory = memory
        self._size = memory_size
        self._kmem = model

    def defects(self) -> list[Defect]:
        """See `Audit.defects`."""
        found: list[Defect] = []
        KmemReader(self._memory, self._size, self._kmem, [], found).state()
        return found


class PoolAudit:
    """Checks the records, free lists and queues of all memory pools. See `kernel_model.audit.Audit`."""

    structure = "pools"
    areas = ("mpl", "mpf")

    def __init__(self, memory: Memory, memory_size: int, btron: Btron) -> None:
        self._memory = memory
        self._size = memory_size
        self._btron = btron

    def defects(self) -> list[Defect]:
        """See `Audit.defects`."""
        found: list[Defect] = []
        for _ in PoolReader(self._memory, self._size, self._btron, [], found).pools():
            """Each pool is checked on the way."""
        return found


def audits(memory: Memory, memory_size: int, btron: Btron) -> tuple[Audit, ...]:
    """Return all audits of one kernel.

    Args:
        memory: Physical guest memory.
        memory_size: Its bytes.
        btron: The models; only read from.
    """
    return (
        PageAudit(memory, memory_size, btron.pmem),
        KmemAudit(memory, memory_size, btron.kmem),
        PoolAudit(memory, memory_size, btron),
    )
