"""Changed bytes by the field that they belong to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.guest.backtrace import StackFrame
    from emulator.guest.locator import Places
    from emulator.loader.dwarf.c_types import Encoding
    from emulator.replay.changes import Change
    from kernel_model.memory import Memory

_BITMAP = re.compile(r"^bitmap byte (\d+) \(frames (\d+)\.\.(\d+)\)$")


class FieldChange(NamedTuple):
    """A field of which at least one byte changed.

    Attributes:
        name: See `Place`.
        address: Physical.
        before: All its bytes, or of a block's body those that changed.
        after: The same bytes now.
        encoding: How to read them.
    """

    name: str
    address: int
    before: bytes
    after: bytes
    encoding: Encoding


def changed_fields(
    changes: Sequence[Change], places: Places, memory: Memory, stack: Sequence[StackFrame]
) -> Iterator[FieldChange]:
    """Yield the fields that changes meet, by address."""
    return _joined(_fields(changes, places, memory, stack))


def _fields(
    changes: Sequence[Change], places: Places, memory: Memory, stack: Sequence[StackFrame]
) -> Iterator[FieldChange]:
    done = 0
    for number, change in enumerate(changes):
        end = change.address + len(change.after)
        at = max(change.address, done)
        while at < end:
            place = places.name(at, end, stack)
            after = memory.read(place.start, place.end - place.start)
            before = _before(place.start, after, changes[max(0, number - WORD_SIZE) : number + WORD_SIZE + 1])
            yield FieldChange(place.name, place.start, before, after, place.encoding)
            at = done = place.end


def _before(start: int, after: bytes, changes: Iterable[Change]) -> bytes:
    """What the bytes from *start* on were, of which *changes* tell those that differ."""
    before = bytearray(after)
    for change in changes:
        for offset, value in enumerate(change.before, change.address - start):
            if 0 <= offset < len(before):
                before[offset] = value
    return bytes(before)


def _joined(fields: Iterable[FieldChange]) -> Iterator[FieldChange]:
    """Make one of neighbouring bytes of a bitmap."""
    run: FieldChange | None = None
    for field in fields:
        if run is not None:
            if run.address + len(run.after) == field.address and _BITMAP.match(field.name):
                run = run._replace(
                    before=run.before + field.before,
                    after=run.after + field.after,
                    name=_both(run.name, field.name),
                )
                continue
            yield run
            run = None
        if _BITMAP.match(field.name):
            run = field
        else:
            yield field
    if run is not None:
        yield run


_BITMAP_RUN = re.compile(r"^bitmap bytes? (\d+)(?:\.\.\d+)? \(frames (\d+)\.\.\d+\)$")


def _both(first: str, last: str) -> str:
    begin, end = _BITMAP_RUN.match(first), _BITMAP.match(last)
    if begin is None or end is None:
        return first
    return f"bitmap bytes {begin[1]}..{end[1]} (frames {begin[2]}..{end[3]})"
