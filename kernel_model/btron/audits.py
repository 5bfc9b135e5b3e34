"""The audits of BTRON/386: its pages, its byte allocator and its memory pools.

Theory. Everything happens with interrupts off. So all invariants hold while they are on, wherever the kernel is and
whatever tasks wait in a call.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kernel_model.audit import Audit
from kernel_model.btron import kmem, pmem
from kernel_model.btron.kmem_reader import read_kmem
from kernel_model.btron.page_reader import page_defects
from kernel_model.btron.pools.reader import PoolReader

if TYPE_CHECKING:
    from kernel_model.audit import Defect
    from kernel_model.btron.abi import Btron
    from kernel_model.memory import Memory


def audits(memory: Memory, memory_size: int, btron: Btron) -> tuple[Audit, ...]:
    """Return all audits of one kernel.

    Args:
        memory: Physical guest memory.
        memory_size: Its bytes.
        btron: The models; only read from.
    """
    arguments = memory, memory_size, btron
    return (
        Audit("page table", (pmem.AREA,), lambda: list(page_defects(memory, memory_size, btron.pmem))),
        Audit("kmem", (kmem.AREA,), partial(_kmem_defects, *arguments)),
        Audit("pools", ("mpl", "mpf"), partial(_pool_defects, *arguments)),
    )


def _kmem_defects(memory: Memory, memory_size: int, btron: Btron) -> list[Defect]:
    """Check the extents and the free list of the byte allocator."""
    found: list[Defect] = []
    read_kmem(memory, memory_size, btron.kmem, [], found)
    return found


def _pool_defects(memory: Memory, memory_size: int, btron: Btron) -> list[Defect]:
    """Check the records, free lists and queues of all memory pools."""
    found: list[Defect] = []
    for _ in PoolReader(memory, memory_size, btron, [], found).pools():
        """Each pool is checked on the way."""
    return found
