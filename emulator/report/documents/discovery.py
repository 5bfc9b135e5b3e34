"""Write what a kernel's functions were taken for as a JSON document; `docs/init.md` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.profile.discovery.areas import DraftArea

_VERSION: Final = 1


def discovery_document(kernel: str, file: str, areas: Sequence[DraftArea], calls: int) -> dict[str, Any]:
    """Return what was found.

    Args:
        kernel: As the user named it.
        file: The profile that was written.
        areas: What it consists of.
        calls: How many calls were seen in a run.
    """
    return {
        "version": _VERSION,
        "kernel": kernel,
        "file": file,
        "calls": calls,
        "areas": [
            {
                "name": area.name,
                "pages": area.is_of_pages,
                "settings": dict(area.settings),
                "seeds": list(area.seeds),
                "functions": [
                    {
                        "name": each.name,
                        "role": each.role,
                        "signature": each.signature.text(each.name),
                        "sureness": each.sureness.name.lower(),
                        "taken": each.is_taken,
                        "reasons": list(each.notes),
                    }
                    for each in area.suggestions
                ],
            }
            for area in areas
        ],
    }
