"""Reads the memory pools and who waits for them. Their records and free lists are checked on the way.

The guest may have overwritten everything. Nothing is believed before it is checked, and no more than `BLOCKS_MAX` blocks are
read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.audit import Defect, Invariant
from kernel_model.btron.kernel_space import KERNEL_BASE, physical
from kernel_model.btron.kmem import ALIGNMENT
from kernel_model.btron.pools.table import FREE_TAG, LINK_OFFSET, TA_TPRI
from kernel_model.btron.tcb import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel_model.audit import Location
    from kernel_model.blocks import Block
    from kernel_model.btron.abi import Btron
    from kernel_model.btron.pools.table import PoolTable
    from kernel_model.btron.tcb import Task
    from kernel_model.memory import Memory

BLOCKS_MAX: Final = 1_000_000


def _invariant(code: str, violation: str, *, of_free_list: bool = False) -> Invariant:
    """Return an invariant of a pool, which it names first."""
    return Invariant(code, f"{{}} {{}}: {violation}", names_word=True, of_free_list=of_free_list)


_AREA: Final = _invariant("pool-area", "the area 0x{:08x} with 0x{:08x} bytes makes no sense")
_BLOCKS_FIT: Final = _invariant("pool-blocks-fit", "{} blocks of {} bytes do not make an area of {} bytes")
_RECORD: Final = _invariant("pool-record", "there is no record of a block at 0x{:08x}")
_LIST_LINK: Final = _invariant(
    "pool-list-link", "the free list leads to 0x{:08x}, not to 0x{:08x}", of_free_list=True
)
_STACK_LINK: Final = _invariant(
    "pool-stack-link", "the free list leads to 0x{:08x}, which is no free block", of_free_list=True
)
_STACK_COMPLETE: Final = _invariant(
    "pool-stack-complete", "{} free blocks are not in the free list", of_free_list=True
)
_FREE_COUNT: Final = _invariant("pool-free-count", "free_count is {}, but {} blocks are free")
_WAITER: Final = _invariant("pool-waiter", "task {} is in its queue, but does not wait for it")
_QUEUE: Final = _invariant("pool-queue", "{}")


def holds(memory_size: int, address: int, size: int) -> bool:
    """Return whether a range of kernel space is memory."""
    return address >= KERNEL_BASE and physical(address) + size <= min(memory_size, KERNEL_BASE)


class PoolState(NamedTuple):
    """A memory pool that exists. Bytes are those of bodies.

    Attributes:
        name: ``mpl`` for blocks of any size, ``mpf`` for blocks of one size.
        by_priority: Whether the most urgent task is served first; otherwise the one that came first.
        block_size: Bytes of every block; 0 in pools for any size.
        used_blocks: Handed out, as far as the records make sense.
        waiters: The tasks in its queue, first to last.
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
    waiters: tuple[Task, ...]


