"""Write drafts of areas as a profile in TOML, with comments that say what was taken for what, why, and how sure that is."""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.profile.discovery.areas import DraftArea, Suggestion

_WIDTH: Final = 110
_ROLES: Final = ("alloc", "free", "realloc", "share", "reset")


def profile_text(areas: Sequence[DraftArea], name: str, introduction: str) -> str:
    """Return a profile.

    Args:
        areas: What it consists of; an area of which no function is taken is a comment as a whole.
        name: Of the profile.
        introduction: Stands above all as a comment.
    """
    lines = [*_comment(introduction), f"name = {json.dumps(name)}"]
    for area in areas:
        lines += ["", *_area(area)] if area.suggestions else []
    return "\n".join(lines) + "\n"


def everything(areas: Sequence[DraftArea]) -> str:
    """Return a profile of all functions that can be described, taken or not: what a run is to show."""
    lines = ['name = "candidates"']
    for area in areas:
        known = [each for each in area.suggestions if not each.signature.problem]
        lines += [f"[{area.name}]"] if known else []
        by_role: defaultdict[str, list[str]] = defaultdict(list)
        for each in known:
            by_role["other" if each.signature.inputs else each.role].append(_recorded(each))
        lines += [f"{role} = {json.dumps(texts, ensure_ascii=False)}" for role, texts in by_role.items()]
    return "\n".join(lines) + "\n"


def _recorded(suggestion: Suggestion) -> str:
    """Return a function as it is recorded: with all that it is given, where the run has to show what that means."""
    signature = suggestion.signature
    if signature.inputs:
        names = tuple(map(input_name, signature.inputs))
        signature = signature._replace(parameters=names, places=signature.inputs)
    return signature.text(suggestion.name)


def input_name(place: str) -> str:
    """Return what an argument at a place is called while its meaning is not known."""
    return f"at_{place.replace('+', '_')}"


def _area(area: DraftArea) -> Iterator[str]:
    is_taken = any(each.is_taken for each in area.suggestions)
    mark = "" if is_taken else "# "
    for note in area.notes:
        yield from _comment(note)
    yield f"{mark}[{area.name}]"
    if area.is_of_pages:
        yield f"{mark}pages = true"
    for key, value in area.settings.items():
        yield f"{mark}{key} = {value}"
    for role in _ROLES:
        yield from _role(role, [each for each in area.suggestions if each.role == role])
    for seed, note in area.seeds.items():
        yield from _comment(f"{seed}: {note}")
    if area.seeds:
        yield f"seed = {json.dumps([f'{seed}()' for seed in area.seeds])}"


def _role(role: str, suggestions: Sequence[Suggestion]) -> Iterator[str]:
    taken = [each for each in suggestions if each.is_taken]
    for each in suggestions:
        yield from _comment(f"{each.name}: {each.sureness.name.lower()}; {', '.join(each.notes)}")
        if not each.is_taken:
            yield f"# {role} = {_quoted(each)}"
    if len(taken) == 1:
        yield f"{role} = {_quoted(taken[0])}"
    elif taken:
        yield f"{role} = ["
        yield from (f"    {_quoted(each)}," for each in taken)
        yield "]"


def _quoted(suggestion: Suggestion) -> str:
    return json.dumps(suggestion.signature.text(suggestion.name), ensure_ascii=False)


def _comment(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from (f"# {part}".rstrip() for part in textwrap.wrap(line, _WIDTH) or [""])
