"""Group changed bytes by the field of a structure or variable that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.x86 import WORD_SIZE
from kernel_model.audit import LocationKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.guest.backtrace import StackFrame
    from emulator.guest.locator import Locator
    from emulator.loader.dwarf.c_types import Encoding
    from emulator.replay.changes import Change
    from kernel_model.audit import Location
    from kernel_model.memory import Memory


class FieldChange(NamedTuple):
    """A field of which at least one byte changed.

    Attributes:
        location: What it is; None where nothing is known of the bytes.
        address: Physical.
        before: All its bytes, or of a stack, a block's body and memory without a name those that changed.
        after: The same bytes now.
        encoding: How to read them.
    """

    location: Location | None
    address: int
    before: bytes
    after: bytes
    encoding: Encoding

    @property
    def end(self) -> int:
        """First physical address after the field."""
        return self.address + len(self.after)


def changed_fields(
    changes: Sequence[Change], locator: Locator, memory: Memory, stack: Sequence[StackFrame]
) -> Iterator[FieldChange]:
    """Yield the fields that changes meet, by address; neighbouring bytes of a bitmap are one field."""
    run: FieldChange | None = None
    for field in _fields(changes, locator, memory, stack):
        joined = run and _joined(run, field)
        if run is not None and joined is None:
            yield run
        run = joined or field
    if run is not None:
        yield run


def _fields(
    changes: Sequence[Change], locator: Locator, memory: Memory, stack: Sequence[StackFrame]
) -> Iterator[FieldChange]:
    done = 0
    for number, change in enumerate(changes):
        end = change.address + len(change.after)
        at = max(change.address, done)
        while at < end:
            field = locator.field_at(at, end, stack)
            after = memory.read(field.start, field.end - field.start)
            before = _before(field.start, after, changes[max(0, number - WORD_SIZE) : number + WORD_SIZE + 1])
            yield FieldChange(field.location, field.start, before, after, field.encoding)
            at = done = field.end


def _before(start: int, after: bytes, changes: Iterable[Change]) -> bytes:
    """Return what the bytes from *start* on were, of which *changes* hold those that differ."""
    before = bytearray(after)
    for change in changes:
        for offset, value in enumerate(change.before, change.address - start):
            if 0 <= offset < len(before):
                before[offset] = value
    return bytes(before)


def _joined(first: FieldChange, second: FieldChange) -> FieldChange | None:
    """Return one field for neighbouring bytes of a bitmap; None for other fields."""
    left, right = first.location, second.location
    if left is None or right is None or first.end != second.address:
        return None
    if left.kind is not LocationKind.BITMAP or right.kind is not LocationKind.BITMAP:
        return None
    frames = range(left.frames.start, right.frames.stop)
    return first._replace(
        location=left._replace(end=right.end, frames=frames),
        before=first.before + second.before,
        after=first.after + second.after,
    )
