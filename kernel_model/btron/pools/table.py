"""What both kinds of memory pools have in common.

Theory. Pools are entries of a table, by ids 1 to 100, and exist or do not. Their memory is one area from the byte layer.
In it, a record of eight bytes stands before every block: the bytes of its body, and a tag. The tag says that the block
is free, or which pool it was handed out from. That is how a release, which names no size, is checked: a
block goes back to its own pool, and once. Free blocks are linked through the first word of their bodies; links
name records.

Tasks wait for a pool in a queue, in the order that the pool's attribute demands. A wait ends when a release makes room,
when its time is over or someone cancels it (`PoolTable.cancel`), or with the pool.

Source: spec 2.4.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.audit import Location, LocationKind, variable
from kernel_model.blocks import HEADER_BYTES
from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.kernel_space import physical, pointee
from kernel_model.btron.tcb import TMO_FEVR, TMO_POL
from kernel_model.structs import FREE_MPL_BLOCK, MPL_BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.blocks import Block
    from kernel_model.btron.kmem import Kmem
    from kernel_model.btron.tasks import Tasks
    from kernel_model.btron.tcb import Wait, WaitKind
    from kernel_model.memory import Memory
    from kernel_model.structs import StructLayout

POOL_IDS: Final = range(1, 101)
TA_TFIFO: Final = 0
TA_TPRI: Final = 1

FREE_TAG: Final = 0x4652_4545
"""``'FREE'`` in C."""

RECORD_BYTES: Final = HEADER_BYTES
TAG_OFFSET: Final = MPL_BLOCK.offset("tag")
LINK_OFFSET: Final = FREE_MPL_BLOCK.offset("next")

_WORD_MASK: Final = 0xFFFF_FFFF


class PoolFields(NamedTuple):
    """The members of a pool's struct, by their names in C.

    Attributes:
        size: Bytes that the pool was made for; 0 in pools of blocks of one size.
        block_count: Blocks of the pool, ``count`` in C; 0 in pools of blocks of any size, like the members below.
        block_size: Bytes of each block's body.
        free_count: Blocks that are not handed out.
    """

    exinf: int
    attr: int
    area: int
    area_size: int
    free: int
    first_waiter: int
    exists: int
    size: int = 0
    block_count: int = 0
    block_size: int = 0
    free_count: int = 0

    @property
    def stride(self) -> int:
        """Bytes from one record to the next in pools of blocks of one size; as in C it wraps, where the struct makes no sense."""
        return RECORD_BYTES + -(-self.block_size // 8) * 8 & _WORD_MASK


class PoolTable(ABC):
    """All pools of one kind, in guest memory.

    Args:
        memory: Physical guest memory.
        table: Physical address of the table; the index is the id.
        kmem: Where the pools' memory comes from.
        tasks: Who may wait.
    """

    layout: StructLayout
    kind: WaitKind
    live_tag: int

    def __init__(self, memory: Memory, table: int, kmem: Kmem, tasks: Tasks) -> None:
        self._memory = memory
        self._table = table
        self._kmem = kmem
        self._tasks = tasks

    @property
    def name(self) -> str:
        """``mpl`` or ``mpf``; so is the area of its blocks called."""
        return self.kind.name.lower()

    # What the guest calls.

    def delete(self, number: int) -> None:
        """Delete a pool, with blocks out or not; each waiting task gets E_DLT.

        Raises:
            BtronError: E_ID, E_NOEXS. Nothing is changed.
        """
        pool = self._existing(number)
        head = self._head(pool)
        for task in self._tasks.first_waiters(head):
            self._tasks.end_wait(head, task, Error.E_DLT)
        with suppress(BtronError):  # the byte layer may be broken; the pool is gone in any case
            self._kmem.free(self._load(pool, "area"), self._load(pool, "area_size"))
        self._memory.write(pool, bytes(self.layout.size))

    def cancel(self, task: int, number: int, code: int) -> None:
        """End a task's wait for the pool *number* with *code*, and serve who fits."""
        pool = self._pool(number)
        self._tasks.end_wait(self._head(pool), task, code)
        self._serve(pool, number)

    # Readers: no change.

    def numbers(self) -> list[int]:
        """Return the ids of the pools that exist."""
        return [number for number in POOL_IDS if self._load(self._pool(number), "exists")]

    def fields(self, number: int) -> PoolFields:
        """Return the struct's members, whether or not the pool exists."""
        return self._fields(self._pool(number))

    def member(self, number: int, field: str) -> Location:
        """Return the location of a member of a pool's struct."""
        return variable(f"{self.name}_table", self._pool(number), item=number).member(self.layout, field)

    def block_member(self, number: int, record: int, field: str) -> Location:
        """Return the location of a member of the record, or of the link after it, that lies at a kernel address."""
        start = physical(record)
        block = Location(LocationKind.BLOCK, self.name, start, start, number, record)
        return block.member(FREE_MPL_BLOCK, field)

    def waiters(self, number: int) -> list[int]:
        """Return the ids of the tasks that wait for a pool, first to last."""
        return list(self._tasks.waiters(self._head(self._pool(number))))

    # What the kinds do differently.

    @abstractmethod
    def blocks(self, number: int) -> Iterator[Block]:
        """Yield a pool's blocks in address order, up to the first record that cannot be one."""

    @abstractmethod
    def _fields(self, pool: int) -> PoolFields:
        """Return the members of the struct at a physical address."""

    @abstractmethod
    def _take(self, pool: int, number: int, size: int) -> int:
        """Hand out a block and return its kernel address; 0 if there is none, as far as the free list is whole."""

    @abstractmethod
    def _serve(self, pool: int, number: int) -> None:
        """Give blocks to waiting tasks as far as there are any."""

    # What they share.

    def _existing(self, number: int) -> int:
        """Return the physical address of a pool's struct. E_ID, E_NOEXS."""
        check_id(number)
        pool = self._pool(number)
        if not self._load(pool, "exists"):
            raise BtronError(Error.E_NOEXS)
        return pool

    def _new(self, number: int) -> int:
        """Return the physical address of the struct of a pool that does not exist. E_OBJ."""
        pool = self._pool(number)
        if self._load(pool, "exists"):
            raise BtronError(Error.E_OBJ)
        return pool

    def _get(self, pool: int, wait: Wait) -> bool:
        """Give the current task a block (True), or let it wait for one; E_TMOUT if it would not wait at all."""
        block = self._take(pool, wait.number, wait.size)
        if block:
            self._memory.store_u32(physical(wait.out), block)
            return True
        if wait.timeout == TMO_POL:
            raise BtronError(Error.E_TMOUT)
        by_priority = self._load(pool, "attr") == TA_TPRI
        self._tasks.begin_wait(self._head(pool), wait, by_priority=by_priority)
        return False

    def _give(self, pool: int, task: int, block: int) -> None:
        """End a task's wait with a block."""
        self._memory.store_u32(pointee(self._tasks.wait_out(task)), block)
        self._tasks.end_wait(self._head(pool), task, Error.E_OK)

    def _pool(self, number: int) -> int:
        return self._table + self.layout.size * number

    def _head(self, pool: int) -> int:
        """Return the physical address of the word that holds a pool's first waiting task."""
        return pool + self.layout.offset("first_waiter")

    def _load(self, pool: int, field: str) -> int:
        return self._memory.load_u32(pool + self.layout.offset(field))

    def _store(self, pool: int, field: str, value: int) -> None:
        self._memory.store_u32(pool + self.layout.offset(field), value)


def check_id(number: int) -> None:
    """Accept the id of a pool.

    Raises:
        BtronError: E_ID.
    """
    if number not in POOL_IDS:
        raise BtronError(Error.E_ID)


def check_attribute(attribute: int) -> None:
    """Accept the attribute of a new pool.

    Raises:
        BtronError: E_RSATR.
    """
    if attribute not in (TA_TFIFO, TA_TPRI):
        raise BtronError(Error.E_RSATR)


def check_timeout(timeout: int) -> None:
    """Accept a time-out.

    Raises:
        BtronError: E_PAR.
    """
    if timeout < TMO_FEVR:
        raise BtronError(Error.E_PAR)
