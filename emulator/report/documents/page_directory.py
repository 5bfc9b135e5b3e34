"""Write the address space of a page directory in a RAM image as a JSON document; `docs/inspect.md` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.report.documents.spaces import space_document

if TYPE_CHECKING:
    from emulator.guest.ram_image.directory import DirectoryFacts

_VERSION: Final = 1


def page_directory_document(facts: DirectoryFacts) -> dict[str, Any]:
    """Return what is known of a page directory."""
    return {
        "version": _VERSION,
        "image": facts.image,
        "ram": [{"start": start, "end": end} for start, end in facts.ram],
        "cr0": facts.cr0,
        "cr3": facts.cr3,
        "cr4": facts.cr4,
        "nx": facts.nx,
        "address_space": space_document(facts.spaces.spaces[0]),
        "tables": [{"frame": frame, "start": start} for frame, start in facts.tables],
    }
