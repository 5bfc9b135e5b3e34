"""Layer 3, memory pools of blocks of one size.

Theory. A pool's area is an array of blocks, each a record and a body; the distance from one to the next is the same. Free
blocks are a stack, linked through their bodies: at first the lowest is on top, and a block that comes back goes on top.
A release always pushes; then the stack is popped for each waiting task, in the order of the queue, until either runs out.

The top of the stack is believed only where it is a record of the array that is tagged as free, otherwise nothing is
free; a released block, where it has the tag of a live block of this pool.

Source: spec 2.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import BrokenStructure, Defect, Invariant
from kernel_model.blocks import Block
from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.kernel_space import ADDRESS_SPACE, check_pointer, physical, pointee
from kernel_model.btron.kmem import MAX_REQUEST
from kernel_model.btron.pools.table import (
    FREE_TAG,
    LINK_OFFSET,
    RECORD_BYTES,
    TAG_OFFSET,
    PoolFields,
    PoolTable,
    check_attribute,
    check_id,
    check_timeout,
)
from kernel_model.btron.tcb import Wait, WaitKind
from kernel_model.structs import POOL_MPF, T_CMPF

if TYPE_CHECKING:
    from collections.abc import Iterator

LIVE_TAG: Final = 0x4D50_4600
"""``'MPF'``; the id of the pool is or-ed to it."""

_WORDS: Final = len(POOL_MPF.fields)
_MAX_W: Final = ADDRESS_SPACE // 2 - 1
_WORD_MASK: Final = 0xFFFF_FFFF

_BLOCK_SIZE: Final = Invariant("mpf-block-size", "blocks have no such size")


class FixedPools(PoolTable):
    """The pools of blocks of one size, ``mpf_table``. Arguments as for `PoolTable`."""

    layout = POOL_MPF
    kind = WaitKind.MPF
    live_tag = LIVE_TAG

    # What the guest calls.

    def create(self, number: int, packet: int) -> None:
        """Make a pool. C: ``mpf_create``.

        Args:
            number: Its id.
            packet: Kernel address of a ``T_CMPF``.

        Raises:
            BtronError: E_ID, E_RSATR, E_PAR, E_OBJ, E_NOMEM.
        """
        check_id(number)
        check_pointer(packet)
        exinf, attribute, count, size = self._memory.load_words(physical(packet), len(T_CMPF.fields))
        check_attribute(attribute)
        if not (0 < count <= _MAX_W and 0 < size <= _MAX_W):
            raise BtronError(Error.E_PAR)
        pool = self._new(number)
        stride = RECORD_BYTES + _round_up(size, 8)
        area_size = count * stride
        area = self._kmem.alloc(area_size) if area_size <= MAX_REQUEST else 0
        if not area:
            raise BtronError(Error.E_NOMEM)
        block_size = _round_up(size, 4)
        end = area + area_size
        for record in range(area, end, stride):
            link = record + stride if record + stride < end else 0
            self._memory.store_words(physical(record), (block_size, FREE_TAG, link))
        words = (
            exinf,
            attribute,
            count,
            block_size,
            area,
            area_size,
            area,
            0,
            1,
            count,
        )  # as they lie in the struct
        self._memory.store_words(pool, words)

    def get(self, out: int, number: int, timeout: int) -> bool:
        """Take a block. C: ``mpf_get``.

        Args:
            out: Kernel address of the word that receives the block's address.
            number: Id of the pool.
            timeout: ms to wait, `TMO_POL` or `TMO_FEVR`.

        Returns:
            True when the block is there, False when the current task now waits for it.

        Raises:
            BtronError: E_ID, E_PAR, E_CTX, E_NOEXS; E_TMOUT: there is no block, and no waiting.
        """
        check_id(number)
        check_pointer(out)
        check_timeout(timeout)
        self._tasks.check_may_wait(timeout)
        return self._get(self._existing(number), Wait(self.kind, number, 0, out, timeout))

    def release(self, number: int, block: int) -> None:
        """Give back a block, then serve who waits. C: ``mpf_release``.

        Raises:
            BtronError: E_ID, E_NOEXS; E_PAR: *block* is not a live block of this pool.
        """
        pool = self._existing(number)
        fields = self._fields(pool)
        record = block - RECORD_BYTES & _WORD_MASK
        if self._tag(number, fields, record) != self.live_tag | number:
            raise BtronError(Error.E_PAR)
        self._memory.store_words(physical(record) + TAG_OFFSET, (FREE_TAG, fields.free))
        self._store(pool, "free", record)
        self._store(pool, "free_count", fields.free_count + 1 & _WORD_MASK)
        self._serve(pool, number)

    def refer(self, number: int, packet: int) -> None:
        """Write a pool's state to a ``T_RMPF``. C: ``mpf_refer``.

        Raises:
            BtronError: E_ID, E_PAR, E_NOEXS.
        """
        check_id(number)
        check_pointer(packet)
        fields = self._fields(self._existing(number))
        state = fields.exinf, fields.first_waiter, fields.free_count
        self._memory.store_words(physical(packet), state)

    # Readers: no change.

    def blocks(self, number: int) -> Iterator[Block]:
        """See `PoolTable.blocks`."""
        fields, live = self.fields(number), self.live_tag | number
        for record in range(fields.area, fields.area + fields.area_size, fields.stride):
            size, tag = self._memory.load_words(physical(record), 2)
            if tag not in (live, FREE_TAG):
                return
            yield Block(record, size, used=tag == live)

    def _fields(self, pool: int) -> PoolFields:
        """See `PoolTable._fields`."""
        exinf, attr, count, size, area, area_size, free, first_waiter, exists, free_count = (
            self._memory.load_words(pool, _WORDS)
        )
        return PoolFields(
            exinf, attr, area, area_size, free, first_waiter, exists, 0, count, size, free_count
        )

    def _tag(self, number: int, fields: PoolFields, record: int) -> int | None:
        """Return the tag of the block at *record*, or None if there is none."""
        if record - fields.area & _WORD_MASK >= fields.area_size:
            return None
        if not fields.stride:
            location = self.member(number, "block_size")
            raise BrokenStructure(Defect(_BLOCK_SIZE, self.name, location, fields.block_size))
        if (record - fields.area & _WORD_MASK) % fields.stride:
            return None
        return self._memory.load_u32(pointee(record) + TAG_OFFSET)

    def _take(self, pool: int, number: int, size: int) -> int:  # noqa: ARG002 - all blocks are of one size
        """See `PoolTable._take`."""
        fields = self._fields(pool)
        record = fields.free
        if not record or self._tag(number, fields, record) != FREE_TAG:
            return 0
        address = physical(record)
        self._memory.store_u32(address + TAG_OFFSET, self.live_tag | number)
        self._store(pool, "free", self._memory.load_u32(address + LINK_OFFSET))
        self._store(pool, "free_count", fields.free_count - 1 & _WORD_MASK)
        return record + RECORD_BYTES

    def _serve(self, pool: int, number: int) -> None:
        """See `PoolTable._serve`."""
        for task in self._tasks.first_waiters(self._head(pool)):
            block = self._take(pool, number, 0)
            if not block:
                return
            self._give(pool, task, block)


def _round_up(size: int, alignment: int) -> int:
    """Return *size* rounded up; may pass 31 bits."""
    return -(-size // alignment) * alignment
