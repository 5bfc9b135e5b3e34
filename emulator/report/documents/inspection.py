"""Write what a kernel file holds as a JSON document; `docs/inspect.md` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.loader.multiboot2 import Multiboot2Header

if TYPE_CHECKING:
    from emulator.hle.inspection import Inspection
    from emulator.loader.multiboot1 import MultibootHeader

_VERSION: Final = 1


def inspection_document(facts: Inspection) -> dict[str, Any]:
    """Return what is known of a kernel file."""
    header = facts.multiboot
    return {
        "version": _VERSION,
        "kernel": facts.kernel,
        "file_size": facts.file_size,
        "segments": [
            {
                "physical": segment.physical,
                "virtual": segment.virtual,
                "size": segment.size,
                "file_size": len(segment.data),
                "flags": [flag.name for flag in type(segment.flags) if flag in segment.flags],
            }
            for segment in facts.segments
        ],
        "entry": facts.entry,
        "entry_location": facts.entry_location,
        "end": facts.end,
        "multiboot": None if header is None else _multiboot(header),
        "symbols": facts.symbol_count,
        "functions": facts.function_count,
        "source_lines": facts.has_lines,
        "profile": facts.profile or None,
        "allocators": list(facts.allocators),
        "layers": {
            layer: {"available": not missing, "missing": missing} for layer, missing in facts.missing.items()
        },
    }


def _multiboot(header: MultibootHeader | Multiboot2Header) -> dict[str, Any]:
    if isinstance(header, Multiboot2Header):
        return {"version": 2, "offset": header.offset, "tags": [int(tag) for tag in header.tags]}
    return {"offset": header.offset, "flags": int(header.flags)}
