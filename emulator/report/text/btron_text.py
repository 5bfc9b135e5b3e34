"""What a BTRON/386 kernel does with its memory: lines for people, and parts of the JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.guest.memory_map.regions import FRAME_SIZE
from emulator.report.text.style import human_size, labelled
from kernel_model.btron.pmem import PMEM_FREE, PMEM_RESERVED, PMEM_USE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.guest.memory_map.memory_map import BtronState, PageState
    from emulator.guest.memory_map.regions import Span
    from emulator.report.text.style import Style
    from kernel_model.btron.kmem_reader import KmemState
    from kernel_model.btron.pool_reader import PoolState, Waiter

_OWNERS_SHOWN = 6
_FLAGS = {PMEM_FREE: "free", PMEM_USE: "in use", PMEM_RESERVED: "reserved"}


def btron_lines(state: BtronState, style: Style) -> Iterator[str]:
    """Return the figures, line by line."""
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


def _pages_text(pages: PageState) -> str:
    figures = [f"{pages.free} free", f"{pages.used} in use", f"{pages.reserved} reserved"]
    other = pages.total - pages.free - pages.used - pages.reserved
    if other:
        figures.append(f"{other} with unknown flags")
    run = f"{pages.largest_free_run} ({human_size(pages.largest_free_run * FRAME_SIZE)})"
    return (
        f"{pages.total} of {human_size(FRAME_SIZE)}: {', '.join(figures)}; "
        f"largest free run {run}, fragmentation {_percent(pages.fragmentation)}"
    )


def _owners_text(pages: PageState) -> str:
    counts = [each for each in pages.by_entry if each.flag == PMEM_USE]
    shown = [
        f"{_count(each.pages, 'page')} with {_count(each.refcount, 'owner')}"
        for each in counts[:_OWNERS_SHOWN]
    ]
    if len(counts) > _OWNERS_SHOWN:
        shown.append(f"{_count(sum(each.pages for each in counts[_OWNERS_SHOWN:]), 'page')} with more")
    return ", ".join(shown)


def _kmem_text(kmem: KmemState) -> str:
    return (
        f"{kmem.owned} bytes in {_count(len(kmem.extents), 'extent')}; "
        f"{kmem.free} bytes free in {_count(len(kmem.areas), 'area')}, largest {kmem.largest_free}, "
        f"fragmentation {_percent(kmem.fragmentation)}"
    )


def _pools_text(pools: tuple[PoolState, ...]) -> str:
    fixed = sum(pool.block_size > 0 for pool in pools)
    return f"{len(pools) - fixed} with blocks of any size, {fixed} of one size" if pools else "none"


def _pool_text(pool: PoolState) -> str:
    if pool.block_size:
        total = pool.used_blocks + pool.free_blocks
        text = f"{pool.used_blocks} of {_count(total, 'block')} of {pool.block_size} bytes in use"
    else:
        text = (
            f"{_count(pool.used_blocks, 'block')} in use ({pool.used} bytes), {pool.free} bytes free; "
            f"largest free block {pool.largest_free}"
        )
    if not pool.waiters:
        return f"{text}; nobody waits"
    order = "by priority" if pool.by_priority else "first come, first served"
    return f"{text}; waiting, {order}: {', '.join(map(_waiter_text, pool.waiters))}"


def _waiter_text(waiter: Waiter) -> str:
    text = f"task {waiter.task}"
    if waiter.size:
        text += f" for {waiter.size} bytes"
    return text if waiter.deadline is None else f"{text} until {waiter.deadline} ms"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def btron_document(state: BtronState) -> dict[str, Any]:
    """Return the parts ``pages``, ``kmem`` and ``pools`` of the document."""
    return {
        "pages": None if state.pages is None else _pages_document(state.pages),
        "kmem": None if state.kmem is None else _kmem_document(state.kmem),
        "pools": [_pool_document(pool) for pool in state.pools],
    }


def _pages_document(pages: PageState) -> dict[str, Any]:
    return {
        "total": pages.total,
        "free": pages.free,
        "used": pages.used,
        "shared": pages.shared,
        "reserved": pages.reserved,
        "largest_free_run": pages.largest_free_run,
        "fragmentation": round(pages.fragmentation, 6),
        "by_entry": [each._asdict() | {"name": _FLAGS.get(each.flag)} for each in pages.by_entry],
    }


def _kmem_document(kmem: KmemState) -> dict[str, Any]:
    return {
        "owned": kmem.owned,
        "free": kmem.free,
        "largest_free": kmem.largest_free,
        "fragmentation": round(kmem.fragmentation, 6),
        "extents": [_span(each) for each in kmem.extents],
        "areas": [_span(each) for each in kmem.areas],
    }


def _pool_document(pool: PoolState) -> dict[str, Any]:
    return {
        "kind": pool.name,
        "id": pool.number,
        "order": "priority" if pool.by_priority else "fifo",
        **_span(pool.area),
        "block_size": pool.block_size or None,
        "used_blocks": pool.used_blocks,
        "used": pool.used,
        "free_blocks": pool.free_blocks,
        "free": pool.free,
        "largest_free": pool.largest_free,
        "waiters": [each._asdict() | {"size": each.size or None} for each in pool.waiters],
    }


def _span(span: Span) -> dict[str, int]:
    return dict(zip(("start", "end"), span, strict=True))
