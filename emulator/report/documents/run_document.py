"""A run as a JSON document, for programs. Addresses and sizes are numbers, ranges half open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.guest.memory_map.memory_map import Frames, HeapState
    from emulator.report.run_record import RunRecord

VERSION = 1


def run_document(record: RunRecord, status: int) -> dict[str, Any]:
    """Return what JSON says about a run.

    Args:
        record: The run. Its frames carry their runs.
        status: Exit status of the command.
    """
    ending, memory_map = record.ending, record.memory_map
    document: dict[str, Any] = {
        "version": VERSION,
        "kernel": record.kernel,
        "status": status,
        "outcome": ending.how.value,
        "exit_value": ending.exit_value,
        "exit_code": ending.exit_code,
        "eip": ending.eip,
        "location": ending.location,
        "instructions": ending.instructions,
        "seconds": round(record.seconds, 6),
        "error": None if ending.error is None else dict(zip(("kind", "message"), ending.error, strict=True)),
        "console": {"serial": _text(record.serial), "debug": _text(record.debug)},
        "screen": record.screen,
        "profile": record.profile,
        "layers": record.layers,
        "lockstep": None if record.lockstep is None else record.lockstep._asdict(),
        "ram": None if record.ram is None else dict(zip(("start", "end"), record.ram, strict=True)),
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
        if memory_map.btron is not None:
            from emulator.report.text.btron_text import btron_document  # not for LiteCore

            document |= btron_document(memory_map.btron)
        elif memory_map.frames is not None:
            document["frames"] = _frames(memory_map.frames)
        document["heap"] = None if memory_map.heap is None else _heap(memory_map.heap)
        document["defects"] = memory_map.defects
        document["notes"] = memory_map.notes
    return document


def _text(console: bytes) -> str:
    return console.decode("utf-8", "replace")


def _frames(frames: Frames) -> dict[str, Any]:
    return {
        "total": frames.total,
        "used": frames.used,
        "free": frames.free,
        "allocated": frames.allocated,
        "largest_free_run": frames.largest_free_run,
        "fragmentation": round(frames.fragmentation, 6),
    }


def _heap(heap: HeapState) -> dict[str, Any]:
    return {
        "start": heap.start,
        "end": heap.end,
        "used": heap.used,
        "free": heap.free,
        "largest_free": heap.largest_free,
        "fragmentation": round(heap.fragmentation, 6),
        "blocks": [{"header": block.header, "size": block.size, "used": block.used} for block in heap.blocks],
        "refused_frees": heap.refused,
        "defects": heap.defects,
    }
