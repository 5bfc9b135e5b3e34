"""Write address spaces as a JSON document; `docs/boot.md` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.guest.memory_map.spaces import Backing

if TYPE_CHECKING:
    from emulator.guest.memory_map.spaces import Space, SpaceRange, Spaces


def spaces_document(spaces: Spaces) -> dict[str, Any]:
    """Return all address spaces, and what they have alike."""
    return {
        "spaces": [space_document(each) for each in spaces.spaces],
        "common": [_range(each) for each in spaces.common],
        "gone": spaces.gone,
        "others": spaces.others,
        "cut": spaces.is_cut,
    }


def space_document(space: Space) -> dict[str, Any]:
    """Return one address space."""
    return {
        "page_directory": space.directory,
        "name": space.name or None,
        "in_use": space.in_use,
        "ranges": [_range(each) for each in space.ranges],
        "tables": list(space.tables),
        "recursive": list(space.recursive),
        "bad_entries": [
            {
                "start": bad.start,
                "end": bad.end,
                "at": bad.entry_at,
                "entry": bad.entry,
                "problem": bad.problem.name.lower(),
            }
            for bad in space.problems
        ],
    }


def _range(each: SpaceRange) -> dict[str, Any]:
    mapped = each.backing is not Backing.UNMAPPED
    return {
        "start": each.start,
        "end": each.end,
        "name": each.name or None,
        "writable": each.writable if mapped else None,
        "user": each.user if mapped else None,
        "no_execute": each.no_execute if mapped else None,
        "page_size": each.page_size if mapped else None,
        "backing": each.backing.value,
        "physical": [{"start": start, "end": end} for start, end in each.pieces],
        "direct_map": each.is_direct_map,
        "shared": each.shared,
        "elsewhere": [{"space": other.space, "start": other.start} for other in each.elsewhere],
    }
