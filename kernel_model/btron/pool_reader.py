"""Reads the memory pools and who waits for them, and checks their records and free lists on the way.

The guest may have overwritten everything. Nothing is believed before it is checked, and no walk is longer than `BLOCKS_MAX`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.btron.kernel_space import KERNEL_BASE, physical
from kernel_model.btron.kmem import ALIGNMENT
from kernel_model.btron.pool_table import FREE_TAG, LINK_OFFSET, TA_TPRI, TAG_OFFSET
from kernel_model.btron.tasks import TaskState
from kernel_model.defect import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel_model.btron.abi import Btron
    from kernel_model.btron.mpf import FixedPools
    from kernel_model.btron.mpl import VariablePools
    from kernel_model.btron.pool_table import PoolBlock, PoolTable
    from kernel_model.memory import Memory

BLOCKS_MAX: Final = 1_000_000


def holds(memory_size: int, address: int, size: int) -> bool:
    """Tell whether a stretch of kernel space is memory."""
    return address >= KERNEL_BASE and physical(address) + size <= min(memory_size, KERNEL_BASE)


class Waiter(NamedTuple):
    """A task in the queue of a pool.

    Attributes:
        task: Its id.
        size: Bytes of the block that it waits for; 0 in pools of blocks of one size.
        deadline: System time (ms) at which it gives up; None: never.
    """

    task: int
    priority: int
    size: int
    deadline: int | None


class PoolState(NamedTuple):
    """A memory pool that exists. Bytes are those of bodies.

    Attributes:
        name: ``mpl`` for blocks of any size, ``mpf`` for blocks of one size.
        by_priority: Whether the most urgent task is served first; otherwise the one that came first.
        block_size: Bytes of every block; 0 in pools for any size.
        used_blocks: Handed out, as far as the records make sense.
        waiters: First to last.
    """

    name: str
    number: int
    by_priority: bool
    area: tuple[int, int]
    block_size: int
    used_blocks: int
    used: int
    free_blocks: int
    free: int
    largest_free: int
    waiters: tuple[Waiter, ...]


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
        self, memory: Memory, memory_size: int, btron: Btron, notes: list[str], defects: list[Defect]
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
        if self._is_area(name, pools, number):
            blocks = self._take(pools.blocks(number))
            end = blocks[-1].body + blocks[-1].size if blocks else end
            if self._blocks_left and end < fields.area + fields.area_size:
                self._no_record(name, pools, number, end)
            elif self._blocks_left:
                link = pools.struct(number) + pools.layout.offset("free")
                self._check_list(name, link, [block.record for block in blocks if not block.used])
        return self._pool(pools, number, blocks, by_priority=fields.attr == TA_TPRI, block_size=0)

    def _fixed_pool(self, pools: FixedPools, number: int) -> PoolState:
        fields, name = pools.fields(number), f"mpf {number}"
        blocks: list[PoolBlock] = []
        if self._is_area(name, pools, number):
            if fields.block_count * fields.stride != fields.area_size:
                shape = f"{fields.block_count} blocks of {fields.block_size} bytes"
                text = f"{name}: {shape} do not make an area of {fields.area_size} bytes"
                self._add_field(pools, number, "area_size", text)
            else:
                blocks = self._take(pools.blocks(number))
                if self._blocks_left and len(blocks) < fields.block_count:
                    self._no_record(name, pools, number, fields.area + fields.stride * len(blocks))
                elif self._blocks_left:
                    self._check_stack(name, pools, number, blocks)
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

    def _add(self, address: int, value: int, text: str) -> None:
        self._defects.append(Defect(address, "", value, text))

    def _add_field(self, pools: PoolTable, number: int, field: str, text: str) -> None:
        address = pools.struct(number) + pools.layout.offset(field)
        self._add(address, self._memory.load_u32(address), text)

    def _no_record(self, name: str, pools: PoolTable, number: int, record: int) -> None:
        """Name the word of a record that cannot be right."""
        size, tag = self._memory.load_words(physical(record), 2)
        sound_tag = tag in (pools.live_tag | number, FREE_TAG)
        place, value = (0, size) if sound_tag else (TAG_OFFSET, tag)
        self._add(physical(record) + place, value, f"{name}: there is no record of a block at 0x{record:08x}")

    def _is_area(self, name: str, pools: VariablePools | FixedPools, number: int) -> bool:
        fields = pools.fields(number)
        area, size = fields.area, fields.area_size
        if area % ALIGNMENT or size % ALIGNMENT or not size or not holds(self._size, area, size):
            text = f"{name}: the area 0x{area:08x} with 0x{size:08x} bytes makes no sense"
            self._add_field(pools, number, "area", text)
            return False
        return True

    def _check_list(self, name: str, place: int, records: Sequence[int]) -> None:
        """The free list holds all free blocks in address order; it begins in the word at *place*."""
        for record in [*records, 0]:
            link = self._memory.load_u32(place)
            if link != record:
                self._add(place, link, f"{name}: the free list leads to 0x{link:08x}, not to 0x{record:08x}")
                return
            place = physical(record) + LINK_OFFSET

    def _check_stack(self, name: str, pools: FixedPools, number: int, blocks: Sequence[PoolBlock]) -> None:
        """The stack holds all free blocks in any order."""
        free = {block.record for block in blocks if not block.used}
        count = pools.fields(number).free_count
        if count != len(free):
            text = f"{name}: free_count is {count}, but {len(free)} blocks are free"
            self._add_field(pools, number, "free_count", text)
        place = pools.struct(number) + pools.layout.offset("free")
        record = self._memory.load_u32(place)
        while record in free:
            free.remove(record)
            place = physical(record) + LINK_OFFSET
            record = self._memory.load_u32(place)
        if record:
            text = f"{name}: the free list leads to 0x{record:08x}, which is no free block"
            self._add(place, record, text)
        elif free:
            self._add(place, record, f"{name}: {len(free)} free blocks are not in the free list")

    def _waiters(self, pools: VariablePools | FixedPools, number: int) -> Iterator[Waiter]:
        name = f"{pools.kind.name.lower()} {number}"
        try:
            for each in pools.waiters(number):
                task = self._btron.tasks.task(each)
                waits = (task.state, task.wait_kind, task.wait_id) == (TaskState.WAIT, pools.kind, number)
                if not waits:
                    text = f"{name}: task {each} is in its queue, but does not wait for it"
                    self._add_field(pools, number, "first_waiter", text)
                    return
                yield Waiter(each, task.priority, task.wait_size, task.deadline)
        except IndexError as error:
            self._add_field(pools, number, "first_waiter", f"{name}: {error}")
