"""Reads BTRON/386's memory pools and who waits for them, and checks their records and free lists on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.report.btron_state import PoolState, Waiter
from kernel_model.btron.kernel_space import KERNEL_BASE, physical
from kernel_model.btron.kmem import ALIGNMENT
from kernel_model.btron.pool_table import LINK_OFFSET, TA_TPRI
from kernel_model.btron.tasks import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel_model.btron.abi import Btron
    from kernel_model.btron.mpf import FixedPools
    from kernel_model.btron.mpl import VariablePools
    from kernel_model.btron.pool_table import PoolBlock
    from kernel_model.memory import Memory

BLOCKS_MAX = 1_000_000


def holds(memory_size: int, address: int, size: int) -> bool:
    """Tell whether a stretch of kernel space is memory."""
    return address >= KERNEL_BASE and physical(address) + size <= min(memory_size, KERNEL_BASE)


class PoolReader:
    """One reading. All pools together may have `BLOCKS_MAX` blocks.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        btron: The models; only read from.
        notes: Receives why something is missing.
        defects: Receives broken rules.
    """

    def __init__(
        self, memory: Memory, memory_size: int, btron: Btron, notes: list[str], defects: list[str]
    ) -> None:
        self._memory = memory
        self._size = memory_size
        self._btron = btron
        self._notes = notes
        self._defects = defects
        self._blocks_left = BLOCKS_MAX

    def pools(self) -> Iterator[PoolState]:
        """Yield the pools that exist."""
        mpl, mpf = self._btron.mpl, self._btron.mpf
        for number in mpl.numbers():
            yield self._variable_pool(mpl, number)
        for number in mpf.numbers():
            yield self._fixed_pool(mpf, number)
        if not self._blocks_left:
            self._notes.append(f"the pools have {BLOCKS_MAX} blocks or more, and only those are counted")

    def _variable_pool(self, pools: VariablePools, number: int) -> PoolState:
        fields, name = pools.fields(number), f"mpl {number}"
        blocks: list[PoolBlock] = []
        end = fields.area
        if self._is_area(name, fields.area, fields.area_size):
            blocks = self._take(pools.blocks(number))
            end = blocks[-1].body + blocks[-1].size if blocks else end
            if self._blocks_left and end < fields.area + fields.area_size:
                self._defects.append(f"{name}: there is no record of a block at 0x{end:08x}")
            elif self._blocks_left:
                self._check_list(name, fields.free, [block.record for block in blocks if not block.used])
        return self._pool(pools, number, blocks, by_priority=fields.attr == TA_TPRI, block_size=0)

    def _fixed_pool(self, pools: FixedPools, number: int) -> PoolState:
        fields, name = pools.fields(number), f"mpf {number}"
        blocks: list[PoolBlock] = []
        if self._is_area(name, fields.area, fields.area_size):
            if fields.block_count * fields.stride != fields.area_size:
                shape = f"{fields.block_count} blocks of {fields.block_size} bytes"
                self._defects.append(f"{name}: {shape} do not make an area of {fields.area_size} bytes")
            else:
                blocks = self._take(pools.blocks(number))
                if self._blocks_left and len(blocks) < fields.block_count:
                    place = fields.area + fields.stride * len(blocks)
                    self._defects.append(f"{name}: there is no record of a block at 0x{place:08x}")
                elif self._blocks_left:
                    self._check_stack(name, fields.free, fields.free_count, blocks)
        return self._pool(
            pools, number, blocks, by_priority=fields.attr == TA_TPRI, block_size=fields.block_size
        )

    def _pool(
        self,
        pools: VariablePools | FixedPools,
        number: int,
        blocks: Sequence[PoolBlock],
        *,
        by_priority: bool,
        block_size: int,
    ) -> PoolState:
        fields = pools.fields(number)
        used = [block_size or block.size for block in blocks if block.used]
        free = [block_size or block.size for block in blocks if not block.used]
        return PoolState(
            pools.kind.name.lower(),
            number,
            by_priority,
            (fields.area, fields.area + fields.area_size),
            block_size,
            len(used),
            sum(used),
            len(free),
            sum(free),
            max(free, default=0),
            tuple(self._waiters(pools, number)),
        )

    def _take(self, blocks: Iterator[PoolBlock]) -> list[PoolBlock]:
        """Return blocks as far as no more than `BLOCKS_MAX` were taken from all pools."""
        taken = [block for _, block in zip(range(self._blocks_left), blocks, strict=False)]
        self._blocks_left -= len(taken)
        return taken

    def _is_area(self, name: str, area: int, size: int) -> bool:
        if area % ALIGNMENT or size % ALIGNMENT or not size or not holds(self._size, area, size):
            self._defects.append(f"{name}: the area 0x{area:08x} with 0x{size:08x} bytes makes no sense")
            return False
        return True

    def _check_list(self, name: str, first: int, records: Sequence[int]) -> None:
        """The free list holds all free blocks in address order."""
        link = first
        for record in [*records, 0]:
            if link != record:
                self._defects.append(f"{name}: the free list leads to 0x{link:08x}, not to 0x{record:08x}")
                return
            if record:
                link = self._memory.load_u32(physical(record) + LINK_OFFSET)

    def _check_stack(self, name: str, top: int, count: int, blocks: Sequence[PoolBlock]) -> None:
        """The stack holds all free blocks in any order."""
        free = {block.record for block in blocks if not block.used}
        if count != len(free):
            self._defects.append(f"{name}: free_count is {count}, but {len(free)} blocks are free")
        record = top
        while record in free:
            free.remove(record)
            record = self._memory.load_u32(physical(record) + LINK_OFFSET)
        if record:
            self._defects.append(f"{name}: the free list leads to 0x{record:08x}, which is no free block")
        elif free:
            self._defects.append(f"{name}: {len(free)} free blocks are not in the free list")

    def _waiters(self, pools: VariablePools | FixedPools, number: int) -> Iterator[Waiter]:
        name = f"{pools.kind.name.lower()} {number}"
        seen = set()
        try:
            for each in pools.waiters(number):
                task = self._btron.tasks.task(each)
                waits = (task.state, task.wait_kind, task.wait_id) == (TaskState.WAIT, pools.kind, number)
                if each in seen or not waits:
                    self._defects.append(f"{name}: task {each} is in its queue, but does not wait for it")
                    return
                seen.add(each)
                yield Waiter(each, task.priority, task.wait_size, task.deadline)
        except IndexError as error:
            self._defects.append(f"{name}: {error}")
