"""Write a run as a JSON document; `docs/boot.md` describes it. Addresses and sizes are numbers, ranges half open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.report.documents.lacks import lack_document
from emulator.report.documents.trace import stack_document
from emulator.run.ending import How
from kernel_model.text import defect_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.findings import Finding
    from emulator.guest.memory_map.memory_map import BtronState
    from emulator.guest.memory_map.regions import Span
    from emulator.report.run_record import RunRecord
    from emulator.run.ending import Activity, Ending
    from kernel_model.btron.kmem import KmemState
    from kernel_model.btron.pages import PageUsage
    from kernel_model.btron.pools.reader import PoolState
    from kernel_model.btron.tcb import Task
    from kernel_model.frames import FrameUsage
    from kernel_model.litecore.heap_layout import HeapUsage

_VERSION = 1


def run_document(record: RunRecord, status: int) -> dict[str, Any]:
    """Return a run, with the memory map at its end.

    Args:
        record: The run.
        status: Exit status of the command.
    """
    ending, memory_map = record.ending, record.memory_map
    document: dict[str, Any] = {
        "version": _VERSION,
        "kernel": record.kernel,
        "status": status,
        "outcome": ending.how.value,
        "exit_value": ending.exit_value,
        "exit_code": ending.exit_code,
        "eip": ending.eip,
        "location": ending.location,
        "instructions": ending.instructions or None,
        "seconds": round(record.seconds, 6),
        "error": _error(ending),
        "backtrace": stack_document(ending.backtrace),
        "activity": None if ending.activity is None else _activity(ending.activity),
        "lacks": [lack_document(lack) for lack in ending.lacks],
        "console": {
            "serial": _text(record.serial),
            "serial2": _text(record.serial2),
            "debug": _text(record.debug),
        },
        "screen": record.screen,
        "graphics": record.graphics,
        "screenshot": record.screenshot,
        "profile": record.profile,
        "findings": None if record.findings is None else _findings(record.findings),
        "layers": record.layers,
        "lockstep": None if record.lockstep is None else record.lockstep._asdict(),
        "ram": None if record.ram is None else _span(record.ram),
        "address_spaces": None,
        "regions": [],
        "frames": None,
        "heap": None,
        "pages": None,
        "kmem": None,
        "pools": None,
        "defects": [],
        "notes": [],
    }
    if memory_map is not None:
        document["regions"] = [
            {"start": region.start, "end": region.end, "kind": region.kind.value}
            for region in memory_map.whole_ram()
        ]
        if memory_map.spaces is not None:
            from emulator.report.documents.spaces import spaces_document  # only with paging

            document["address_spaces"] = spaces_document(memory_map.spaces)
        if memory_map.btron is not None:
            document |= _btron(memory_map.btron)
        if memory_map.bitmap is not None:
            document["frames"] = _frames(memory_map.bitmap, memory_map.allocated)
        document["defects"] = list(map(defect_text, memory_map.defects))
        document["heap"] = None if memory_map.heap is None else _heap(memory_map.heap, document["defects"])
        document["notes"] = memory_map.notes
    return document


def _activity(activity: Activity) -> dict[str, Any]:
    last = activity.last_read
    return {
        "waited": round(activity.waited, 6),
        "last_read": None if last is None else last._asdict(),
    }


def _error(ending: Ending) -> dict[str, str] | None:
    if ending.error is None or (ending.how is How.INTERRUPTED and not ending.signal):  # Ctrl-C is no error
        return None
    by = "interrupted by " if ending.how is How.INTERRUPTED else ""
    return {"kind": type(ending.error).__name__, "message": f"{by}{ending.error}"}


def _findings(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    from emulator.report.documents.check import finding_document  # few runs need it

    return [finding_document(each) for each in findings]


def _text(console: bytes) -> str:
    return console.decode("utf-8", "replace")


def _frames(frames: FrameUsage, allocated: int) -> dict[str, Any]:
    return {
        "total": frames.total,
        "used": frames.used,
        "free": frames.free,
        "allocated": allocated,
        "largest_free_run": frames.largest_free_run,
        "fragmentation": round(frames.fragmentation, 6),
    }


def _heap(heap: HeapUsage, defects: list[str]) -> dict[str, Any]:
    return {
        "start": heap.start,
        "end": heap.end,
        "used": heap.used,
        "free": heap.free,
        "largest_free": heap.largest_free,
        "fragmentation": round(heap.fragmentation, 6),
        "blocks": [{"header": block.header, "size": block.size, "used": block.used} for block in heap.blocks],
        "refused_frees": heap.refused,
        "defects": defects,
    }


def _btron(state: BtronState) -> dict[str, Any]:
    """Return the members of the document that only BTRON/386 has."""
    return {
        "pages": None if state.pages is None else _pages(state.pages),
        "kmem": None if state.kmem is None else _kmem(state.kmem),
        "pools": [_pool(pool) for pool in state.pools],
    }


def _pages(pages: PageUsage) -> dict[str, Any]:
    from kernel_model.btron.pages import FLAG_NAMES  # not for LiteCore

    return {
        "total": pages.total,
        "free": pages.free,
        "used": pages.used,
        "shared": pages.shared,
        "reserved": pages.reserved,
        "largest_free_run": pages.largest_free_run,
        "fragmentation": round(pages.fragmentation, 6),
        "by_entry": [each._asdict() | {"name": FLAG_NAMES.get(each.flag)} for each in pages.by_entry],
    }


def _kmem(kmem: KmemState) -> dict[str, Any]:
    return {
        "owned": kmem.owned,
        "free": kmem.free,
        "largest_free": kmem.largest_free,
        "fragmentation": round(kmem.fragmentation, 6),
        "extents": [_span((each.start, each.end)) for each in kmem.extents],
        "areas": [_span((each.start, each.end)) for each in kmem.areas],
    }


def _pool(pool: PoolState) -> dict[str, Any]:
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
        "waiters": [_waiter(each) for each in pool.waiters],
    }


def _waiter(task: Task) -> dict[str, int | None]:
    return {
        "task": task.number,
        "priority": task.priority,
        "size": task.wait_size or None,
        "deadline": task.deadline,
    }


def _span(span: Span) -> dict[str, int]:
    return dict(zip(("start", "end"), span, strict=True))