class PoolReader:
    """One reading. All pools together may have `BLOCKS_MAX` blocks.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        btron: The models; only read from.
        notes: Receives why something is missing.
        defects: Receives what breaks an invariant.
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

    def _variable_pool(self, pools: PoolTable, number: int) -> PoolState:
        fields = pools.fields(number)
        blocks: list[Block] = []
        end = fields.area
        if self._is_area(pools, number):
            blocks = self._take(pools.blocks(number))
            end = blocks[-1].end if blocks else end
            if self._blocks_left and end < fields.area + fields.area_size:
                self._no_record(pools, number, end)
            elif self._blocks_left:
                self._check_list(pools, number, [block.header for block in blocks if not block.used])
        return self._pool(pools, number, blocks)

    def _fixed_pool(self, pools: PoolTable, number: int) -> PoolState:
        fields = pools.fields(number)
        blocks: list[Block] = []
        if self._is_area(pools, number):
            if fields.block_count * fields.stride != fields.area_size:
                values = (fields.block_count, fields.block_size, fields.area_size)
                self._add(_BLOCKS_FIT, pools, number, "area_size", *values)
            else:
                blocks = self._take(pools.blocks(number))
                if self._blocks_left and len(blocks) < fields.block_count:
                    self._no_record(pools, number, fields.area + fields.stride * len(blocks))
                elif self._blocks_left:
                    self._check_stack(pools, number, blocks)
        return self._pool(pools, number, blocks)

    def _pool(self, pools: PoolTable, number: int, blocks: Sequence[Block]) -> PoolState:
        fields = pools.fields(number)
        used = [fields.block_size or block.size for block in blocks if block.used]
        free = [fields.block_size or block.size for block in blocks if not block.used]
        return PoolState(
            pools.name,
            number,
            fields.attr == TA_TPRI,
            (fields.area, fields.area + fields.area_size),
            fields.block_size,
            len(used),
            sum(used),
            len(free),
            sum(free),
            max(free, default=0),
            tuple(self._waiters(pools, number)),
        )

    def _take(self, blocks: Iterator[Block]) -> list[Block]:
        """Return blocks as far as no more than `BLOCKS_MAX` were taken from all pools."""
        taken = [block for _, block in zip(range(self._blocks_left), blocks, strict=False)]
        self._blocks_left -= len(taken)
        return taken

    def _add(
        self, invariant: Invariant, pools: PoolTable, number: int, field: str, *values: int | str
    ) -> None:
        """Note that a member of a pool's struct breaks an invariant."""
        self._add_at(invariant, pools, number, pools.member(number, field), *values)

    def _add_at(
        self, invariant: Invariant, pools: PoolTable, number: int, location: Location, *values: int | str
    ) -> None:
        value = self._memory.load_u32(location.start)
        defect = Defect(invariant, pools.name, location, value, (pools.name, number, *values))
        self._defects.append(defect)

    def _no_record(self, pools: PoolTable, number: int, record: int) -> None:
        """Note the word of a record that cannot be right."""
        _, tag = self._memory.load_words(physical(record), 2)
        field = "size" if tag in (pools.live_tag | number, FREE_TAG) else "tag"
        self._add_at(_RECORD, pools, number, pools.block_member(number, record, field), record)

    def _is_area(self, pools: PoolTable, number: int) -> bool:
        fields = pools.fields(number)
        area, size = fields.area, fields.area_size
        if area % ALIGNMENT or size % ALIGNMENT or not size or not holds(self._size, area, size):
            self._add(_AREA, pools, number, "area", area, size)
            return False
        return True

    def _check_list(self, pools: PoolTable, number: int, records: Sequence[int]) -> None:
        """Check that the free list holds all free blocks in address order."""
        head = pools.member(number, "free")
        link_at, before = head.start, 0
        for record in [*records, 0]:
            link = self._memory.load_u32(link_at)
            if link != record:
                location = pools.block_member(number, before, "next") if before else head
                self._add_at(_LIST_LINK, pools, number, location, link, record)
                return
            link_at, before = physical(record) + LINK_OFFSET, record

    def _check_stack(self, pools: PoolTable, number: int, blocks: Sequence[Block]) -> None:
        """Check that the stack holds all free blocks, in any order."""
        free = {block.header for block in blocks if not block.used}
        count = pools.fields(number).free_count
        if count != len(free):
            self._add(_FREE_COUNT, pools, number, "free_count", count, len(free))
        head, before = pools.member(number, "free"), 0
        record = self._memory.load_u32(head.start)
        while record in free:
            free.remove(record)
            before, record = record, self._memory.load_u32(physical(record) + LINK_OFFSET)
        location = pools.block_member(number, before, "next") if before else head
        if record:
            self._add_at(_STACK_LINK, pools, number, location, record)
        elif free:
            self._add_at(_STACK_COMPLETE, pools, number, location, len(free))

    def _waiters(self, pools: PoolTable, number: int) -> Iterator[Task]:
        try:
            for each in pools.waiters(number):
                task = self._btron.tasks.task(each)
                waits = (task.state, task.wait_kind, task.wait_id) == (TaskState.WAIT, pools.kind, number)
                if not waits:
                    self._add(_WAITER, pools, number, "first_waiter", each)
                    return
                yield task
        except IndexError as error:
            self._add(_QUEUE, pools, number, "first_waiter", str(error))
