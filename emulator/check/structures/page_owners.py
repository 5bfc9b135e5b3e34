"""Compares BTRON/386's page table with the owners of pages by the trace.

`pmem_alloc` gives a page its first owner, `pmem_share` one more, `pmem_free` takes one away; a page is in use while it
has an owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.check.area import Area
from emulator.check.faulting_writes import faulting_write_of
from emulator.check.findings import Finding, Kind, with_rest
from emulator.check.structures.flag_runs import runs_of
from emulator.replay.word import Word
from emulator.x86 import PAGE_SIZE
from kernel_model.btron.kernel_space import KERNEL_BASE
from kernel_model.btron.page_reader import is_in_memory
from kernel_model.btron.pages import PMEM_FREE, PMEM_RESERVED, PMEM_USE
from kernel_model.structs import BOOT_RANGE, PMEM_ENTRY

if TYPE_CHECKING:
    from emulator.check.findings import FaultingWrite
    from emulator.machine.machine import Machine
    from emulator.replay.engine import Rerun
    from emulator.trace.blocks.operations import Operations
    from emulator.trace.table import I64, Flags
    from emulator.trace.trace import Trace
    from kernel_model.btron.pmem import Pmem

AREA: Final = "pmem"
_FLAGS: Final = {PMEM_FREE: "free", PMEM_USE: "in use", PMEM_RESERVED: "reserved"}
_FINDINGS_MAX: Final = 16
_NO_ADDRESS: Final = 0xFFFF_FFFF


class PageCheck:
    """Checks of the pages at the end of a run.

    Args:
        machine: As the run left it.
        pmem: The model on its memory; only read from.
        trace: Of the run.
    """

    def __init__(self, machine: Machine, pmem: Pmem, trace: Trace) -> None:
        self._machine = machine
        self._pmem = pmem
        self._area = Area(trace, AREA)
        self._table, self._pages = pmem.table(), pmem.pages()
        if not is_in_memory(self._table, self._pages, len(machine.memory)):
            self._pages = 0  # a defect of the table, and none of a page
        operations = self._area.operations
        self._resets = np.sort(operations.resets.event)
        parts = ((operations.births, 1), (operations.shares, 1), (operations.deaths, -1))
        self._changes = [(*self._spans(each), each.event, step) for each, step in parts]

    def handed_out(self) -> list[Finding]:
        """Return the allocations that got pages that are reserved, one for each call stack."""
        if not self._pages:
            return []
        before = np.concatenate([[0], np.cumsum(self._never_to_be_had())])
        blocks = self._area.blocks
        first = (blocks.address & np.uint32(KERNEL_BASE - 1)).astype(np.int64) // PAGE_SIZE
        stop = np.minimum(first + blocks.size // PAGE_SIZE, self._pages)
        rows = np.flatnonzero(before[stop] > before[np.minimum(first, self._pages)])
        found: dict[int, Finding] = {}
        for row in rows.tolist():
            stack = int(blocks.stack[row])
            if stack not in found:
                call_site = self._area.call_sites.exit(int(blocks.born_call[row]))
                message = f"{call_site.function} handed out {_named(int(first[row]), int(stop[row]))}, reserved at boot"
                found[stack] = Finding(
                    Kind.RESERVED, AREA, message, call_site, self._area.call_sites.history(blocks, row)
                )
        return list(found.values())

    def mismatches(self, rerun: Rerun | None) -> list[Finding]:
        """Return the pages whose entry does not fit their owners."""
        if not self._pages or not len(self._resets):
            return []
        entries = np.frombuffer(
            self._machine.memory.read(self._table, PMEM_ENTRY.size * self._pages), np.uint32
        )
        flag, count = entries[::2], entries[1::2]
        owners = self._owners(self._area.trace.event_count)
        right = np.where(
            owners > 0, (flag == PMEM_USE) & (count == owners), (flag != PMEM_USE) & (count == 0)
        )
        runs = []
        for first, stop in runs_of(~right):
            same = (flag[first:stop], count[first:stop], owners[first:stop])
            borders = np.flatnonzero(np.any([part[1:] != part[:-1] for part in same], axis=0)) + 1
            for low, high in zip([0, *borders.tolist()], [*borders.tolist(), stop - first], strict=True):
                runs.append((first + low, first + high))
        found = [
            self._mismatch(first, stop, [int(each[first]) for each in (flag, count, owners)], rerun)
            for first, stop in runs[:_FINDINGS_MAX]
        ]
        return with_rest(found, len(runs))

    def _mismatch(self, first: int, stop: int, values: list[int], rerun: Rerun | None) -> Finding:
        flag, count, owners = values
        state = _FLAGS.get(flag, f"flag 0x{flag:08x}")
        message = f"{_named(first, stop)}: {state}, refcount {count}, but {_count(owners)}"
        block = self._area.live_block_at(first * PAGE_SIZE | KERNEL_BASE) if owners else None
        return Finding(Kind.REFCOUNT, AREA, message, None, block, self._faulting_write(first, rerun))

    def _never_to_be_had(self) -> Flags:
        """Return of each page whether it was reserved from the start."""
        flags = np.ones(self._pages, np.bool_)
        addresses = self._pmem.addresses
        for table, count, value in (
            (addresses.boot_ranges, addresses.boot_range_count, False),
            (addresses.boot_reserved, addresses.boot_reserved_count, True),
        ):
            for start, end in self._ranges(table, count):
                flags[start // PAGE_SIZE : end // PAGE_SIZE] = value
        flags[0] = True
        return flags

    def _ranges(self, table: int, count: int) -> list[tuple[int, int]]:
        load = self._machine.memory.load_words
        return [
            (start, end)
            for index in range(min(self._machine.memory.load_u32(count), 16))
            for start, end in [load(table + BOOT_RANGE.size * index, 2)]
        ]

    # Owners.

    def _spans(self, operations: Operations) -> tuple[I64, I64]:
        address = np.where(operations.address == _NO_ADDRESS, 0, operations.address).astype(np.int64)
        first = (address & (KERNEL_BASE - 1)) // PAGE_SIZE
        pages = -(-operations.size.astype(np.int64) // PAGE_SIZE)
        return np.minimum(first, self._pages), np.minimum(first + pages, self._pages)

    def _owners(self, event: int) -> I64:
        """Return how many owners each page has after an event."""
        resets = self._resets[self._resets <= event]
        since = int(resets[-1]) if len(resets) else 0
        steps = np.zeros(self._pages + 1, np.int64)
        for first, stop, when, step in self._changes:
            chosen: Flags = (when > since) & (when <= event)
            np.add.at(steps, first[chosen], step)
            np.add.at(steps, stop[chosen], -step)
        return np.cumsum(steps)[:-1]

    def _owners_of(self, page: int, event: int) -> int:
        resets = self._resets[self._resets <= event]
        since = int(resets[-1]) if len(resets) else 0
        return sum(
            step * int(((first <= page) & (page < stop) & (when > since) & (when <= event)).sum())
            for first, stop, when, step in self._changes
        )

    def _faulting_write(self, page: int, rerun: Rerun | None) -> FaultingWrite | None:
        """Return what left the entry of a page wrong, if it is found."""
        if rerun is None:
            return None
        from emulator.replay.bisect import Bisection  # few kernels need it

        replay = rerun.replay()
        machine = replay.machine
        entry = self._table + PMEM_ENTRY.size * page
        start = int(self._resets[-1])

        def wrong(event: int) -> Word | None:
            flag, count = machine.memory.load_words(entry, 2)
            owners = self._owners_of(page, self._area.settled(event))
            if count != owners:
                return Word(entry + PMEM_ENTRY.offset("refcount"))
            return None if (flag == PMEM_USE) == (owners > 0) else Word(entry)

        bisection = Bisection(replay, wrong, self._area.any_call_open_at)
        damage = bisection.find(start, self._area.trace.event_count)
        if damage is None:
            return None
        write = bisection.faulting_write(damage)
        return faulting_write_of(machine, write, damage.word.address | KERNEL_BASE)


def _named(first: int, stop: int) -> str:
    return f"page 0x{first:05x}" if stop - first == 1 else f"pages 0x{first:05x}..0x{stop - 1:05x}"


def _count(owners: int) -> str:
    if owners <= 0:
        return "no owner"
    return "1 owner" if owners == 1 else f"{owners} owners"
