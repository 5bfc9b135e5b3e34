"""Write what a BTRON/386 kernel does with its memory as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.memory_map.regions import FRAME_SIZE
from emulator.report.text.style import labelled
from emulator.wording import counted, human_size, percent
from kernel_model.btron.pages import PMEM_USE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.guest.memory_map.memory_map import BtronState
    from emulator.report.text.style import Style
    from kernel_model.btron.kmem import KmemState
    from kernel_model.btron.pages import PageUsage
    from kernel_model.btron.pools.reader import PoolState
    from kernel_model.btron.tcb import Task

_OWNERS_SHOWN = 6


def btron_lines(state: BtronState, style: Style) -> Iterator[str]:
    """Yield the figures of all layers."""
    if state.pages is not None:
        yield from labelled("Pages", _pages_text(state.pages), style)
        owners = _owners_text(state.pages)
        if owners:
            yield from labelled("Owners", owners, style)
    if state.kmem is not None:
        yield from labelled("Kmem", _kmem_text(state.kmem), style)
        yield from labelled("Pools", _pools_text(state.pools), style)
    for pool in state.pools:
        yield from labelled(f"{pool.name} {pool.number}", _pool_text(pool), style)


def _pages_text(pages: PageUsage) -> str:
    figures = [f"{pages.free} free", f"{pages.used} in use", f"{pages.reserved} reserved"]
    other = pages.total - pages.free - pages.used - pages.reserved
    if other:
        figures.append(f"{other} with unknown flags")
    run = f"{pages.largest_free_run} ({human_size(pages.largest_free_run * FRAME_SIZE)})"
    return (
        f"{pages.total} of {human_size(FRAME_SIZE)}: {', '.join(figures)}; "
        f"largest free run {run}, fragmentation {percent(pages.fragmentation)}"
    )


def _owners_text(pages: PageUsage) -> str:
    counts = [each for each in pages.by_entry if each.flag == PMEM_USE]
    shown = [
        f"{counted(each.pages, 'page')} with {counted(each.refcount, 'owner')}"
        for each in counts[:_OWNERS_SHOWN]
    ]
    if len(counts) > _OWNERS_SHOWN:
        shown.append(f"{counted(sum(each.pages for each in counts[_OWNERS_SHOWN:]), 'page')} with more")
    return ", ".join(shown)


def _kmem_text(kmem: KmemState) -> str:
    return (
        f"{kmem.owned} bytes in {counted(len(kmem.extents), 'extent')}; "
        f"{kmem.free} bytes free in {counted(len(kmem.areas), 'area')}, largest {kmem.largest_free}, "
        f"fragmentation {percent(kmem.fragmentation)}"
    )


def _pools_text(pools: tuple[PoolState, ...]) -> str:
    fixed = sum(pool.block_size > 0 for pool in pools)
    return f"{len(pools) - fixed} with blocks of any size, {fixed} of one size" if pools else "none"


def _pool_text(pool: PoolState) -> str:
    if pool.block_size:
        total = pool.used_blocks + pool.free_blocks
        text = f"{pool.used_blocks} of {counted(total, 'block')} of {pool.block_size} bytes in use"
    else:
        text = (
            f"{counted(pool.used_blocks, 'block')} in use ({pool.used} bytes), {pool.free} bytes free; "
            f"largest free block {pool.largest_free}"
        )
    if not pool.waiters:
        return f"{text}; nobody waits"
    order = "by priority" if pool.by_priority else "first come, first served"
    return f"{text}; waiting, {order}: {', '.join(map(_waiter_text, pool.waiters))}"


def _waiter_text(task: Task) -> str:
    text = f"task {task.number}"
    if task.wait_size:
        text += f" for {task.wait_size} bytes"
    return text if task.deadline is None else f"{text} until {task.deadline} ms"
