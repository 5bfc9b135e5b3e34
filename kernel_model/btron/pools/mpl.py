"""Layer 3, memory pools of blocks of any size.

Theory. A pool's area is tiled by blocks, each a record and a body. Free ones are listed in address order.
A request, rounded up to 8, gets the low part of the first free block that is large enough; the rest stays free
if at least 16 bytes (a record and the smallest body) remain. A release merges with both neighbours. Then whoever waits is
considered in the order of the queue: once a request of *n* bytes failed, later ones for *n* or more are passed
over, smaller ones may be lucky.

A block is believed only when a scan of the records from the area's start arrives at its record and finds the tag of a
live block of this pool there. The free list is believed as far as its entries are aligned, ascending, inside the area and
tagged as free: it ends for a request where it is broken, and nothing after that is taken back.

Id -4 names the kernel's own pool, `kernel_model.btron.pools.os_pool`.

Shortcomings. First fit and the scans are linear in the number of blocks. A large request may wait for ever while
smaller ones are served.

Source: spec 2.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import BrokenStructure, Defect, Invariant
from kernel_model.blocks import Block
from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.kernel_space import (
    ADDRESS_SPACE,
    KERNEL_BASE,
    OFFSET_MASK,
    check_pointer,
    physical,
)
from kernel_model.btron.pools.os_pool import TMPL_OS, OsPool
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
from kernel_model.structs import FREE_MPL_BLOCK, POOL_MPL, T_CMPL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.btron.kmem import Kmem
    from kernel_model.btron.tasks import Tasks
    from kernel_model.memory import Memory

ALIGNMENT: Final = 8
"""Bytes: of records, bodies and sizes, and the smallest body."""

LIVE_TAG: Final = 0x4D50_4C00
"""``'MPL'``; the id of the pool is or-ed to it."""

_MIN_BLOCK_BYTES: Final = RECORD_BYTES + ALIGNMENT
_ALIGNMENT_MASK: Final = ALIGNMENT - 1
_WORD_MASK: Final = 0xFFFF_FFFF
_WORDS: Final = len(POOL_MPL.fields)
_FREE_WORDS: Final = len(FREE_MPL_BLOCK.fields)
_FREE_FIELD: Final = POOL_MPL.offset("free")

_AREA_IN_SPACE: Final = Invariant("mpl-area-in-space", "such an area is not in kernel space")


class VariablePools(PoolTable):
    """The pools of blocks of any size, ``mpl_table``. Arguments as for `PoolTable`."""

    layout = POOL_MPL
    kind = WaitKind.MPL
    live_tag = LIVE_TAG

    def __init__(self, memory: Memory, table: int, kmem: Kmem, tasks: Tasks) -> None:
        super().__init__(memory, table, kmem, tasks)
        self._os_pool = OsPool(memory, kmem)

    # What the guest calls.

    def create(self, number: int, packet: int) -> None:
        """Make a pool. C: ``mpl_create``.

        Args:
            number: Its id.
            packet: Kernel address of a ``T_CMPL``.

        Raises:
            BtronError: E_ID, E_RSATR, E_PAR, E_OBJ, E_NOMEM.
        """
        check_id(number)
        check_pointer(packet)
        exinf, attribute, size = self._memory.load_words(physical(packet), len(T_CMPL.fields))
        check_attribute(attribute)
        if not 0 < size < ADDRESS_SPACE // 2:
            raise BtronError(Error.E_PAR)
        pool = self._new(number)
        body = _round_up(size)
        area = self._kmem.alloc(RECORD_BYTES + body)
        if not area:
            raise BtronError(Error.E_NOMEM)
        self._memory.store_words(physical(area), (body, FREE_TAG, 0))
        words = (exinf, attribute, body, area, RECORD_BYTES + body, area, 0, 1)  # as they lie in the struct
        self._memory.store_words(pool, words)

    def get(self, out: int, number: int, size: int, timeout: int) -> bool:
        """Take a block. C: ``mpl_get``.

        Args:
            out: Kernel address of the word that receives the block's address.
            number: Id of the pool, or `TMPL_OS`.
            size: Bytes, rounded up to 8.
            timeout: ms to wait, `TMO_POL` or `TMO_FEVR`.

        Returns:
            True when the block is there, False when the current task now waits for it.

        Raises:
            BtronError: E_ID, E_PAR, E_CTX, E_NOEXS; E_TMOUT: there is no block, and no waiting; E_NOMEM: the same, for
                `TMPL_OS`.
        """
        if number != TMPL_OS:
            check_id(number)
        check_pointer(out)
        check_timeout(timeout)
        if not 0 < size < ADDRESS_SPACE // 2:
            raise BtronError(Error.E_PAR)
        wanted = _round_up(size)
        if number == TMPL_OS:
            self._memory.store_u32(physical(out), self._os_pool.get(wanted, timeout))
            return True
        self._tasks.check_may_wait(timeout)
        return self._get(self._existing(number), Wait(self.kind, number, wanted, out, timeout))

    def release(self, number: int, block: int) -> None:
        """Give back a block, then serve who waits. C: ``mpl_release``.

        Raises:
            BtronError: E_ID, E_NOEXS; E_PAR: *block* is not a live block of this pool, or the pool is broken.
        """
        if number == TMPL_OS:
            self._os_pool.release(block)
            return
        pool = self._existing(number)
        fields = self._fields(pool)
        record = block - RECORD_BYTES & _WORD_MASK
        size = self._live_size(pool, fields, self.live_tag | number, record)
        position = self._search(pool, fields, ADDRESS_SPACE, record) if size else None
        if position is None:
            raise BtronError(Error.E_PAR)
        self._insert(position, record, size)
        self._serve(pool, number)

    def refer(self, number: int, packet: int) -> None:
        """Write a pool's state to a ``T_RMPL``. C: ``mpl_refer``.

        Raises:
            BtronError: E_ID, E_PAR, E_NOEXS.
        """
        if number != TMPL_OS:
            check_id(number)
        check_pointer(packet)
        self._memory.store_words(physical(packet), self._state(number))

    # Readers: no change.

    def blocks(self, number: int) -> Iterator[Block]:
        """See `PoolTable.blocks`."""
        fields = self.fields(number)
        record, end, live = fields.area, fields.area + fields.area_size, self.live_tag | number
        while record < end:
            size, tag = self._memory.load_words(physical(record), 2)
            if not _is_record(size, tag, live, end - record - RECORD_BYTES):
                return
            yield Block(record, size, used=tag == live)
            record += RECORD_BYTES + size

    def _state(self, number: int) -> tuple[int, int, int, int]:
        """Return the members of ``T_RMPL``, its figures as far as the free list is whole. E_ID, E_NOEXS."""
        if number == TMPL_OS:
            return (0, 0, *self._os_pool.free_bytes())
        pool = self._existing(number)
        fields = self._fields(pool)
        sizes: list[int] = []
        self._search(pool, fields, ADDRESS_SPACE, ADDRESS_SPACE, sizes)
        free = sum(sizes) & _WORD_MASK  # a broken list may count bytes more than once
        return fields.exinf, fields.first_waiter, free, max(sizes, default=0)

    def _fields(self, pool: int) -> PoolFields:
        """See `PoolTable._fields`."""
        exinf, attr, size, area, area_size, free, first_waiter, exists = self._memory.load_words(pool, _WORDS)
        return PoolFields(exinf, attr, area, area_size, free, first_waiter, exists, size)

    def _take(self, pool: int, number: int, size: int) -> int:
        """See `PoolTable._take`. *size* is a multiple of 8."""
        position = self._search(pool, self._fields(pool), size, ADDRESS_SPACE)
        if position is None or not position[1]:
            return 0
        link, record, available, next_free, _ = position
        memory, address = self._memory, record & OFFSET_MASK
        rest = available - size
        if rest >= _MIN_BLOCK_BYTES:
            split = RECORD_BYTES + size
            memory.store_words(address, (size, self.live_tag | number))
            memory.store_words(address + split, (rest - RECORD_BYTES, FREE_TAG, next_free))
            next_free = record + split
        else:
            memory.store_u32(address + TAG_OFFSET, self.live_tag | number)
        memory.store_u32(link, next_free)
        return record + RECORD_BYTES

    def _serve(self, pool: int, number: int) -> None:
        """See `PoolTable._serve`."""
        failed = ADDRESS_SPACE
        for task in self._tasks.waiters(self._head(pool)):
            size = self._tasks.wait_size(task)
            if size >= failed:
                continue
            block = self._take(pool, number, size)
            if block:
                self._give(pool, task, block)
            else:
                failed = size

    def _search(
        self, pool: int, fields: PoolFields, wanted: int, limit: int, passed: list[int] | None = None
    ) -> tuple[int, int, int, int, int] | None:
        """Search the free list for the first block of *wanted* bytes or more, or to the first at *limit* or above.

        Args:
            pool: Physical address of the pool's struct.
            fields: Its members.
            wanted: Bytes.
            limit: A kernel address.
            passed: Receives the size of every block that was passed.

        Returns:
            The physical address of the word that links to the block; its record, 0 at the end of the list; its size;
            its own link; and the end of the free block before it, or 0. None if the search met a record that cannot be
            one.
        """
        load_words = self._memory.load_words
        link, record = pool + _FREE_FIELD, fields.free
        area = fields.area
        end = self._end(pool, fields) if record else 0
        size = next_free = before = before_end = 0
        while record:
            if (
                record - area & _ALIGNMENT_MASK
                or not area <= record <= end - _MIN_BLOCK_BYTES
                or record <= before
            ):
                return None
            size, tag, next_free = load_words(record & OFFSET_MASK, _FREE_WORDS)
            if tag != FREE_TAG or size & _ALIGNMENT_MASK:
                return None
            if not ALIGNMENT <= size <= end - record - RECORD_BYTES:
                return None
            if size >= wanted or record >= limit:
                break
            if passed is not None:
                passed.append(size)
            link = (record & OFFSET_MASK) + LINK_OFFSET
            before, before_end = record, record + RECORD_BYTES + size
            record = next_free
        return link, record, size, next_free, before_end

    def _end(self, pool: int, fields: PoolFields) -> int:
        """Return the end of a pool's area.

        Raises:
            BrokenStructure: It is not in kernel space.
        """
        end = fields.area + fields.area_size
        if fields.area < KERNEL_BASE or end > ADDRESS_SPACE:
            field = "area" if fields.area < KERNEL_BASE else "area_size"
            location = self.member((pool - self._table) // self.layout.size, field)
            raise BrokenStructure(Defect(_AREA_IN_SPACE, self.name, location, getattr(fields, field)))
        return end

    def _live_size(self, pool: int, fields: PoolFields, live: int, record: int) -> int:
        """Return the size of the live block at *record*; 0 if a scan from the area's start does not arrive at one."""
        start, end = fields.area, self._end(pool, fields)
        if record - start & _ALIGNMENT_MASK or not start <= record <= end - _MIN_BLOCK_BYTES:
            return 0
        words = self._memory.view(start - KERNEL_BASE, record - start + RECORD_BYTES).cast("I")
        index, target, stop = 0, (record - start) // 4, fields.area_size // 4 - 2
        while index < target:
            size = words[index]
            if not _is_record(size, words[index + 1], live, 4 * (stop - index)):
                return 0
            index += 2 + size // 4
        if index > target or words[target + 1] != live:
            return 0
        size = words[target]
        return size if _is_record(size, live, live, 4 * (stop - target)) else 0

    def _insert(self, position: tuple[int, int, int, int, int], record: int, size: int) -> None:
        """Make the block at *record* free, at its *position* in the free list, and merge it with its neighbours."""
        link, after, after_size, after_next, before_end = position
        if record + RECORD_BYTES + size == after:
            size += RECORD_BYTES + after_size
            after = after_next
        address = record & OFFSET_MASK
        self._memory.store_words(address, (size, FREE_TAG, after))
        if before_end == record:
            before = link - LINK_OFFSET
            self._memory.store_words(before, (address + size - before, FREE_TAG, after))
        else:
            self._memory.store_u32(link, record)


def _is_record(size: int, tag: int, live: int, room: int) -> bool:
    """Return whether a record can be one, with *room* bytes from its body to the end of the area."""
    return tag in (live, FREE_TAG) and not size & _ALIGNMENT_MASK and ALIGNMENT <= size <= room


def _round_up(size: int) -> int:
    """Return *size* rounded up to the alignment; may pass 31 bits."""
    return (size + _ALIGNMENT_MASK) & ~_ALIGNMENT_MASK
