"""Where the kernel's own variables lie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Globals:
    """Physical addresses of BTRON/386's globals, named as in C.

    Attributes:
        pmem_table: A pointer to the page table.
        pmem_pages: The number of its entries.
        boot_ranges: RAM as the boot loader reports it.
        boot_range_count: How many ranges that are.
        boot_reserved: What of it is taken.
        boot_reserved_count: How many ranges that are.
        kmem_free_list: The first free area of the byte allocator.
        kmem_extents: What the byte allocator owns.
        kmem_extent_count: How many extents that are.
        mpl_table: Pools of blocks of any size; the index is the id.
        mpf_table: Pools of blocks of one size; the index is the id.
        tcb_table: 33 control blocks; the index is the id of the task.
        ready_head: First task by priority; 32 words.
        ready_tail: Last task by priority; 32 words.
        current_task: Id of the running task; 0 while there is none.
        sys_dispatch_disabled: Not 0 between ``dis_dsp`` and ``ena_dsp``.
        need_dispatch: Set to 1 when a more urgent task has become ready.
        sys_tick: System time in ms, low word.
    """

    pmem_table: int
    pmem_pages: int
    boot_ranges: int
    boot_range_count: int
    boot_reserved: int
    boot_reserved_count: int
    kmem_free_list: int
    kmem_extents: int
    kmem_extent_count: int
    mpl_table: int
    mpf_table: int
    tcb_table: int
    ready_head: int
    ready_tail: int
    current_task: int
    sys_dispatch_disabled: int
    need_dispatch: int
    sys_tick: int
